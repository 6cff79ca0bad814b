//! Who is asking: tokens that `login` and `pages-login` sign and every other function checks.
//!
//! A token is an Ed25519-signed JWT. The algorithm is pinned
//! by the key's kind, so that nothing in a token can choose another.

use std::fmt;
use std::time::Duration;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use jsonwebtoken::crypto::{CryptoProvider, JwtSigner, JwtVerifier, KeyUtils};
use jsonwebtoken::errors::{Error as JwtError, ErrorKind};
use jsonwebtoken::signature::{Error as SignatureError, Signer, Verifier};
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation};
use ring::rand::SystemRandom;
use ring::signature::{ED25519, Ed25519KeyPair, KeyPair, UnparsedPublicKey};
use runtime::FromConfig;
use runtime::config::Config;
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize};

use values::ids::UserId;
use values::time::Timestamp;

const ISSUER: &str = "admit";
const AUDIENCE: &str = "admit-api";
/// RFC 9068: says that this JWT is an access token and nothing else.
const TYPE: &str = "at+jwt";

/// A key that can't be read.
#[derive(Debug, thiserror::Error)]
#[error("the token key can't be read: {0}")]
pub struct KeyError(&'static str);

#[derive(Debug, Serialize, Deserialize)]
struct Claims {
    iss: String,
    aud: String,
    sub: String,
    iat: i64,
    exp: i64,
}

/// Makes tokens. Only `login` and `pages-login` have one.
#[derive(Clone)]
pub struct TokenSigner {
    key: EncodingKey,
    lifetime: Duration,
}

/// Checks tokens.
#[derive(Clone)]
pub struct TokenVerifier {
    key: DecodingKey,
    validation: Validation,
}

/// A new Ed25519 key, PKCS#8 in base64.
///
/// # Errors
/// The system has no random numbers.
pub(crate) fn new_private_key() -> Result<SecretString, KeyError> {
    let key = Ed25519KeyPair::generate_pkcs8(&SystemRandom::new())
        .map_err(|_| KeyError("there are no random numbers to make one of"))?;
    Ok(SecretString::from(BASE64_STANDARD.encode(key)))
}

/// The public half of a key: 32 bytes in base64.
pub(crate) fn public_half(private_key: &SecretString) -> Result<String, KeyError> {
    let (_, key) = read_private_key(private_key)?;
    Ok(BASE64_STANDARD.encode(key.public_key()))
}

fn read_private_key(private_key: &SecretString) -> Result<(Vec<u8>, Ed25519KeyPair), KeyError> {
    let bytes = BASE64_STANDARD
        .decode(private_key.expose_secret())
        .map_err(|_| KeyError("it must be base64"))?;
    let key = Ed25519KeyPair::from_pkcs8_maybe_unchecked(&bytes)
        .map_err(|_| KeyError("it must be Ed25519 in PKCS#8"))?;
    Ok((bytes, key))
}

impl TokenSigner {
    /// A signer with an Ed25519 key, PKCS#8 in base64, whose tokens are valid for `lifetime`.
    pub fn new(private_key: &SecretString, lifetime: Duration) -> Result<Self, KeyError> {
        install_crypto();
        let (key, _) = read_private_key(private_key)?;
        Ok(Self {
            key: EncodingKey::from_ed_der(&key),
            lifetime,
        })
    }

    /// A token that says that its bearer is `user`, from `now` on.
    ///
    /// # Errors
    /// The key was unfit after all.
    pub fn sign(&self, user: UserId, now: Timestamp) -> Result<String, JwtError> {
        let claims = Claims {
            iss: ISSUER.to_owned(),
            aud: AUDIENCE.to_owned(),
            sub: user.to_string(),
            iat: now.timestamp(),
            exp: now
                .timestamp()
                .saturating_add_unsigned(self.lifetime.as_secs()),
        };
        let header = Header {
            typ: Some(TYPE.to_owned()),
            ..Header::new(Algorithm::EdDSA)
        };
        jsonwebtoken::encode(&header, &claims, &self.key)
    }

    /// How long a token is valid.
    pub fn lifetime(&self) -> Duration {
        self.lifetime
    }
}

/// Prints no key.
impl fmt::Debug for TokenSigner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TokenSigner(…)")
    }
}

impl FromConfig for TokenVerifier {
    async fn from_config(config: &Config) -> Result<Self, runtime::Error> {
        Ok(Self::new(config.token_public_key.required()?)?)
    }
}

impl TokenVerifier {
    /// A verifier with an Ed25519 public key: 32 bytes in base64.
    pub fn new(public_key: &str) -> Result<Self, KeyError> {
        install_crypto();
        let key = BASE64_STANDARD
            .decode(public_key)
            .map_err(|_| KeyError("it must be base64"))?;
        if key.len() != 32 {
            return Err(KeyError("it must be 32 bytes"));
        }
        let mut validation = Validation::new(Algorithm::EdDSA);
        validation.set_required_spec_claims(&["iss", "aud", "exp", "sub"]);
        validation.set_issuer(&[ISSUER]);
        validation.set_audience(&[AUDIENCE]);
        // No leeway: the clocks of those who sign and check are Amazon's, or one machine's.
        validation.leeway = 0;
        validation.validate_nbf = true;
        Ok(Self {
            key: DecodingKey::from_ed_der(&key),
            validation,
        })
    }

    /// The user whom a token names; `None` for one that is forged, expired or made for something else.
    pub fn verify(&self, token: &str) -> Option<UserId> {
        let token = jsonwebtoken::decode::<Claims>(token, &self.key, &self.validation).ok()?;
        if token.header.typ.as_deref() != Some(TYPE) {
            return None;
        }
        token
            .claims
            .sub
            .parse::<i64>()
            .ok()
            .filter(|number| *number > 0)
            .map(UserId::from)
    }
}

/// Lets jsonwebtoken use ring, which the TLS of every client brings along, and Ed25519 only: its
/// own providers would add a second crypto library to each function, with RSA and ECDSA in it.
fn install_crypto() {
    static PROVIDER: CryptoProvider = CryptoProvider {
        signer_factory: |algorithm, key| match algorithm {
            Algorithm::EdDSA => Ok(Box::new(RingSigner(key.as_bytes().to_vec()))),
            _ => Err(ErrorKind::InvalidAlgorithm.into()),
        },
        verifier_factory: |algorithm, key| match algorithm {
            Algorithm::EdDSA => Ok(Box::new(RingVerifier(key.try_get_as_bytes()?.to_vec()))),
            _ => Err(ErrorKind::InvalidAlgorithm.into()),
        },
        key_utils: KeyUtils::new_unimplemented(),
    };
    // Whoever comes second finds the same provider in place.
    let _ = PROVIDER.install_default();
}

struct RingSigner(Vec<u8>);

impl Signer<Vec<u8>> for RingSigner {
    fn try_sign(&self, message: &[u8]) -> Result<Vec<u8>, SignatureError> {
        let key = Ed25519KeyPair::from_pkcs8_maybe_unchecked(&self.0)
            .map_err(|_| SignatureError::new())?;
        Ok(key.sign(message).as_ref().to_vec())
    }
}

impl JwtSigner for RingSigner {
    fn algorithm(&self) -> Algorithm {
        Algorithm::EdDSA
    }
}

struct RingVerifier(Vec<u8>);

impl Verifier<Vec<u8>> for RingVerifier {
    fn verify(&self, message: &[u8], signature: &Vec<u8>) -> Result<(), SignatureError> {
        UnparsedPublicKey::new(&ED25519, &self.0)
            .verify(message, signature)
            .map_err(|_| SignatureError::new())
    }
}

impl JwtVerifier for RingVerifier {
    fn algorithm(&self) -> Algorithm {
        Algorithm::EdDSA
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use chrono::TimeDelta;

    /// PKCS#8 of an Ed25519 key is this and the key's 32 bytes.
    const PKCS8: [u8; 16] = *b"\x30\x2e\x02\x01\x00\x30\x05\x06\x03\x2b\x65\x70\x04\x22\x04\x20";

    fn pair(seed: u8) -> (TokenSigner, TokenVerifier) {
        let private = [&PKCS8[..], &[seed; 32]].concat();
        let public = Ed25519KeyPair::from_seed_unchecked(&[seed; 32]).unwrap();
        let private = SecretString::from(BASE64_STANDARD.encode(private));
        let signer = TokenSigner::new(&private, Duration::from_secs(60)).unwrap();
        (
            signer,
            TokenVerifier::new(&BASE64_STANDARD.encode(public.public_key())).unwrap(),
        )
    }

    fn forged(
        signer: &TokenSigner,
        change: impl Fn(&mut Header, &mut serde_json::Value),
    ) -> String {
        let now = values::time::now().timestamp();
        let mut header = Header {
            typ: Some(TYPE.to_owned()),
            ..Header::new(Algorithm::EdDSA)
        };
        let mut claims = serde_json::json!({"iss": ISSUER, "aud": AUDIENCE, "sub": "7", "iat": now, "exp": now + 60});
        change(&mut header, &mut claims);
        jsonwebtoken::encode(&header, &claims, &signer.key).unwrap()
    }

    #[test]
    fn a_new_key_signs_what_its_public_half_checks() {
        let private = new_private_key().unwrap();
        let signer = TokenSigner::new(&private, Duration::from_secs(60)).unwrap();
        let verifier = TokenVerifier::new(&public_half(&private).unwrap()).unwrap();
        let token = signer.sign(UserId::from(7), values::time::now()).unwrap();
        assert_eq!(verifier.verify(&token), Some(UserId::from(7)));
    }

    #[test]
    fn a_token_names_the_user_it_was_signed_for() {
        let (signer, verifier) = pair(1);
        let token = signer.sign(UserId::from(7), values::time::now()).unwrap();
        assert_eq!(verifier.verify(&token), Some(UserId::from(7)));
        assert_eq!(
            verifier.verify(&forged(&signer, |_, _| {})),
            Some(UserId::from(7))
        );
        let by_now = values::time::now().timestamp();
        let begun = forged(&signer, |_, claims| claims["nbf"] = by_now.into());
        assert_eq!(verifier.verify(&begun), Some(UserId::from(7)));
    }

    #[test]
    fn a_token_that_is_not_ours_or_no_longer_valid_names_nobody() {
        let (signer, verifier) = pair(1);
        let token = signer.sign(UserId::from(7), values::time::now()).unwrap();
        let (other, _) = pair(2);
        let expired = signer
            .sign(
                UserId::from(7),
                values::time::now() - TimeDelta::seconds(120),
            )
            .unwrap();
        let unsigned = {
            let body = token.split('.').nth(1).unwrap();
            format!("eyJhbGciOiJub25lIiwidHlwIjoiYXQrand0In0.{body}.")
        };
        let mut wrong = vec![
            String::new(),
            "a.b.c".to_owned(),
            unsigned,
            expired,
            other.sign(UserId::from(7), values::time::now()).unwrap(),
            token[..token.len() - 3].to_owned(),
            forged(&signer, |header, _| header.typ = Some("JWT".to_owned())),
            forged(&signer, |header, _| header.typ = None),
        ];
        for (claim, value) in [("iss", "x"), ("aud", "x"), ("sub", "x"), ("sub", "-1")] {
            wrong.push(forged(&signer, |_, claims| claims[claim] = value.into()));
        }
        let now = values::time::now().timestamp();
        for later in [now + 3, now + 60] {
            wrong.push(forged(&signer, |_, claims| claims["nbf"] = later.into()));
        }
        for claim in ["iss", "aud", "sub", "exp"] {
            wrong.push(forged(&signer, |_, claims| {
                drop(claims.as_object_mut().unwrap().remove(claim))
            }));
        }
        for token in wrong {
            assert_eq!(verifier.verify(&token), None, "{token}");
        }
    }
}

//! Passwords: Argon2id with OWASP's parameters (19 MiB, two passes, one lane).

use std::str::FromStr;
use std::sync::{Mutex, PoisonError};

use argon2::password_hash::phc::{Output, ParamsString, Salt};
use argon2::password_hash::{Error, try_generate_salt};
use argon2::{Algorithm, Argon2, Block, Params, PasswordHash, Version};
use secrecy::{ExposeSecret, SecretString};

use super::TypedPassword;
use values::text::InvalidText;
use values::{deserialize_from_str, string_schema};

/// A new password: 8 to 128 characters, taken as they are.
#[derive(Debug)]
pub struct Password(SecretString);

impl FromStr for Password {
    type Err = InvalidText;

    fn from_str(text: &str) -> Result<Self, InvalidText> {
        if !(8..=128).contains(&text.chars().count()) {
            return Err(InvalidText("must be 8 to 128 characters"));
        }
        if text.contains('\0') {
            return Err(InvalidText("must not contain the NUL character"));
        }
        Ok(Self(SecretString::from(text)))
    }
}

deserialize_from_str!(Password);
string_schema!(Password, "Used unchanged.", 8, 128, "^[^\\u0000]*$");

impl Password {
    /// The hash to keep, with a salt of its own, in PHC format. On a thread of its own: it takes a processor for
    /// tens of milliseconds, in which other invocations of this process would stand still.
    pub(super) async fn hash(self) -> Result<String, HashError> {
        let hashing = tokio::task::spawn_blocking(move || self.hash_here());
        hashing.await?.map_err(HashError::Argon2)
    }

    fn hash_here(&self) -> Result<String, Error> {
        let (salt, params) = (Salt::new(&try_generate_salt()?)?, Params::default());
        let hash = PasswordHash {
            algorithm: Algorithm::default().ident(),
            version: Some(Version::default().into()),
            params: ParamsString::try_from(&params)?,
            salt: Some(salt),
            hash: Some(output(&self.0, &salt, params)?),
        };
        Ok(hash.to_string())
    }
}

/// A hash of no password that anybody can type, with the parameters of [`Argon2::default`]. A login with an unknown
/// name is checked against it, so that it costs as much as one with a known name.
const NOBODYS_HASH: &str = "$argon2id$v=19$m=19456,t=2,p=1$bm9ib2R5IGhhcyB0aGlz$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";

impl TypedPassword {
    /// Whether this is the password of `hash`, at the same cost where there is no hash. On a thread of its own, as
    /// [`Password::hash`].
    pub(super) async fn matches_hash(self, hash: Option<String>) -> Result<bool, HashError> {
        let checking = tokio::task::spawn_blocking(move || self.checks_here(hash.as_deref()));
        Ok(checking.await?)
    }

    fn checks_here(&self, hash: Option<&str>) -> bool {
        let matches = self.compare(hash.unwrap_or(NOBODYS_HASH)).unwrap_or(false);
        matches && hash.is_some()
    }

    /// Compares with a hash that [`Password::hash`] made. A hash of another algorithm or version matches no password.
    fn compare(&self, hash: &str) -> Result<bool, Error> {
        let hash = PasswordHash::new(hash)?;
        let salt = hash.salt.ok_or(Error::SaltInvalid)?;
        let output = output(&self.0, &salt, Params::try_from(&hash)?)?;
        // Compared in constant time.
        Ok(hash.hash == Some(output))
    }
}

/// The buffers that Argon2 works in, kept for as long as the process lives: one for each concurrent invocation.
///
/// The memory of a new buffer for each password would not be reused. glibc cuts a block of this alignment out of a
/// larger one, and once it is free, the next block doesn't fit into its place. So a process grew by 19 MiB a login,
/// until Lambda ended it.
static MEMORIES: Mutex<Vec<Vec<Block>>> = Mutex::new(Vec::new());

/// Why a password was not hashed.
#[derive(Debug, thiserror::Error)]
pub enum HashError {
    #[error("hashing: {0}")]
    Argon2(Error),
    #[error("hashing broke off")]
    BrokeOff(#[from] tokio::task::JoinError),
}

/// What Argon2id makes of a password.
fn output(password: &SecretString, salt: &[u8], params: Params) -> Result<Output, Error> {
    let argon2 = Argon2::from(params);
    let mut output = [0; Params::DEFAULT_OUTPUT_LEN];
    let memories = || MEMORIES.lock().unwrap_or_else(PoisonError::into_inner);
    let mut memory = memories().pop().unwrap_or_default();
    memory.resize(argon2.params().block_count(), Block::new());
    let hashed = argon2.hash_password_into_with_memory(
        password.expose_secret().as_bytes(),
        salt,
        &mut output,
        memory.as_mut_slice(),
    );
    memories().push(memory);
    hashed?;
    Ok(Output::new(&output)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_password_is_known_by_its_hash_only() {
        let password = || "correct horse".parse::<Password>().unwrap();
        let hash = password().hash().await.unwrap();
        assert!(
            hash.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"),
            "{hash}"
        );
        let other = password().hash().await.unwrap();
        assert_ne!(hash, other, "each hash has its own salt");
        let is_right = async |text: &str, hash: Option<&String>| {
            let attempt = TypedPassword(SecretString::from(text));
            attempt.matches_hash(hash.cloned()).await.unwrap()
        };
        assert!(is_right("correct horse", Some(&hash)).await);
        assert!(!is_right("Correct horse", Some(&hash)).await);
        assert!(!is_right("", None).await);
    }

    #[test]
    fn the_hash_for_unknown_names_costs_what_a_real_one_does() {
        let real: Password = "correct horse".parse().unwrap();
        let real = real.hash_here().unwrap();
        let parts = |hash: &str| {
            hash.split('$')
                .take(4)
                .map(str::to_owned)
                .collect::<Vec<_>>()
        };
        assert_eq!(parts(NOBODYS_HASH), parts(&real));
        assert!(argon2::PasswordHash::new(NOBODYS_HASH).is_ok());
    }

    #[test]
    fn a_password_has_8_to_128_characters_of_any_kind() {
        assert!("passwörd".parse::<Password>().is_ok());
        assert!("é".repeat(128).parse::<Password>().is_ok());
        for wrong in ["1234567", "1234567\0", &"é".repeat(129)] {
            assert!(wrong.parse::<Password>().is_err(), "{wrong:?}");
        }
    }
}

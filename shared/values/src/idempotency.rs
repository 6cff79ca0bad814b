//! The `Idempotency-Key` header (IETF draft), and the hash that binds a key to its body.
//!
//! Storing a key is left to the domain, so that the key and what its request created are one write. A booking's
//! key is kept in the table `request`, a payment's in the payment's record.

use std::fmt;
use std::time::Duration;

use crate::digest;

/// How long a key is kept: seven days. The contract says at least one.
pub const RETENTION: Duration = Duration::from_secs(7 * 24 * 60 * 60);

/// A key that a client chose for one request: 1 to 255 printable ASCII characters.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IdempotencyKey(String);

impl IdempotencyKey {
    /// The key in `text`, if it is one: as it stands, or in quotes, as the IETF's draft has it.
    pub fn parse(text: &[u8]) -> Option<Self> {
        let unquoted = unquoted(text);
        let text = unquoted.as_deref().unwrap_or(text);
        let valid =
            (1..=255).contains(&text.len()) && text.iter().all(|byte| matches!(byte, 0x20..=0x7e));
        valid.then(|| Self(String::from_utf8_lossy(text).into_owned()))
    }

    /// The key as the client wrote it.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// SHA-256 of a request's body, in hexadecimal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RequestHash(String);

impl RequestHash {
    /// The hash of a body, which the caller gives in canonical form.
    pub fn of(body: &[u8]) -> Self {
        Self(digest::sha256(body))
    }

    /// The hexadecimal digits.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// A request that may be repeated: its key and the hash of its body.
#[derive(Debug, Clone)]
pub struct IdempotentRequest {
    pub key: IdempotencyKey,
    pub hash: RequestHash,
}

/// What a string of RFC 9651 says; none where `text` isn't one.
fn unquoted(text: &[u8]) -> Option<Vec<u8>> {
    let inner = text.strip_prefix(b"\"")?.strip_suffix(b"\"")?;
    let mut said = Vec::with_capacity(inner.len());
    let mut bytes = inner.iter();
    while let Some(byte) = bytes.next() {
        match byte {
            b'"' => return None,
            b'\\' => said.push(*bytes.next().filter(|next| matches!(next, b'"' | b'\\'))?),
            byte => said.push(*byte),
        }
    }
    Some(said)
}

impl fmt::Display for IdempotencyKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_printable_ascii_of_one_to_255_characters() {
        assert!(IdempotencyKey::parse(b"order 17").is_some());
        assert!(IdempotencyKey::parse(&[b'k'; 255]).is_some());
        for wrong in [&b""[..], b"\"\"", b"a\tb", b"caf\xc3\xa9", &[b'k'; 256]] {
            assert!(IdempotencyKey::parse(wrong).is_none(), "{wrong:?}");
        }
        let longest = [&b"\""[..], &[b'k'; 255], b"\""].concat();
        assert!(IdempotencyKey::parse(&longest).is_some());
    }

    #[test]
    fn a_key_in_quotes_is_the_key_in_them() {
        let key = |text: &str| IdempotencyKey::parse(text.as_bytes()).unwrap().0;
        assert_eq!(key("\"k\""), key("k"));
        assert_eq!(key(r#""a \"b\" \\ c""#), r#"a "b" \ c"#);
        for literal in ["\"", "\"k", "k\"", "\"a\"b\"", r#""\k""#] {
            assert_eq!(key(literal), literal);
        }
    }
}

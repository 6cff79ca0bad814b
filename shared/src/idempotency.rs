//! The `Idempotency-Key` header (IETF draft), and the hash that binds a key to its body.
//!
//! Where a key's request is kept is the business's matter: a booking's in its row, a payment's in
//! its record, so that the key and what it made are one write.

use std::fmt;
use std::time::Duration;

use ring::digest;

/// How long a key is kept: seven days. The contract says at least one.
pub(crate) const RETENTION: Duration = Duration::from_secs(7 * 24 * 60 * 60);

/// A key that a client chose for one request: 1 to 255 printable ASCII characters.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IdempotencyKey(String);

impl IdempotencyKey {
    /// The key in `text`, if it is one.
    pub fn parse(text: &[u8]) -> Option<Self> {
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
    /// The hash of `body`, byte for byte as it was sent.
    pub fn of(body: &[u8]) -> Self {
        let digest = digest::digest(&digest::SHA256, body);
        Self(
            digest
                .as_ref()
                .iter()
                .map(|byte| format!("{byte:02x}"))
                .collect(),
        )
    }

    /// The hexadecimal digits.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// A request that may be repeated: its key and the hash of its body.
#[derive(Debug, Clone)]
pub struct Repeatable {
    pub key: IdempotencyKey,
    pub hash: RequestHash,
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
        for wrong in [&b""[..], b"a\tb", b"caf\xc3\xa9", &[b'k'; 256]] {
            assert!(IdempotencyKey::parse(wrong).is_none(), "{wrong:?}");
        }
    }
}

//! SHA-256, for what has to be told apart and not kept secret.

use std::fmt::Write as _;

use ring::digest;

/// The digest of some bytes, in 64 hexadecimal digits.
pub fn sha256(bytes: &[u8]) -> String {
    let digest = digest::digest(&digest::SHA256, bytes);
    digest
        .as_ref()
        .iter()
        .fold(String::new(), |mut text, byte| {
            // It can't fail: a text takes everything.
            _ = write!(text, "{byte:02x}");
            text
        })
}

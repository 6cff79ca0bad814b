//! Users: registering and logging in.
//!
//! Passwords are kept as Argon2id hashes with OWASP's parameters. Nothing here tells a stranger
//! which names exist: a login costs the same and answers the same for a wrong name as for a wrong
//! password. (Registering tells; it must, as names are unique.)

mod login;
mod password;
mod register;
#[cfg(test)]
mod steps;

use std::fmt;
use std::str::FromStr;

use email_address::{EmailAddress, Options};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa::openapi::schema::SchemaFormat;
use utoipa::openapi::{ObjectBuilder, RefOr, Schema, Type};

pub use login::{LoginError, log_in};
pub use password::Password;
pub use register::{RegisterError, register};

use values::ids::UserId;
use values::text::InvalidText;
use values::{deserialize_from_str, validated_text};

validated_text!(
    /// A name to log in with. Unique without regard to case.
    Username,
    |text| {
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
        let valid = (3..=64).contains(&text.len()) && text.bytes().all(plain);
        valid.then(|| text.to_owned())
    },
    "must be 3 to 64 letters, digits, '.', '_' or '-'",
    "Unique without regard to case.",
    3,
    64,
    "^[A-Za-z0-9._-]+$"
);

impl Username {
    /// What makes it unique.
    fn key(&self) -> String {
        self.as_str().to_ascii_lowercase()
    }
}

/// An e-mail address of at most 254 characters: no display name, and a domain with a name.
#[derive(Clone, PartialEq, Eq, Serialize, sqlx::Type)]
#[serde(transparent)]
#[sqlx(transparent)]
pub struct Email(String);

impl FromStr for Email {
    type Err = InvalidText;

    fn from_str(text: &str) -> Result<Self, InvalidText> {
        let options = Options::default()
            .without_display_text()
            .without_domain_literal()
            .with_required_tld();
        EmailAddress::parse_with_options(text, options)
            .ok()
            .filter(|_| text.len() <= 254 && !text.contains(char::is_control))
            // No top-level domain is a number: such a domain is an IP address.
            .filter(|address| {
                let top = address.domain().rsplit('.').next().unwrap_or_default();
                !top.bytes().all(|byte| byte.is_ascii_digit())
            })
            .map(|_| Self(text.to_owned()))
            .ok_or(InvalidText(
                "must be an e-mail address of at most 254 characters",
            ))
    }
}

deserialize_from_str!(Email);

/// Hides the address, because it would be personal data in a log.
impl fmt::Debug for Email {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Email(…)")
    }
}

impl utoipa::PartialSchema for Email {
    fn schema() -> RefOr<Schema> {
        ObjectBuilder::new()
            .schema_type(Type::String)
            .description(Some("An e-mail address, without a display name."))
            .format(Some(SchemaFormat::Custom("email".to_owned())))
            .max_length(Some(254))
            .into()
    }
}

impl utoipa::ToSchema for Email {}

/// Who wants to be a user.
#[derive(Debug, ToSchema)]
pub struct Registration {
    pub username: Username,
    pub password: Password,
    #[schema(required = false)]
    pub email: Option<Email>,
}

/// A user who was registered.
#[derive(Debug, Serialize, ToSchema)]
pub struct User {
    pub user_id: UserId,
    pub username: Username,
}

/// A name and a password, as somebody who may be anybody typed them.
#[derive(Debug, ToSchema)]
pub struct Credentials {
    #[schema(example = "testuser")]
    pub username: String,
    #[schema(value_type = String, example = "password123")]
    pub password: TypedPassword,
}

/// A password as somebody typed it, right or wrong.
#[derive(Debug, Deserialize)]
#[serde(transparent)]
pub struct TypedPassword(secrecy::SecretString);

impl TypedPassword {
    /// What somebody typed.
    pub fn new(text: &str) -> Self {
        Self(text.into())
    }
}

/// A login that succeeded.
#[derive(Debug, Serialize, ToSchema)]
pub struct Session {
    pub user_id: UserId,
    pub access_token: String,
    /// Always `Bearer`.
    #[schema(example = "Bearer")]
    pub token_type: &'static str,
    /// Seconds until the token ends.
    pub expires_in: u64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_username_has_three_to_sixty_four_plain_characters() {
        for right in ["abc", "test.user_1-x", &"a".repeat(64)] {
            assert!(right.parse::<Username>().is_ok(), "{right}");
        }
        for wrong in ["ab", "a b c", "josé", "abc\0", "", &"a".repeat(65)] {
            assert!(wrong.parse::<Username>().is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn an_email_is_an_address_of_at_most_254_characters() {
        for right in [
            "ana@example.org",
            "ana+tickets@mail.example.org",
            "o'neil@xn--bcher-kva.example",
        ] {
            assert!(right.parse::<Email>().is_ok(), "{right}");
        }
        for wrong in [
            "",
            "ana",
            "ana@",
            "@example.org",
            "a b@example.org",
            "a@b\0.org",
            "Ana <ana@example.org>",
            "<ana@example.org>",
            "ana@localhost",
            "ana@example",
            "ana@[127.0.0.1]",
            "ana@[IPv6:::1]",
            "ana@127.0.0.1",
            "ana@example.org\r\nbcc: all@example.org",
        ] {
            assert!(wrong.parse::<Email>().is_err(), "{wrong:?}");
        }
        let long = format!("ana@{}.org", "a.".repeat(130));
        assert!(long.parse::<Email>().is_err());
    }
}

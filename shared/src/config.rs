//! Everything a function is told by its environment, read once at its start.
//!
//! A function is given only what it needs: what is absent is missed when a client that needs it
//! is made, before the first request, and by name.

use std::env;
use std::time::Duration;

use secrecy::SecretString;

/// A function's settings. Each comes from the environment variable named in its line.
#[derive(Debug)]
pub struct Config {
    /// `ADMIT_USERS_DATABASE_URL`: PostgreSQL with the users, `postgres://…`.
    pub users_database_url: Setting<SecretString>,
    /// `ADMIT_BOOKINGS_DATABASE_URL`: PostgreSQL with events and bookings, `postgres://…`.
    pub bookings_database_url: Setting<SecretString>,
    /// `ADMIT_DOCUMENTS_URL`: the MongoDB-compatible server, `mongodb://…`.
    pub documents_url: Setting<SecretString>,
    /// `ADMIT_BROKER_URL`: RabbitMQ, `amqp://…` or `amqps://…`.
    pub broker_url: Setting<SecretString>,
    /// `ADMIT_SETTLE_QUEUE_URL`: the SQS queue that `settle-bookings` consumes.
    pub settle_queue_url: Setting<String>,
    /// `ADMIT_SETTLE_DEAD_LETTER_QUEUE_URL`: where its messages go that can't be read, or that failed
    /// too often.
    pub settle_dead_letter_queue_url: Setting<String>,
    /// `ADMIT_CHARGE_FUNCTION`: the name or ARN of `charge-payment`.
    pub charge_function: Setting<String>,
    /// `ADMIT_TOKEN_PRIVATE_KEY`: the Ed25519 key that signs tokens, PKCS#8 in base64. `login` only.
    pub token_private_key: Setting<SecretString>,
    /// `ADMIT_TOKEN_PUBLIC_KEY`: the key that checks tokens, 32 bytes in base64.
    pub token_public_key: Setting<String>,
    /// `ADMIT_TOKEN_SECONDS`: how long a token is valid, in seconds; default 3600.
    pub token_lifetime: Duration,
    /// `ADMIT_SETTLE_DELAY_SECONDS`: from an unknown payment to its first settling, 0 to 900
    /// seconds; default 5.
    pub settle_delay: Duration,
    /// `ADMIT_SWEEP_AFTER_SECONDS`: the age at which the sweep takes up what nobody finished,
    /// in seconds; default 60. Longer than any function runs, so that it takes nobody's work.
    pub sweep_after: Duration,
}

/// A setting that was wanted and isn't there, or can't be read.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    #[error("the environment variable {0} is not set")]
    Missing(&'static str),
    #[error("the environment variable {name} must be {expected}")]
    Invalid {
        name: &'static str,
        expected: &'static str,
    },
}

/// A setting that some functions have and others don't.
#[derive(Debug)]
pub struct Setting<T> {
    name: &'static str,
    value: Option<T>,
}

impl<T> Setting<T> {
    /// The setting, where it must be there.
    ///
    /// # Errors
    /// It isn't.
    pub fn required(&self) -> Result<&T, ConfigError> {
        self.value.as_ref().ok_or(ConfigError::Missing(self.name))
    }
}

impl Config {
    /// Reads the environment.
    ///
    /// # Errors
    /// A number that can't be read. A missing setting is an error where it is first needed.
    pub fn from_env() -> Result<Self, ConfigError> {
        Ok(Self {
            users_database_url: secret("ADMIT_USERS_DATABASE_URL"),
            bookings_database_url: secret("ADMIT_BOOKINGS_DATABASE_URL"),
            documents_url: secret("ADMIT_DOCUMENTS_URL"),
            broker_url: secret("ADMIT_BROKER_URL"),
            settle_queue_url: text("ADMIT_SETTLE_QUEUE_URL"),
            settle_dead_letter_queue_url: text("ADMIT_SETTLE_DEAD_LETTER_QUEUE_URL"),
            charge_function: text("ADMIT_CHARGE_FUNCTION"),
            token_private_key: secret("ADMIT_TOKEN_PRIVATE_KEY"),
            token_public_key: text("ADMIT_TOKEN_PUBLIC_KEY"),
            token_lifetime: seconds("ADMIT_TOKEN_SECONDS", 3600)?,
            settle_delay: seconds("ADMIT_SETTLE_DELAY_SECONDS", 5)?,
            sweep_after: seconds("ADMIT_SWEEP_AFTER_SECONDS", 60)?,
        })
    }
}

fn text(name: &'static str) -> Setting<String> {
    let value = env::var(name).ok().filter(|value| !value.is_empty());
    Setting { name, value }
}

fn secret(name: &'static str) -> Setting<SecretString> {
    Setting {
        name,
        value: text(name).value.map(SecretString::from),
    }
}

fn seconds(name: &'static str, default: u64) -> Result<Duration, ConfigError> {
    match text(name).value {
        None => Ok(Duration::from_secs(default)),
        Some(value) => value
            .parse()
            .map(Duration::from_secs)
            .map_err(|_| ConfigError::Invalid {
                name,
                expected: "a whole number of seconds",
            }),
    }
}

/// `ADMIT_FAULTS`: the folder in which tests arm faults; with the name of the function that this
/// process is. Debug builds only.
#[cfg(debug_assertions)]
pub(crate) fn faults() -> Option<(std::path::PathBuf, String)> {
    let function = env::var("AWS_LAMBDA_FUNCTION_NAME").unwrap_or_default();
    Some((env::var_os("ADMIT_FAULTS")?.into(), function))
}

//! Everything a function is told by its environment, read once at its start.
//!
//! A function gets only the settings that it needs. If one is missing, making the client that needs it fails
//! before the first request, with the variable's name.

use std::env;
use std::path::PathBuf;
use std::sync::OnceLock;
use std::time::Duration;

use crate::functions;

/// A function's settings. Each comes from the environment variable named in its line.
#[derive(Debug, Clone)]
pub struct Config {
    /// `ADMIT_DATABASE_SECRET`: the secret with the function's PostgreSQL account.
    pub database_secret: Setting<String>,
    /// `ADMIT_DATABASE_HOST`: the `host` or `host:port` of a pooler, which is used instead of the address in
    /// the secret. The pooler is RDS Proxy, or another one that gives each transaction a session of its own.
    pub pooler: Option<String>,
    /// `ADMIT_DOCUMENTS_SECRET`: the secret with the function's account of the document store.
    pub documents_secret: Setting<String>,
    /// `ADMIT_BROKER_SECRET`: the secret with the function's RabbitMQ account.
    pub broker_secret: Setting<String>,
    /// `ADMIT_TOKEN_KEY_SECRET`: the secret with the key that signs tokens. `login`, `pages-login` and `migrate` only.
    pub token_key_secret: Setting<String>,
    /// `ADMIT_DATABASE_OWNER_SECRET`: the secret of PostgreSQL's owner. `migrate` and `rotate-secret` only.
    pub database_owner_secret: Setting<String>,
    /// `ADMIT_DOCUMENTS_OWNER_SECRET`: the secret of the document store's owner. The same.
    pub documents_owner_secret: Setting<String>,
    /// `ADMIT_BROKER_OWNER_SECRET`: the secret of RabbitMQ's owner. The same.
    pub broker_owner_secret: Setting<String>,
    /// `ADMIT_ROLE_SECRETS`: the secrets of the accounts that `migrate` makes, with commas between.
    pub role_secrets: Setting<String>,
    /// `ADMIT_SETTLE_QUEUE_URL`: the SQS queue that `settle-bookings` consumes.
    pub settle_queue_url: Setting<String>,
    /// `ADMIT_SETTLE_DEAD_LETTER_QUEUE_URL`: where its messages go that can't be read, or that failed
    /// too often.
    pub settle_dead_letter_queue_url: Setting<String>,
    /// `ADMIT_CHARGE_FUNCTION`: the name or ARN of `charge-payment`.
    pub charge_function: Setting<String>,
    /// `ADMIT_TOKEN_PUBLIC_KEY`: the key that checks tokens, 32 bytes in base64.
    pub token_public_key: Setting<String>,
    /// `ADMIT_TOKEN_SECONDS`: how long a token is valid, in seconds; default 3600.
    pub token_lifetime: Duration,
    /// `ADMIT_SETTLE_DELAY_SECONDS`: from an unknown payment to its first settling, 0 to 900
    /// seconds; default 5.
    pub settle_delay: Duration,
    /// `ADMIT_SWEEP_AFTER_SECONDS`: the age at which the sweep takes over unfinished work, in seconds;
    /// default 60. Longer than any function runs, so that the sweep takes no work that is still in progress.
    pub sweep_after: Duration,
    /// `ADMIT_STACK`: the stack that metrics are of; default `local`.
    pub stack: String,
    /// `AWS_LAMBDA_MAX_CONCURRENCY`: how many invocations a process serves at once; 1 if Lambda does not set it,
    /// more on Lambda Managed Instances. A process has up to this many connections to PostgreSQL and to the broker,
    /// and twice as many to the document store.
    pub concurrency: usize,
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
#[derive(Debug, Clone)]
pub struct Setting<T> {
    name: &'static str,
    value: Option<T>,
}

impl<T> Setting<T> {
    /// The setting, where it must be there.
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
            database_secret: text("ADMIT_DATABASE_SECRET"),
            pooler: text("ADMIT_DATABASE_HOST").value,
            documents_secret: text("ADMIT_DOCUMENTS_SECRET"),
            broker_secret: text("ADMIT_BROKER_SECRET"),
            token_key_secret: text("ADMIT_TOKEN_KEY_SECRET"),
            database_owner_secret: text("ADMIT_DATABASE_OWNER_SECRET"),
            documents_owner_secret: text("ADMIT_DOCUMENTS_OWNER_SECRET"),
            broker_owner_secret: text("ADMIT_BROKER_OWNER_SECRET"),
            role_secrets: text("ADMIT_ROLE_SECRETS"),
            settle_queue_url: text("ADMIT_SETTLE_QUEUE_URL"),
            settle_dead_letter_queue_url: text("ADMIT_SETTLE_DEAD_LETTER_QUEUE_URL"),
            charge_function: text("ADMIT_CHARGE_FUNCTION"),
            token_public_key: text("ADMIT_TOKEN_PUBLIC_KEY"),
            token_lifetime: seconds("ADMIT_TOKEN_SECONDS", 3600)?,
            settle_delay: seconds("ADMIT_SETTLE_DELAY_SECONDS", 5)?,
            sweep_after: seconds("ADMIT_SWEEP_AFTER_SECONDS", 60)?,
            stack: text("ADMIT_STACK")
                .value
                .unwrap_or_else(|| "local".to_owned()),
            concurrency: concurrency(),
        })
    }
}

/// See [`Config::concurrency`]. What can't be read is 1, as `lambda_runtime` has it.
pub fn concurrency() -> usize {
    let told = text("AWS_LAMBDA_MAX_CONCURRENCY").value;
    told.and_then(|number| number.parse().ok())
        .unwrap_or(1)
        .max(1)
}

fn text(name: &'static str) -> Setting<String> {
    let value = env::var(name).ok().filter(|value| !value.is_empty());
    Setting { name, value }
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

/// The function that this process is, by the name of its package: Lambda's name for it has the
/// stack's before it.
pub fn function() -> &'static str {
    static NAME: OnceLock<&'static str> = OnceLock::new();
    NAME.get_or_init(|| {
        let whole = env::var("AWS_LAMBDA_FUNCTION_NAME").unwrap_or_default();
        let known = functions::ALL.iter().map(|function| function.name);
        known
            .filter(|name| {
                whole
                    .strip_suffix(name)
                    .is_some_and(|stack| stack.is_empty() || stack.ends_with('-'))
            })
            .max_by_key(|name| name.len())
            .unwrap_or_default()
    })
}

/// Where AWS's API is, if not at AWS: `AWS_ENDPOINT_URL`, or `AWS_ENDPOINT_URL_LAMBDA` for one service, as the SDKs
/// name them.
pub fn aws_endpoint(service: &str) -> Option<String> {
    let own = env::var(format!("AWS_ENDPOINT_URL_{service}"));
    own.or_else(|_| env::var("AWS_ENDPOINT_URL")).ok()
}

/// `ADMIT_CA_FILE`: the authorities that are trusted instead of Amazon's, in PEM. Locally only.
pub fn ca_file() -> Option<PathBuf> {
    env::var_os("ADMIT_CA_FILE").map(PathBuf::from)
}

/// `ADMIT_FAULTS`: the folder in which tests arm faults; with the name of the function that this
/// process is. Debug builds only.
#[cfg(debug_assertions)]
pub fn faults() -> Option<(PathBuf, String)> {
    Some((env::var_os("ADMIT_FAULTS")?.into(), function().to_owned()))
}

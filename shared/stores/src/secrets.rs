//! Secrets Manager: how the functions come by their passwords, also while these change.
//!
//! A store's account is a secret: where the store is, a name and a password. It is read when a
//! connection is first made and kept. A rotation changes the password while processes run: a process
//! whose login is refused reads the secret again and tries its current, pending and previous version.
//! Between the store's change and the secret's, only the pending version works.

use std::fmt;
use std::io;
use std::time::Duration;

use aws_sdk_secretsmanager::Client;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Deserializer, de};
use tokio::sync::Mutex;

use crate::aws::{self, AwsError};
use runtime::calls::{self, CallError};
use runtime::faults::FailPoint;

/// The longest that a request to Secrets Manager may take.
pub const SECRETS_TIMEOUT: Duration = Duration::from_secs(2);

/// Why there is no account to log in with.
#[derive(Debug, thiserror::Error)]
pub enum SecretError {
    #[error("reading the secret {id}")]
    Aws {
        id: String,
        source: CallError<AwsError>,
    },
    /// Its text isn't shown, only what is wrong with it.
    #[error("a secret is not an account's")]
    Content(#[from] serde_json::Error),
    #[error("the secret {0} is empty")]
    Empty(String),
}

/// Lets the error types of libraries, such as sqlx's, carry a [`SecretError`]. Its kind keeps callers from
/// retrying, because whatever was worth a retry has been retried already.
impl From<SecretError> for io::Error {
    fn from(error: SecretError) -> Self {
        Self::new(io::ErrorKind::PermissionDenied, error)
    }
}

/// What kind of store an account is of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Engine {
    Postgres,
    Mongo,
    RabbitMq,
}

/// An account of a store, as its secret describes it.
#[derive(Debug, Clone, Deserialize)]
pub struct StoreCredentials {
    pub engine: Engine,
    pub host: String,
    #[serde(deserialize_with = "port")]
    pub port: u16,
    /// The port of RabbitMQ's management API, which speaks HTTPS.
    #[serde(default, deserialize_with = "optional_port")]
    pub management_port: Option<u16>,
    /// The database that the account is for; RabbitMQ's virtual host.
    pub dbname: Option<String>,
    pub username: String,
    pub password: SecretString,
}

impl StoreCredentials {
    /// Reads a secret's text.
    pub fn read(text: &SecretString) -> Result<Self, SecretError> {
        Ok(serde_json::from_str(text.expose_secret())?)
    }

    /// Whether both are of one account, by whatever password.
    pub fn is_of(&self, other: &Self) -> bool {
        (self.engine, &self.host, self.port, &self.username)
            == (other.engine, &other.host, other.port, &other.username)
    }

    fn logs_in_as(&self, other: &Self) -> bool {
        self.is_of(other) && self.password.expose_secret() == other.password.expose_secret()
    }
}

/// A number; RDS writes it as one, a template's text as a string.
fn port<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u16, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Port {
        Number(u16),
        Text(String),
    }
    match Port::deserialize(deserializer)? {
        Port::Number(number) => Ok(number),
        Port::Text(text) => text.parse().map_err(de::Error::custom),
    }
}

fn optional_port<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<u16>, D::Error> {
    port(deserializer).map(Some)
}

/// Which of a secret's versions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    Current,
    /// Made by a rotation that has not ended.
    Pending,
    Previous,
}

impl Stage {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Current => "AWSCURRENT",
            Self::Pending => "AWSPENDING",
            Self::Previous => "AWSPREVIOUS",
        }
    }
}

/// A version of a secret.
pub struct Version {
    pub id: String,
    pub text: SecretString,
}

/// Reads a version of a secret, by its stage and, where one is given, its id; none where there is no such.
pub fn read<'r>(
    client: &'r Client,
    id: &'r str,
    stage: Stage,
    version: Option<&'r str>,
) -> BoxFuture<'r, Result<Option<Version>, CallError<AwsError>>> {
    calls::idempotent(
        FailPoint("ReadSecret"),
        SECRETS_TIMEOUT,
        AwsError::is_transient,
        move || async move {
            let reading = client.get_secret_value().secret_id(id);
            let reading = reading.set_version_id(version.map(str::to_owned));
            match reading.version_stage(stage.as_str()).send().await {
                Ok(answer) => Ok(answer.secret_string.map(|text| Version {
                    id: answer.version_id.unwrap_or_default(),
                    text: SecretString::from(text),
                })),
                Err(error) => match error.as_service_error() {
                    Some(refused) if refused.is_resource_not_found_exception() => Ok(None),
                    _ => Err(AwsError::from(error)),
                },
            }
        },
    )
    .boxed()
}

/// An error that may say that a name or a password was wrong.
pub trait AuthRejected: From<SecretError> {
    /// Whether it says so.
    fn is_auth_rejected(&self) -> bool;
}

/// An account, read when it is first used.
pub struct Secret {
    client: Client,
    id: String,
    kept: Mutex<Option<StoreCredentials>>,
}

impl Secret {
    /// The secret with this name or ARN.
    pub async fn new(id: &str) -> Self {
        Self::of(aws::secrets_manager(SECRETS_TIMEOUT).await, id)
    }

    pub fn of(client: Client, id: &str) -> Self {
        Self {
            client,
            id: id.to_owned(),
            kept: Mutex::new(None),
        }
    }

    /// The account that logged in last, or else the secret's current version.
    pub async fn credentials(&self) -> Result<StoreCredentials, SecretError> {
        if let Some(kept) = self.kept.lock().await.clone() {
            return Ok(kept);
        }
        let now = self.version(Stage::Current).await?;
        now.ok_or_else(|| SecretError::Empty(self.id.clone()))
    }

    /// Logs in with the password that worked last. If it is refused, tries the secret's versions.
    pub async fn log_in<T, E, Opening>(
        &self,
        open: impl Fn(StoreCredentials) -> Opening,
    ) -> Result<T, E>
    where
        E: AuthRejected,
        Opening: Future<Output = Result<T, E>>,
    {
        let mut refused = None;
        let mut tried: Vec<StoreCredentials> = Vec::new();
        let kept = self.kept.lock().await.clone();
        for source in [
            None,
            Some(Stage::Current),
            Some(Stage::Pending),
            Some(Stage::Previous),
        ] {
            let server = match source {
                None => kept.clone(),
                Some(stage) => self.version(stage).await?,
            };
            let Some(server) = server.filter(|new| !tried.iter().any(|old| old.logs_in_as(new)))
            else {
                continue;
            };
            match open(server.clone()).await {
                Err(error) if error.is_auth_rejected() => {
                    tracing::info!(secret = self.id, "password refused");
                    refused = Some(error);
                    tried.push(server);
                }
                outcome => {
                    *self.kept.lock().await = Some(server);
                    return outcome;
                }
            }
        }
        Err(refused.unwrap_or_else(|| SecretError::Empty(self.id.clone()).into()))
    }

    /// The account as one of the secret's versions has it.
    pub async fn version(&self, stage: Stage) -> Result<Option<StoreCredentials>, SecretError> {
        let version = read(&self.client, &self.id, stage, None).await;
        let version = version.map_err(|source| SecretError::Aws {
            id: self.id.clone(),
            source,
        })?;
        version
            .map(|version| StoreCredentials::read(&version.text))
            .transpose()
    }
}

/// Prints no password.
impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Secret").field(&self.id).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn server(text: &str) -> Result<StoreCredentials, SecretError> {
        StoreCredentials::read(&SecretString::from(text))
    }

    #[test]
    fn an_account_is_read_whether_its_port_is_a_number_or_a_text() {
        for port in ["5671", "\"5671\""] {
            let text = format!(
                r#"{{"engine":"rabbitmq","host":"h","port":{port},"management_port":{port},
                    "username":"u","password":"p","dbname":"/","of":"no interest"}}"#
            );
            let read = server(&text).unwrap();
            assert_eq!((read.port, read.management_port), (5671, Some(5671)));
        }
    }

    #[test]
    fn what_is_no_account_is_refused_without_showing_it() {
        let error = server(r#"{"engine":"postgres","password":"hidden"}"#).unwrap_err();
        assert!(!format!("{error:?}").contains("hidden"), "{error:?}");
    }
}

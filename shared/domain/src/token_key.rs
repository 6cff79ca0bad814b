//! The key that signs tokens, in Secrets Manager: made by the first deploy, read by `login` and `pages-login`.

use std::time::Duration;

use aws_sdk_secretsmanager::Client;
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize};
use tokio::sync::OnceCell;

use crate::auth::{self, KeyError, TokenSigner};
use runtime::FromConfig;
use runtime::calls::{self, CallError};
use runtime::config::Config;
use runtime::faults::FailPoint;
use stores::aws::{self, AwsError};
use stores::secrets::{self, SECRETS_TIMEOUT, Stage, Version};

/// Why there is no key.
#[derive(Debug, thiserror::Error)]
pub enum TokenKeyError {
    #[error("using Secrets Manager")]
    Aws(#[from] CallError<AwsError>),
    #[error("reading the key")]
    Key(#[from] KeyError),
    #[error("the secret {0} has no key: was the deploy's migration run?")]
    Missing(String),
}

#[derive(Serialize, Deserialize)]
struct Content {
    private_key: Option<String>,
}

/// What the secret has now.
#[derive(Default)]
struct Found {
    key: Option<SecretString>,
    version: String,
}

/// The key in its secret.
#[derive(Debug)]
pub struct TokenKey {
    client: Client,
    id: String,
    lifetime: Duration,
    signer: OnceCell<TokenSigner>,
}

impl FromConfig for TokenKey {
    async fn from_config(config: &Config) -> Result<Self, runtime::Error> {
        Ok(Self {
            id: config.token_key_secret.required()?.clone(),
            client: aws::secrets_manager(SECRETS_TIMEOUT).await,
            lifetime: config.token_lifetime,
            signer: OnceCell::new(),
        })
    }
}

impl TokenKey {
    /// A new key that no secret has.
    #[cfg(test)]
    pub(crate) fn made() -> Self {
        let lifetime = Duration::from_secs(3600);
        let signer = TokenSigner::new(&auth::new_private_key().unwrap(), lifetime).unwrap();
        Self {
            client: crate::testing::secrets_manager(),
            id: String::new(),
            lifetime,
            signer: OnceCell::new_with(Some(signer)),
        }
    }

    /// The signer that uses this key. A process reads the key once.
    pub async fn signer(&self) -> Result<&TokenSigner, TokenKeyError> {
        let reading = self.signer.get_or_try_init(|| async {
            let key = self.key_or_missing(self.read().await?)?;
            Ok(TokenSigner::new(&key, self.lifetime)?)
        });
        reading.await
    }

    /// The key's public half, 32 bytes in base64. Makes the key if there is none. If two callers make one
    /// at the same time, both get the first.
    pub async fn public_half(&self) -> Result<String, TokenKeyError> {
        let mut found = self.read().await?;
        if found.key.is_none() {
            let made = auth::new_private_key()?;
            self.write(&made, &found.version).await?;
            found = self.read().await?;
        }
        Ok(auth::public_half(&self.key_or_missing(found)?)?)
    }

    fn key_or_missing(&self, found: Found) -> Result<SecretString, TokenKeyError> {
        found
            .key
            .ok_or_else(|| TokenKeyError::Missing(self.id.clone()))
    }

    async fn read(&self) -> Result<Found, CallError<AwsError>> {
        let read = secrets::read(&self.client, &self.id, Stage::Current, None).await?;
        let Some(Version { id, text }) = read else {
            return Ok(Found::default());
        };
        let content = serde_json::from_str::<Content>(text.expose_secret()).ok();
        Ok(Found {
            key: content.and_then(|content| content.private_key.map(SecretString::from)),
            version: id,
        })
    }

    /// Writes a key as the version after `behind`, which had none. The new version's name is derived from
    /// `behind`, so that a second writer finds the name taken.
    async fn write(&self, key: &SecretString, behind: &str) -> Result<(), CallError<AwsError>> {
        let content = Content {
            private_key: Some(key.expose_secret().to_owned()),
        };
        let content =
            serde_json::to_string(&content).map_err(|error| AwsError::Refused(error.into()))?;
        // Of a version's name 32 to 64 characters are wanted.
        let name = format!("{behind:0<47.47}-and-its-key");
        calls::idempotent(
            FailPoint("WriteTokenKey"),
            SECRETS_TIMEOUT,
            AwsError::is_transient,
            || async {
                let writing = self.client.put_secret_value().secret_id(&self.id);
                let writing = writing.client_request_token(&name);
                match writing.secret_string(&content).send().await {
                    Ok(_) => Ok(()),
                    Err(error) => match error.as_service_error() {
                        // Another one's key was first.
                        Some(refused) if refused.is_resource_exists_exception() => Ok(()),
                        _ => Err(AwsError::from(error)),
                    },
                }
            },
        )
        .await
    }
}

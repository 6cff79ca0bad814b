//! The rotation of a secret: Secrets Manager's four steps, each safe to repeat.
//!
//! ```text
//! createSecret   a new password, pending
//! setSecret      the store has it: from now on the old one is refused
//! testSecret     it lets in
//! finishSecret   it is the current one
//! ```
//!
//! Between the second and the last step, the store refuses a new login with the current password. The
//! process then finds the pending one, see [`stores::secrets`]. Open sessions stay logged in.

use std::collections::HashMap;

use aws_sdk_secretsmanager::Client;
use secrecy::{ExposeSecret, SecretString};
use serde_json::Value;
use strum::EnumString;

pub use aws_lambda_events::secretsmanager::SecretsManagerSecretRotationEvent as Request;

use crate::accounts::{self, AccountError, Owners};
use runtime::Error;
use runtime::calls::{self, CallError};
use runtime::config::Config;
use runtime::faults::FailPoint;
use stores::aws::{self, AwsError};
use stores::secrets::{self, AuthRejected, SECRETS_TIMEOUT, SecretError, Stage, StoreCredentials};

/// The four steps.
#[derive(Debug, Clone, Copy, EnumString)]
enum Step {
    #[strum(serialize = "createSecret")]
    Create,
    #[strum(serialize = "setSecret")]
    Set,
    #[strum(serialize = "testSecret")]
    Test,
    #[strum(serialize = "finishSecret")]
    Finish,
}

/// Why a step was not done. Secrets Manager repeats it.
#[derive(Debug, thiserror::Error)]
pub enum RotationError {
    #[error("using Secrets Manager")]
    Aws(#[from] CallError<AwsError>),
    #[error("changing the account")]
    Account(#[from] CallError<AccountError>),
    #[error("reading the secret")]
    Secret(#[from] SecretError),
    #[error("there is no step {0:?}")]
    UnknownStep(String),
    #[error("the secret has no {0} version to rotate")]
    Missing(&'static str),
    #[error("the pending version is of another account")]
    OtherAccount,
}

/// Rotates the secrets of the stores' accounts.
#[derive(Debug)]
pub struct Rotation {
    client: Client,
    owners: Owners,
}

impl Rotation {
    /// A rotation by the owners that the configuration names.
    pub async fn new(config: &Config) -> Result<Self, Error> {
        Ok(Self {
            client: aws::secrets_manager(SECRETS_TIMEOUT).await,
            owners: Owners::new(config).await?,
        })
    }

    /// Does one step. Safe to repeat.
    #[tracing::instrument(skip_all, fields(step = request.step, secret = request.secret_id))]
    pub async fn carry_out(&self, request: &Request) -> Result<(), RotationError> {
        let step = request.step.parse();
        match step.map_err(|_| RotationError::UnknownStep(request.step.clone()))? {
            Step::Create => self.create(request).await,
            Step::Set => self.set(request).await,
            Step::Test => Ok(accounts::open(&self.pending(request).await?).await?),
            Step::Finish => self.finish(request).await,
        }
    }

    async fn create(&self, request: &Request) -> Result<(), RotationError> {
        if self.read(request, Stage::Pending).await?.is_some() {
            return Ok(());
        }
        let current = self.read(request, Stage::Current).await?;
        let current = current.ok_or(RotationError::Missing("current"))?;
        let mut account: Value =
            serde_json::from_str(current.expose_secret()).map_err(SecretError::from)?;
        account["password"] = self.password().await?.into();
        let account = account.to_string();
        calls::idempotent(
            FailPoint("PutSecret"),
            SECRETS_TIMEOUT,
            AwsError::is_transient,
            || async {
                let putting = self.client.put_secret_value().secret_id(&request.secret_id);
                let putting = putting
                    .client_request_token(&request.client_request_token)
                    .secret_string(&account)
                    .version_stages(Stage::Pending.as_str());
                putting.send().await.map_err(AwsError::from)
            },
        )
        .await?;
        Ok(())
    }

    /// 32 letters and digits: 190 bits, and nothing that a URL, a statement or a shell minds.
    async fn password(&self) -> Result<String, CallError<AwsError>> {
        let made = calls::idempotent(
            FailPoint("MakePassword"),
            SECRETS_TIMEOUT,
            AwsError::is_transient,
            || async {
                let making = self.client.get_random_password().password_length(32);
                let making = making.exclude_punctuation(true).send();
                making.await.map_err(AwsError::from)
            },
        )
        .await?;
        Ok(made.random_password.unwrap_or_default())
    }

    async fn set(&self, request: &Request) -> Result<(), RotationError> {
        let pending = self.pending(request).await?;
        match accounts::open(&pending).await {
            // A repeat of this step.
            Ok(()) => return Ok(()),
            Err(CallError::Failed(error)) if error.is_auth_rejected() => {}
            Err(error) => return Err(error.into()),
        }
        let current = self.read(request, Stage::Current).await?;
        let current = current.ok_or(RotationError::Missing("current"))?;
        if !pending.is_of(&StoreCredentials::read(&current)?) {
            return Err(RotationError::OtherAccount);
        }
        Ok(self.owners.set_password(&pending).await?)
    }

    async fn finish(&self, request: &Request) -> Result<(), RotationError> {
        let described = calls::idempotent(
            FailPoint("DescribeSecret"),
            SECRETS_TIMEOUT,
            AwsError::is_transient,
            || async {
                let describing = self.client.describe_secret().secret_id(&request.secret_id);
                describing.send().await.map_err(AwsError::from)
            },
        )
        .await?;
        let versions = described.version_ids_to_stages.unwrap_or_default();
        let current = version_at(&versions, Stage::Current);
        if current == Some(&request.client_request_token) {
            return Ok(());
        }
        calls::once(FailPoint("PromoteSecret"), SECRETS_TIMEOUT, || async {
            let promoting = self.client.update_secret_version_stage();
            let promoting = promoting
                .secret_id(&request.secret_id)
                .version_stage(Stage::Current.as_str())
                .move_to_version_id(&request.client_request_token)
                .set_remove_from_version_id(current.cloned());
            promoting.send().await.map_err(AwsError::from)
        })
        .await?;
        tracing::info!("password rotated");
        Ok(())
    }

    async fn pending(&self, request: &Request) -> Result<StoreCredentials, RotationError> {
        let text = self.read(request, Stage::Pending).await?;
        Ok(StoreCredentials::read(
            &text.ok_or(RotationError::Missing("pending"))?,
        )?)
    }

    /// Reads a version; the pending one only if it is this rotation's.
    async fn read(
        &self,
        request: &Request,
        stage: Stage,
    ) -> Result<Option<SecretString>, CallError<AwsError>> {
        let made_here = (stage == Stage::Pending).then_some(&*request.client_request_token);
        let version = secrets::read(&self.client, &request.secret_id, stage, made_here).await?;
        Ok(version.map(|version| version.text))
    }
}

fn version_at(versions: &HashMap<String, Vec<String>>, stage: Stage) -> Option<&String> {
    let mut versions = versions.iter();
    let found = versions.find(|(_, stages)| stages.iter().any(|name| name == stage.as_str()));
    found.map(|(id, _)| id)
}

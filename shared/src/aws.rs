//! Clients of AWS: Lambda, SQS and Secrets Manager.

use std::io;
use std::time::Duration;

use aws_config::retry::RetryConfig;
use aws_config::timeout::TimeoutConfig;
use aws_config::{BehaviorVersion, SdkConfig};
use aws_sdk_lambda::error::SdkError;
use aws_smithy_http_client::Builder;
use aws_smithy_http_client::tls::{Provider, rustls_provider::CryptoMode};
use aws_smithy_runtime_api::box_error::BoxError;
use aws_smithy_runtime_api::client::interceptors::Intercept;
use aws_smithy_runtime_api::client::interceptors::context::BeforeSerializationInterceptorContextRef;
use aws_smithy_runtime_api::client::orchestrator::Metadata;
use aws_smithy_runtime_api::client::runtime_components::RuntimeComponents;
use aws_smithy_types::config_bag::ConfigBag;
use tokio::sync::OnceCell;

use crate::calls::{self, Failure};
use crate::{Error, config};

/// What AWS's clients share: region, credentials and endpoints from the environment, one TLS
/// provider, and no waiting longer than `timeout` for any answer.
///
/// Nothing is retried here: whoever calls knows whether a repeat is safe.
async fn settings(timeout: Duration) -> SdkConfig {
    // Once for all clients of a process: an HTTP client reads every authority of the system.
    static COMMON: OnceCell<SdkConfig> = OnceCell::const_new();
    let common = COMMON.get_or_init(|| async {
        let http = Builder::new()
            .tls_provider(Provider::Rustls(CryptoMode::Ring))
            .build_https();
        aws_config::defaults(BehaviorVersion::latest())
            .http_client(http)
            .retry_config(RetryConfig::disabled())
            .load()
            .await
    });
    let timeouts = TimeoutConfig::builder()
        .connect_timeout(Duration::from_secs(1))
        .operation_timeout(timeout)
        .build();
    let common = common.await.to_builder();
    common.timeout_config(timeouts).build()
}

/// A client of Lambda.
pub async fn lambda(timeout: Duration) -> aws_sdk_lambda::Client {
    let config = aws_sdk_lambda::config::Builder::from(&settings(timeout).await);
    aws_sdk_lambda::Client::from_conf(config.interceptor(NameCalls).build())
}

/// A client of SQS.
pub async fn sqs(timeout: Duration) -> aws_sdk_sqs::Client {
    let config = aws_sdk_sqs::config::Builder::from(&settings(timeout).await);
    aws_sdk_sqs::Client::from_conf(config.interceptor(NameCalls).build())
}

/// A client of Secrets Manager.
pub async fn secrets_manager(timeout: Duration) -> aws_sdk_secretsmanager::Client {
    let config = aws_sdk_secretsmanager::config::Builder::from(&settings(timeout).await);
    aws_sdk_secretsmanager::Client::from_conf(config.interceptor(NameCalls).build())
}

/// Why a call of AWS has no answer.
#[derive(Debug, thiserror::Error)]
pub enum AwsError {
    #[error("the connection to AWS")]
    Connection(#[from] io::Error),
    #[error("calling AWS")]
    Refused(#[source] Error),
}

impl<E> From<SdkError<E>> for AwsError
where
    E: std::error::Error + Send + Sync + 'static,
{
    fn from(error: SdkError<E>) -> Self {
        match &error {
            SdkError::DispatchFailure(failure) if !failure.is_timeout() => {
                Self::Connection(io::Error::other(error))
            }
            _ => Self::Refused(error.into()),
        }
    }
}

impl Failure for AwsError {
    fn is_transient(&self) -> bool {
        matches!(self, Self::Connection(error) if calls::is_broken(error))
    }
}

/// Says which function calls what: the tests hold that against the function's rights.
#[derive(Debug)]
struct NameCalls;

impl Intercept for NameCalls {
    fn name(&self) -> &'static str {
        "NameCalls"
    }

    fn read_before_serialization(
        &self,
        _: &BeforeSerializationInterceptorContextRef<'_>,
        _: &RuntimeComponents,
        settings: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        if let Some(call) = settings.load::<Metadata>() {
            let (service, operation) = (call.service(), call.name());
            tracing::debug!(caller = config::function(), service, operation, "calls AWS");
        }
        Ok(())
    }
}

//! Clients of AWS: Lambda, SQS and Secrets Manager.

use std::time::Duration;

use aws_config::environment::{
    EnvironmentVariableCredentialsProvider, EnvironmentVariableRegionProvider,
};
use aws_config::meta::region::ProvideRegion;
use aws_config::retry::RetryConfig;
use aws_config::timeout::TimeoutConfig;
use aws_config::{BehaviorVersion, SdkConfig};
use aws_credential_types::provider::SharedCredentialsProvider;
use aws_runtime::retries::classifiers::THROTTLING_ERRORS;
use aws_sdk_lambda::error::{ProvideErrorMetadata, SdkError};
use aws_smithy_http_client::Builder;
use aws_smithy_http_client::tls::{Provider, TlsContext, TrustStore, rustls_provider::CryptoMode};
use aws_smithy_runtime_api::box_error::BoxError;
use aws_smithy_runtime_api::client::http::SharedHttpClient;
use aws_smithy_runtime_api::client::interceptors::Intercept;
use aws_smithy_runtime_api::client::interceptors::context::BeforeSerializationInterceptorContextRef;
use aws_smithy_runtime_api::client::orchestrator::{HttpResponse, Metadata};
use aws_smithy_runtime_api::client::result::ServiceError;
use aws_smithy_runtime_api::client::runtime_components::RuntimeComponents;
use aws_smithy_types::config_bag::ConfigBag;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use tokio::sync::OnceCell;

use crate::tls::api_authorities;
use runtime::{Error, config};

/// What AWS's clients share: region and credentials from the environment, where Lambda puts them, one TLS
/// provider, and no waiting longer than `timeout` for any answer. The SDK's own chain also looks at files, other
/// services and the network: it would delay a function's start.
///
/// Nothing is retried here: whoever calls knows whether a repeat is safe.
async fn settings(service: &str, timeout: Duration) -> SdkConfig {
    static COMMON: OnceCell<SdkConfig> = OnceCell::const_new();
    let common = COMMON.get_or_init(|| async {
        let credentials = EnvironmentVariableCredentialsProvider::new();
        SdkConfig::builder()
            .behavior_version(BehaviorVersion::latest())
            .region(EnvironmentVariableRegionProvider::new().region().await)
            .credentials_provider(SharedCredentialsProvider::new(credentials))
            .http_client(http_client())
            .retry_config(RetryConfig::disabled())
            .build()
    });
    let timeouts = TimeoutConfig::builder()
        .connect_timeout(Duration::from_secs(1))
        .operation_timeout(timeout)
        .build();
    let mut common = common.await.to_builder();
    common.set_endpoint_url(config::aws_endpoint(service));
    common.timeout_config(timeouts).build()
}

/// An HTTP client with the one TLS provider.
pub(crate) fn http_client() -> SharedHttpClient {
    let roots = TrustStore::empty().with_pem_certificate(api_authorities());
    // Can't fail: it only keeps what it is given.
    let context = TlsContext::builder().with_trust_store(roots).build();
    Builder::new()
        .tls_provider(Provider::Rustls(CryptoMode::Ring))
        .tls_context(context.unwrap_or_default())
        .build_https()
}

/// A client of Lambda.
pub fn lambda(timeout: Duration) -> BoxFuture<'static, aws_sdk_lambda::Client> {
    async move {
        let config = aws_sdk_lambda::config::Builder::from(&settings("LAMBDA", timeout).await);
        aws_sdk_lambda::Client::from_conf(config.interceptor(NameCalls).build())
    }
    .boxed()
}

/// A client of SQS.
pub fn sqs(timeout: Duration) -> BoxFuture<'static, aws_sdk_sqs::Client> {
    async move {
        let config = aws_sdk_sqs::config::Builder::from(&settings("SQS", timeout).await);
        aws_sdk_sqs::Client::from_conf(config.interceptor(NameCalls).build())
    }
    .boxed()
}

/// A client of Secrets Manager.
pub fn secrets_manager(timeout: Duration) -> BoxFuture<'static, aws_sdk_secretsmanager::Client> {
    async move {
        let settings = settings("SECRETS_MANAGER", timeout).await;
        let config = aws_sdk_secretsmanager::config::Builder::from(&settings);
        aws_sdk_secretsmanager::Client::from_conf(config.interceptor(NameCalls).build())
    }
    .boxed()
}

/// Why a call of AWS has no answer.
#[derive(Debug, thiserror::Error)]
pub enum AwsError {
    #[error("the connection to AWS")]
    Connection(#[source] Error),
    /// It throttles, or has an error of its own: a repeat may go well.
    #[error("AWS is busy")]
    Busy(#[source] Error),
    #[error("calling AWS")]
    Refused(#[source] Error),
}

impl<E> From<SdkError<E>> for AwsError
where
    E: std::error::Error + ProvideErrorMetadata + Send + Sync + 'static,
{
    fn from(error: SdkError<E>) -> Self {
        match &error {
            SdkError::DispatchFailure(failure) if !failure.is_timeout() => {
                Self::Connection(error.into())
            }
            // An answer that broke off.
            SdkError::ResponseError(_) => Self::Connection(error.into()),
            SdkError::ServiceError(service) if is_busy(service) => Self::Busy(error.into()),
            _ => Self::Refused(error.into()),
        }
    }
}

impl AwsError {
    /// Whether a call that failed so may go well on its repeat.
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Connection(_) | Self::Busy(_) => true,
            Self::Refused(_) => false,
        }
    }
}

/// Whether a service that answers this may do what was asked in a moment.
fn is_busy<E: ProvideErrorMetadata>(answered: &ServiceError<E, HttpResponse>) -> bool {
    answered.raw().status().is_server_error()
        || answered
            .err()
            .code()
            .is_some_and(|code| THROTTLING_ERRORS.contains(&code))
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

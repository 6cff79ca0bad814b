//! Requests to what is neither a store nor one of AWS's services: RabbitMQ's management and the
//! address where CloudFormation waits for an answer. Both prove who they are by an authority of Amazon's.

use std::io;

use aws_smithy_http_client::Connector;
use aws_smithy_http_client::tls::{Provider, TlsContext, TrustStore, rustls_provider::CryptoMode};
use aws_smithy_runtime_api::client::http::HttpConnector;
use aws_smithy_runtime_api::client::result::ConnectorError;
use aws_smithy_runtime_api::http::{HttpError, Request};
use aws_smithy_types::body::SdkBody;

use crate::tls;
use runtime::Error;

/// Why a request has no answer.
#[derive(Debug, thiserror::Error)]
pub enum WebError {
    #[error("the certificates of the authorities")]
    Authorities(#[from] io::Error),
    #[error("making the request")]
    Request(#[from] HttpError),
    #[error("preparing the connection")]
    Tls(#[source] Error),
    #[error("the connection")]
    Connection(#[from] ConnectorError),
}

/// Sends a request; the status of its answer.
pub async fn send(
    method: &'static str,
    url: &str,
    headers: &[(&'static str, String)],
    body: &str,
) -> Result<u16, WebError> {
    let mut request = Request::new(SdkBody::from(body));
    request.set_method(method)?;
    request.set_uri(url)?;
    for (name, value) in headers {
        request.headers_mut().insert(*name, value.clone());
    }
    let mut trusted = TrustStore::empty();
    for certificate in tls::authorities()?.split_inclusive("-----END CERTIFICATE-----\n") {
        trusted.add_pem_certificate(certificate);
    }
    let trusted = TlsContext::builder().with_trust_store(trusted).build();
    let connector = Connector::builder()
        .tls_provider(Provider::Rustls(CryptoMode::Ring))
        .tls_context(trusted.map_err(|error| WebError::Tls(error.into()))?)
        .build();
    let answer = connector.call(request).await?;
    Ok(answer.status().as_u16())
}

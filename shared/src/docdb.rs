//! The document store: MongoDB's protocol, spoken to DocumentDB on AWS.

use std::time::Duration;

use mongodb::Client;
use mongodb::error::{Error, ErrorKind, WriteFailure};
use mongodb::options::ClientOptions;
use secrecy::{ExposeSecret, SecretString};

use crate::http::Problem;

/// How long a request looks for a server before it is answered with 503.
const SELECTION_TIMEOUT: Duration = Duration::from_secs(3);

/// A client with a connection or two. It connects when it is first used.
///
/// # Errors
/// The URL can't be read.
pub async fn connect(url: &SecretString) -> Result<Client, Error> {
    let mut options = ClientOptions::parse(url.expose_secret()).await?;
    options.app_name = Some("admit".to_owned());
    options.max_pool_size = Some(2);
    options.server_selection_timeout = Some(SELECTION_TIMEOUT);
    options.connect_timeout = Some(Duration::from_secs(2));
    // Lambda freezes the process between requests; an old connection is more likely dead than not.
    options.max_idle_time = Some(Duration::from_secs(60));
    // DocumentDB has no retryable writes before its engine 8; ours are safe to repeat by design.
    options.retry_writes = Some(false);
    Client::with_options(options)
}

/// Whether the server was out of reach or going away, rather than the request wrong.
pub fn is_unavailable(error: &Error) -> bool {
    matches!(
        *error.kind,
        ErrorKind::Io(_)
            | ErrorKind::ServerSelection { .. }
            | ErrorKind::ConnectionPoolCleared { .. }
            | ErrorKind::DnsResolve { .. }
            | ErrorKind::Shutdown
    ) || error.contains_label("RetryableWriteError")
}

/// The code of a write whose unique key is taken.
pub const DUPLICATE_KEY: i32 = 11_000;

/// Whether another write of the same key came first.
pub fn is_duplicate_key(error: &Error) -> bool {
    match &*error.kind {
        ErrorKind::Write(WriteFailure::WriteError(error)) => error.code == DUPLICATE_KEY,
        ErrorKind::Command(error) => error.code == DUPLICATE_KEY,
        _ => false,
    }
}

/// The problem that a failed operation is to a client.
pub fn problem(doing: &'static str, error: Error) -> Problem {
    if is_unavailable(&error) {
        Problem::unavailable(doing, error)
    } else {
        Problem::internal(doing, error)
    }
}

//! The document store: MongoDB's protocol, spoken to DocumentDB on AWS.

use std::time::Duration;

use mongodb::error::{Error, ErrorKind, WriteFailure};
use mongodb::options::ClientOptions;
use mongodb::{Client, Collection, Database};
use secrecy::{ExposeSecret, SecretString};

use crate::calls::{self, Failure};
use crate::faults::Point;
use crate::http::Problem;

/// The longest that a request to the store may take, the looking for a server included.
const LONGEST: Duration = Duration::from_secs(5);

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

/// A collection. Every operation on it is safe to repeat, by what it is: an upsert that the first
/// wins, an update that looks at what it changes, a deletion, a read.
#[derive(Debug)]
pub(crate) struct Documents<T: Send + Sync>(Collection<T>);

impl<T: Send + Sync> Documents<T> {
    pub(crate) fn new(database: &Database, name: &str) -> Self {
        Self(database.collection(name))
    }

    /// Does one operation: again on a new connection, if this one broke.
    pub(crate) async fn repeatable<'a, R, Operation>(
        &'a self,
        point: Point,
        operation: impl Fn(&'a Collection<T>) -> Operation,
    ) -> Result<R, Error>
    where
        Operation: IntoFuture<Output = Result<R, Error>>,
    {
        calls::repeatable(point, LONGEST, || operation(&self.0)).await
    }
}

impl<T: Send + Sync> Clone for Documents<T> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl Failure for Error {
    fn is_transient(&self) -> bool {
        match &*self.kind {
            ErrorKind::Io(error) => calls::is_broken(error),
            // It looked for a server as long as it may.
            ErrorKind::ServerSelection { .. } => false,
            _ => is_unavailable(self),
        }
    }
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

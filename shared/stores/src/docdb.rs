//! The document store: MongoDB's protocol, spoken to DocumentDB on AWS.

use std::fmt;
use std::io;
use std::marker::PhantomData;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use futures_util::TryStreamExt;
use mongodb::bson::{Document, doc};
use mongodb::error::{Error, ErrorKind, WriteFailure};
use mongodb::options::{ClientOptions, Credential, ServerAddress, Tls, TlsOptions};
use mongodb::{Client, Collection};
use secrecy::ExposeSecret;
use serde::Deserialize;
use tokio::sync::Mutex;

use crate::secrets::{AuthRejected, Secret, SecretError, StoreCredentials};
use crate::tls;
use runtime::calls::{self, CallError};
use runtime::config::Setting;
use runtime::faults::FailPoint;

/// The longest that a request to the store may take, the looking for a server included.
const OPERATION_TIMEOUT: Duration = Duration::from_secs(5);

/// How long a request looks for a server before it is answered with 503.
const SELECTION_TIMEOUT: Duration = Duration::from_secs(3);

/// The code of an operation whose login was refused.
const AUTHENTICATION_FAILED: i32 = 18;

/// An operation that runs on a collection.
pub type OperationFuture<'c, T> = Pin<Box<dyn Future<Output = Result<T, Error>> + Send + 'c>>;

/// A client with up to so many connections. It connects, and logs in, when it is first used.
pub fn connect(account: &StoreCredentials, most: usize) -> Result<Client, Error> {
    let mut options = ClientOptions::builder()
        .hosts(vec![ServerAddress::Tcp {
            host: account.host.clone(),
            port: Some(account.port),
        }])
        .build();
    let mut credential = Credential::default();
    credential.username = Some(account.username.clone());
    credential.password = Some(account.password.expose_secret().to_owned());
    credential.source = Some("admin".to_owned());
    options.credential = Some(credential);
    let mut trusted = TlsOptions::default();
    trusted.ca_file_path = Some(tls::authorities_file()?);
    options.tls = Some(Tls::Enabled(trusted));
    options.app_name = Some("admit".to_owned());
    options.max_pool_size = u32::try_from(most).ok();
    options.server_selection_timeout = Some(SELECTION_TIMEOUT);
    options.connect_timeout = Some(Duration::from_secs(2));
    // Lambda freezes the process between requests; an old connection is more likely dead than not.
    options.max_idle_time = Some(Duration::from_secs(60));
    // DocumentDB has no retryable writes before its engine 8; ours are safe to repeat by design.
    options.retry_writes = Some(false);
    Client::with_options(options)
}

/// The document store, as one account sees it.
#[derive(Debug)]
pub struct DocumentStore {
    account: Secret,
    client: Mutex<Option<Client>>,
    /// The most connections.
    most: usize,
}

impl DocumentStore {
    /// The store of the account that the secret in `setting` describes, with two connections for each invocation
    /// at once: a sweep works on several payments.
    pub async fn new(
        setting: &Setting<String>,
        concurrency: usize,
    ) -> Result<Arc<Self>, runtime::Error> {
        Ok(Arc::new(Self {
            account: Secret::new(setting.required()?).await,
            client: Mutex::new(None),
            most: 2 * concurrency,
        }))
    }
}

#[derive(Deserialize)]
struct Id {
    #[serde(rename = "_id")]
    id: String,
}

/// A collection. Every operation on it is safe to repeat: it is an insert of which the first stands, an update that
/// matches the state that it changes, a deletion or a read.
pub struct Documents<T> {
    store: Arc<DocumentStore>,
    database: &'static str,
    name: &'static str,
    kind: PhantomData<fn() -> T>,
}

impl<T: Send + Sync> Documents<T> {
    pub fn new(store: &Arc<DocumentStore>, database: &'static str, name: &'static str) -> Self {
        Self {
            store: Arc::clone(store),
            database,
            name,
            kind: PhantomData,
        }
    }

    /// Does one operation, and repeats it once where it failed for a moment.
    pub async fn idempotent<R>(
        &self,
        point: FailPoint,
        operation: impl for<'c> Fn(&'c Collection<T>) -> OperationFuture<'c, R>,
    ) -> Result<R, Error> {
        calls::idempotent(point, OPERATION_TIMEOUT, is_transient, || {
            self.run(&operation)
        })
        .await
        .map_err(CallError::into_own)
    }

    /// The ids of up to `limit` documents, in the order of a field that an index serves: for those who
    /// must not read documents of any size at once.
    pub async fn ids(
        &self,
        point: FailPoint,
        filter: Document,
        order: &'static str,
        limit: i64,
    ) -> Result<Vec<String>, Error> {
        let found: Vec<Id> = self
            .idempotent(point, |collection| {
                let (ids, filter) = (collection.clone_with_type::<Id>(), filter.clone());
                Box::pin(async move {
                    let found = ids.find(filter).projection(doc! {"_id": 1});
                    let found = found.sort(doc! {order: 1}).limit(limit);
                    found.await?.try_collect().await
                })
            })
            .await?;
        Ok(found.into_iter().map(|found| found.id).collect())
    }

    /// Runs the operation on the kept client. Without one, or if its login is refused, logs in again first.
    async fn run<R>(
        &self,
        operation: &impl for<'c> Fn(&'c Collection<T>) -> OperationFuture<'c, R>,
    ) -> Result<R, Error> {
        let kept = self.store.client.lock().await.clone();
        if let Some(client) = kept {
            match operation(&self.collection(&client)).await {
                Err(error) if error.is_auth_rejected() => {}
                outcome => return outcome,
            }
        }
        let login = self.store.account.log_in(|account| async move {
            let client = connect(&account, self.store.most)?;
            match operation(&self.collection(&client)).await {
                Err(error) if error.is_auth_rejected() => Err(error),
                outcome => Ok((client, outcome)),
            }
        });
        let (client, outcome) = login.await?;
        *self.store.client.lock().await = Some(client);
        outcome
    }

    fn collection(&self, client: &Client) -> Collection<T> {
        client.database(self.database).collection(self.name)
    }
}

impl<T> Clone for Documents<T> {
    fn clone(&self) -> Self {
        Self {
            store: Arc::clone(&self.store),
            ..*self
        }
    }
}

impl<T> fmt::Debug for Documents<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Documents({}.{})", self.database, self.name)
    }
}

impl AuthRejected for Error {
    fn is_auth_rejected(&self) -> bool {
        match &*self.kind {
            ErrorKind::Authentication { .. } => true,
            ErrorKind::Command(error) => error.code == AUTHENTICATION_FAILED,
            _ => false,
        }
    }
}

impl From<SecretError> for Error {
    fn from(error: SecretError) -> Self {
        io::Error::from(error).into()
    }
}

/// Whether an operation that failed so may go well on its repeat.
pub fn is_transient(error: &Error) -> bool {
    match &*error.kind {
        ErrorKind::Io(error) => calls::is_broken(error),
        // It looked for a server as long as it may.
        ErrorKind::ServerSelection { .. } => false,
        // All operations are safe to repeat, so also one that a server ended while it stepped down.
        _ => is_unavailable(error),
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
        || codes(error).iter().any(|code| NOT_PRIMARY.contains(code))
}

/// Errors of a server that is not or no longer the primary, or shuts down: ShutdownInProgress,
/// PrimarySteppedDown, NotWritablePrimary, InterruptedAtShutdown, InterruptedDueToReplStateChange,
/// NotPrimaryNoSecondaryOk, NotPrimaryOrSecondary.
const NOT_PRIMARY: [i32; 7] = [91, 189, 10_107, 11_600, 11_602, 13_435, 13_436];

/// The codes that an error has, of the whole command or of its write concern.
fn codes(error: &Error) -> Vec<i32> {
    match &*error.kind {
        ErrorKind::Command(error) => vec![error.code],
        ErrorKind::Write(WriteFailure::WriteError(error)) => vec![error.code],
        ErrorKind::Write(WriteFailure::WriteConcernError(error)) => vec![error.code],
        ErrorKind::InsertMany(failed) => {
            let writes = failed.write_errors.iter().flatten();
            let concern = failed.write_concern_error.iter();
            writes
                .map(|error| error.code)
                .chain(concern.map(|error| error.code))
                .collect()
        }
        _ => Vec::new(),
    }
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

//! The document store: MongoDB's protocol, spoken to DocumentDB on AWS.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use mongodb::Client;
use mongodb::error::{Error, ErrorKind, WriteFailure};
use mongodb::options::{ClientOptions, Credential, ServerAddress, Tls, TlsOptions};
use secrecy::ExposeSecret;
use tokio::sync::Mutex;

use crate::secrets::{AuthRejected, Secret, SecretError, StoreCredentials};
use crate::tls;
use runtime::calls;
use runtime::config::Setting;

/// How long a request looks for a server before it is answered with 503.
const SELECTION_TIMEOUT: Duration = Duration::from_secs(3);

/// The code of an operation whose login was refused.
const AUTHENTICATION_FAILED: i32 = 18;

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
    /// The store, as the account in the secret that `setting` names. Allows two connections per concurrent
    /// invocation, because a sweep works on several payments at once.
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

impl DocumentStore {
    /// Runs the operation with the kept client. If there is none, or if its login is refused, logs in again first.
    pub(crate) async fn run<R, Running>(
        &self,
        operation: impl Fn(Client) -> Running,
    ) -> Result<R, Error>
    where
        Running: Future<Output = Result<R, Error>>,
    {
        let kept = self.client.lock().await.clone();
        if let Some(client) = kept {
            match operation(client).await {
                Err(error) if error.is_auth_rejected() => {}
                outcome => return outcome,
            }
        }
        let operation = &operation;
        let login = self.account.log_in(|account| async move {
            let client = connect(&account, self.most)?;
            match operation(client.clone()).await {
                Err(error) if error.is_auth_rejected() => Err(error),
                outcome => Ok((client, outcome)),
            }
        });
        let (client, outcome) = login.await?;
        *self.client.lock().await = Some(client);
        outcome
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
        // All operations are safe to repeat, including one that a server aborted while it stepped down.
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
const DUPLICATE_KEY: i32 = 11_000;

/// Whether all that failed was the insert of documents whose unique key is taken.
pub(crate) fn is_duplicate_key(error: &Error) -> bool {
    match &*error.kind {
        ErrorKind::Write(WriteFailure::WriteError(error)) => error.code == DUPLICATE_KEY,
        ErrorKind::Command(error) => error.code == DUPLICATE_KEY,
        ErrorKind::InsertMany(failed) => {
            let mut errors = failed.write_errors.iter().flatten();
            failed.write_concern_error.is_none() && errors.all(|error| error.code == DUPLICATE_KEY)
        }
        _ => false,
    }
}

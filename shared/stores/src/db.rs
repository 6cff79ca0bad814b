//! PostgreSQL: a connection for each invocation at once, and what its errors mean.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use secrecy::ExposeSecret;
use sqlx::migrate::Migrator;
use sqlx::postgres::{PgConnectOptions, PgConnection, PgDatabaseError, PgSeverity, PgSslMode};
use sqlx::{AssertSqlSafe, Connection, Error};
use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::time::timeout;

use crate::early;
use crate::secrets::{AuthRejected, Secret, SecretError, StoreCredentials};
use crate::statement::{Answer, Statement};
use crate::tls;
use runtime::FromConfig;
use runtime::calls::{self, CallError};
use runtime::config::Config;
use runtime::faults::FailPoint;

/// The time limit of a statement, including the time to connect. The server's `statement_timeout`, set in
/// the migrations, is the same, so that neither side runs on alone.
pub(crate) const STATEMENT_TIMEOUT: Duration = Duration::from_secs(5);

/// The longest that connecting may take: so long that the statement still has its time.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);

/// A connection that was idle this long is tested before use: Lambda freezes the process between
/// requests, and a server or a proxy may have closed the socket meanwhile. A busy one isn't, which
/// saves the round trip.
const PING_AFTER_IDLE: Duration = Duration::from_secs(1);

/// The longest that such a test takes before the connection counts as dead.
const PING_TIMEOUT: Duration = Duration::from_millis(500);

/// A database, with as many connections as this process serves invocations at once, which is usually one.
/// Each is opened when it is first needed, and reopened after it breaks.
#[derive(Debug)]
pub struct Db {
    account: Secret,
    /// The address of the pooler, if there is one. It replaces the account's address. The pooler gives each
    /// transaction a session of its own.
    pooler: Option<String>,
    /// A permit entitles its holder to use one connection. Callers acquire it before the time limit
    /// of their call starts to run.
    turns: Semaphore,
    /// The connections that nobody uses now.
    kept: Mutex<Vec<Kept>>,
}

#[derive(Debug)]
struct Kept {
    connection: PgConnection,
    used: Instant,
}

impl FromConfig for Db {
    async fn from_config(config: &Config) -> Result<Self, runtime::Error> {
        let account = Secret::new(config.database_secret.required()?).await;
        Ok(Self::new(
            account,
            config.pooler.clone(),
            config.concurrency,
        ))
    }
}

impl Db {
    /// The database of an account, behind a pooler (`host:port`) or not, through `most` connections.
    pub fn new(account: Secret, pooler: Option<String>, most: usize) -> Self {
        Self {
            account,
            pooler,
            turns: Semaphore::new(most),
            kept: Mutex::default(),
        }
    }

    /// Whether a pooler stands between, which gives each transaction a session of its own.
    pub(crate) fn is_pooled(&self) -> bool {
        self.pooler.is_some()
    }

    /// Waits until a connection is free for a statement.
    pub(crate) async fn turn(&self) -> Option<SemaphorePermit<'_>> {
        // It fails if the semaphore is closed, and it never is.
        self.turns.acquire().await.ok()
    }

    /// Ignores poisoning: nothing panics while this lock is held, so what it guards is always consistent.
    fn kept(&self) -> MutexGuard<'_, Vec<Kept>> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Sends a statement, on a new connection where there is none that lives.
    pub(crate) async fn run(
        &self,
        statement: &Statement,
        sent: Option<&AtomicBool>,
    ) -> Result<Answer, Error> {
        // Taken out while in use: if the time limit drops this future, it drops the connection too.
        let kept = self.kept().pop();
        let living = match kept {
            Some(kept) => kept.living().await,
            None => None,
        };
        let mut connection = match living {
            Some(connection) => connection,
            None => self.connect().await?,
        };
        if let Some(sent) = sent {
            sent.store(true, Ordering::Relaxed);
        }
        let outcome = if self.is_pooled() {
            in_transaction(&mut connection, statement).await
        } else {
            statement.run(&mut connection).await
        };
        if outcome.as_ref().is_err_and(ends_connection) {
            // The other idle connections have most likely broken too, and a retry must not try them one
            // by one.
            self.kept().clear();
        } else {
            let used = Instant::now();
            self.kept().push(Kept { connection, used });
        }
        outcome
    }

    /// Begins to connect, so that the first statement finds a connection. It waits for this one's outcome.
    pub fn connect_early(&'static self) {
        tokio::spawn(async {
            let _turn = self.turn().await;
            if let Some(connection) = early::connected(self.connect()).await {
                let used = Instant::now();
                self.kept().push(Kept { connection, used });
            }
        });
    }

    async fn connect(&self) -> Result<PgConnection, Error> {
        let pooler = self.pooler.as_deref();
        // Boxed: what is nested in it is deeper than the compiler computes layouts.
        let login = self
            .account
            .log_in(|account| async move { connect(&account, None, pooler).await });
        match timeout(CONNECT_TIMEOUT, Box::pin(login)).await {
            Ok(outcome) => outcome,
            Err(elapsed) => Err(Error::Io(elapsed.into())),
        }
    }
}

/// Runs a statement in a transaction. The statement is sent in two parts, which a pooler might otherwise
/// hand to two different sessions.
async fn in_transaction(
    connection: &mut PgConnection,
    statement: &Statement,
) -> Result<Answer, Error> {
    let mut transaction = connection.begin().await?;
    match statement.run(&mut *transaction).await {
        Ok(answer) => transaction.commit().await.map(|()| answer),
        Err(error) => {
            transaction.rollback().await?;
            Err(error)
        }
    }
}

/// Logs in, by TLS, to a server that proves who it is; to the account's database, or to another,
/// or at another host.
pub async fn connect(
    account: &StoreCredentials,
    database: Option<&str>,
    host: Option<&str>,
) -> Result<PgConnection, Error> {
    let (host, port) = match host {
        None => (account.host.as_str(), account.port),
        Some(host) => match host.split_once(':') {
            None => (host, account.port),
            Some((host, port)) => (host, port.parse().map_err(|_| bad_host(host))?),
        },
    };
    let options = PgConnectOptions::new_without_pgpass()
        .host(host)
        .port(port)
        .username(&account.username)
        .password(account.password.expose_secret())
        .database(database.or(account.dbname.as_deref()).unwrap_or("postgres"))
        .ssl_mode(PgSslMode::VerifyFull)
        .ssl_root_cert_from_pem(tls::authorities()?.into())
        // A setting that poolers refuse. PostgreSQL has had its value for its own since version 12.
        .extra_float_digits(None);
    PgConnection::connect_with(&options).await
}

fn bad_host(host: &str) -> Error {
    Error::Configuration(format!("the port behind {host} is no number").into())
}

/// The owner of all databases, for use during a deploy. Its connections bypass any pooler, and its calls
/// have no time limit of their own.
#[derive(Debug)]
pub struct Owner {
    account: Secret,
}

impl Owner {
    /// The owner that the configuration names.
    pub async fn new(config: &Config) -> Result<Self, runtime::Error> {
        Ok(Self {
            account: Secret::new(config.database_owner_secret.required()?).await,
        })
    }

    /// Makes a database, unless it is there.
    pub async fn create(&self, database: &'static str) -> Result<(), Error> {
        calls::idempotent(
            FailPoint("CreateDatabases"),
            Duration::MAX,
            is_transient,
            || async {
                let mut connection = self.connect("postgres").await?;
                let statement = AssertSqlSafe(format!("create database {database}"));
                match sqlx::raw_sql(statement).execute(&mut connection).await {
                    Err(Error::Database(error)) if is_taken(error.code().as_deref()) => Ok(()),
                    outcome => outcome.map(drop),
                }
            },
        )
        .await
        .map_err(CallError::into_own)
    }

    /// Brings a database up to date. Two who do it at once wait for one another.
    ///
    /// # Errors
    /// A migration failed, or one that ran before was changed.
    pub async fn migrate(
        &self,
        point: FailPoint,
        database: &'static str,
        migrations: &Migrator,
    ) -> Result<(), Error> {
        calls::once(point, Duration::MAX, || async {
            let mut connection = self.connect(database).await?;
            for limit in [
                "statement_timeout",
                "lock_timeout",
                "idle_in_transaction_session_timeout",
            ] {
                let statement = AssertSqlSafe(format!("set {limit} = 0"));
                sqlx::raw_sql(statement).execute(&mut connection).await?;
            }
            Ok(migrations.run(&mut connection).await?)
        })
        .await
        .map_err(CallError::into_own)
    }

    pub async fn connect(&self, database: &'static str) -> Result<PgConnection, Error> {
        self.account
            .log_in(|account| async move { connect(&account, Some(database), None).await })
            .await
    }
}

/// Whether a database's name is taken. If two deploys create it at once, one of them may learn so from a
/// unique index (23505).
fn is_taken(code: Option<&str>) -> bool {
    matches!(code, Some("42P04" | "23505"))
}

impl AuthRejected for Error {
    fn is_auth_rejected(&self) -> bool {
        let Self::Database(error) = self else {
            return false;
        };
        match error.code().as_deref() {
            // PgBouncer has one code for whatever it dislikes.
            Some("08P01") => error.message().contains("authentication failed"),
            code => code.is_some_and(|code| code.starts_with("28")),
        }
    }
}

impl From<SecretError> for Error {
    fn from(error: SecretError) -> Self {
        Self::Io(error.into())
    }
}

impl Kept {
    /// The connection, if it lives.
    async fn living(mut self) -> Option<PgConnection> {
        if self.used.elapsed() < PING_AFTER_IDLE {
            return Some(self.connection);
        }
        match timeout(PING_TIMEOUT, self.connection.ping()).await {
            Ok(Ok(())) => Some(self.connection),
            _ => None,
        }
    }
}

/// Whether a statement that failed so may go well on its repeat.
pub fn is_transient(error: &Error) -> bool {
    match error {
        Error::Io(error) => calls::is_broken(error),
        Error::Tls(_) | Error::Protocol(_) => true,
        Error::Database(error) => error.code().is_some_and(|code| is_transient_code(&code)),
        _ => false,
    }
}

fn is_transient_code(code: &str) -> bool {
    // A serialization failure, a deadlock, a lock timeout, or a transaction that its client left idle:
    // the statement was rolled back completely.
    ends_session(code) || matches!(code, "40001" | "40P01" | "55P03" | "25P03")
}

/// Whether a server that says this does no more for this session: a connection exception, an operator's
/// or a crash's shutdown, or a server that has become a read-only standby.
fn ends_session(code: &str) -> bool {
    code.starts_with("08") || code.starts_with("57P") || code == "25006"
}

/// Whether the connection is of no use after this error.
fn ends_connection(error: &Error) -> bool {
    match error {
        Error::Io(_) | Error::Tls(_) | Error::Protocol(_) => true,
        Error::Database(error) => {
            let severity = error
                .try_downcast_ref::<PgDatabaseError>()
                .map(PgDatabaseError::severity);
            matches!(severity, Some(PgSeverity::Fatal | PgSeverity::Panic))
                || error.code().is_some_and(|code| ends_session(&code))
        }
        _ => false,
    }
}

/// Whether the server was out of reach, going away or too busy, rather than the statement wrong.
pub fn is_unavailable(error: &Error) -> bool {
    match error {
        Error::Io(_) => true,
        // Lack of resources, and a statement's limit in time.
        Error::Database(database) if !is_transient(error) => database
            .code()
            .is_some_and(|code| code.starts_with("53") || code == "57014"),
        error => is_transient(error),
    }
}

/// Whether `error` is the violation of the constraint with this name.
pub fn violates(error: &Error, constraint: &str) -> bool {
    error
        .as_database_error()
        .is_some_and(|error| error.constraint() == Some(constraint))
}

/// Parses the text of a column.
pub fn column<T>(name: &str, text: &str) -> Result<T, Error>
where
    T: std::str::FromStr<Err: std::error::Error + Send + Sync + 'static>,
{
    text.parse().map_err(|error| Error::ColumnDecode {
        index: name.to_owned(),
        source: Box::new(error),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_taken_back_whole_is_repeated_and_a_mistake_is_not() {
        for code in [
            "08006", "57P01", "57P02", "57P03", "25006", "40001", "40P01", "55P03", "25P03",
        ] {
            assert!(is_transient_code(code), "{code}");
        }
        // A refused login, a missing database, a missing privilege, a timeout, a wrong statement.
        for code in [
            "28P01", "28000", "3D000", "42501", "57014", "42601", "23505",
        ] {
            assert!(!is_transient_code(code), "{code}");
        }
    }
}

//! PostgreSQL: one connection a function, and what its errors mean.

use std::pin::Pin;
use std::time::{Duration, Instant};

use secrecy::{ExposeSecret, SecretString};
use sqlx::migrate::Migrator;
use sqlx::postgres::{PgConnectOptions, PgConnection};
use sqlx::{AssertSqlSafe, Connection, Error};
use tokio::sync::Mutex;
use tokio::time::timeout;

use crate::calls::{self, Failure};
use crate::faults::Point;
use crate::http::Problem;

/// The longest that a statement may take, the connecting before it included. The server's own
/// limit, set in the migrations, is the same: neither goes on without the other.
const LONGEST: Duration = Duration::from_secs(5);

/// A connection that was idle this long is tested before use: Lambda freezes the process between
/// requests, and a server or a proxy may have closed the socket meanwhile. A busy one isn't, which
/// saves the round trip.
const TEST_AFTER_IDLE: Duration = Duration::from_secs(1);

/// The longest that such a test takes before the connection counts as dead.
const LONGEST_TEST: Duration = Duration::from_millis(500);

/// A statement that runs on a connection.
pub(crate) type Running<'c, T> = Pin<Box<dyn Future<Output = Result<T, Error>> + Send + 'c>>;

/// A database, through one connection, as one Lambda process answers one request at a time. It is
/// made when it is first used, and again when it has broken.
#[derive(Debug)]
pub struct Db {
    options: PgConnectOptions,
    kept: Mutex<Option<Kept>>,
}

#[derive(Debug)]
struct Kept {
    connection: PgConnection,
    used: Instant,
}

impl Db {
    /// The database at `url`.
    ///
    /// # Errors
    /// The URL can't be read.
    pub fn new(url: &SecretString) -> Result<Self, Error> {
        Ok(Self {
            options: url.expose_secret().parse()?,
            kept: Mutex::new(None),
        })
    }

    /// Runs a statement that is safe to repeat: again on a new connection, if this one broke.
    pub(crate) async fn repeatable<T>(
        &self,
        point: Point,
        statement: impl for<'c> Fn(&'c mut PgConnection) -> Running<'c, T>,
    ) -> Result<T, Error> {
        calls::repeatable(point, LONGEST, || self.run(&statement)).await
    }

    /// Runs a statement that, repeated, might do or say something else.
    pub(crate) async fn once<T>(
        &self,
        point: Point,
        statement: impl for<'c> Fn(&'c mut PgConnection) -> Running<'c, T>,
    ) -> Result<T, Error> {
        calls::once(point, LONGEST, || self.run(&statement)).await
    }

    /// Brings the database up to date, however long it takes: the functions' limits don't hold.
    ///
    /// # Errors
    /// A migration failed, or one that ran before is not among these.
    pub async fn migrate(&self, point: Point, migrations: &'static Migrator) -> Result<(), Error> {
        calls::once(point, Duration::MAX, || async {
            let mut connection = PgConnection::connect_with(&self.options).await?;
            for limit in ["statement_timeout", "lock_timeout"] {
                let statement = AssertSqlSafe(format!("set {limit} = 0"));
                sqlx::query(statement).execute(&mut connection).await?;
            }
            Ok(migrations.run(&mut connection).await?)
        })
        .await
    }

    async fn run<T>(
        &self,
        statement: &impl for<'c> Fn(&'c mut PgConnection) -> Running<'c, T>,
    ) -> Result<T, Error> {
        let mut kept = self.kept.lock().await;
        // Taken out while it is used: a statement that is cut off by its limit leaves none behind.
        let living = match kept.take() {
            Some(kept) => kept.living().await,
            None => None,
        };
        let mut connection = match living {
            Some(connection) => connection,
            None => PgConnection::connect_with(&self.options).await?,
        };
        let outcome = statement(&mut connection).await;
        if !outcome.as_ref().is_err_and(Failure::is_transient) {
            *kept = Some(Kept {
                connection,
                used: Instant::now(),
            });
        }
        outcome
    }
}

impl Kept {
    /// The connection, if it lives.
    async fn living(mut self) -> Option<PgConnection> {
        if self.used.elapsed() < TEST_AFTER_IDLE {
            return Some(self.connection);
        }
        match timeout(LONGEST_TEST, self.connection.ping()).await {
            Ok(Ok(())) => Some(self.connection),
            _ => None,
        }
    }
}

impl Failure for Error {
    fn is_transient(&self) -> bool {
        match self {
            Self::Io(error) => calls::is_broken(error),
            Self::Tls(_) | Self::Protocol(_) => true,
            // Connection exceptions, and an operator's or a crash's shutdown.
            Self::Database(error) => error
                .code()
                .is_some_and(|code| code.starts_with("08") || code.starts_with("57P")),
            _ => false,
        }
    }
}

/// Whether the server was out of reach, going away or too busy, rather than the statement wrong.
pub fn is_unavailable(error: &Error) -> bool {
    match error {
        Error::Io(_) => true,
        // Lack of resources, and limits in time that were reached: of a statement, of a lock.
        Error::Database(database) if !error.is_transient() => database
            .code()
            .is_some_and(|code| code.starts_with("53") || code == "57014" || code == "55P03"),
        error => error.is_transient(),
    }
}

/// The problem that a failed statement is to a client.
pub fn problem(doing: &'static str, error: Error) -> Problem {
    if is_unavailable(&error) {
        Problem::unavailable(doing, error)
    } else {
        Problem::internal(doing, error)
    }
}

/// Whether `error` is the violation of the constraint with this name.
pub fn violates(error: &Error, constraint: &str) -> bool {
    error
        .as_database_error()
        .is_some_and(|error| error.constraint() == Some(constraint))
}

/// A text of a row as the type it was written from.
///
/// # Errors
/// It is none: somebody wrote to the table past us.
pub fn column<T>(name: &str, text: &str) -> Result<T, Error>
where
    T: std::str::FromStr<Err: std::error::Error + Send + Sync + 'static>,
{
    text.parse().map_err(|error| Error::ColumnDecode {
        index: name.to_owned(),
        source: Box::new(error),
    })
}

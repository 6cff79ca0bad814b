//! PostgreSQL: one connection a function, and what its errors mean.

use std::time::Duration;

use secrecy::{ExposeSecret, SecretString};
use sqlx::postgres::{PgConnectOptions, PgPool, PgPoolOptions};
use sqlx::{Connection, Error};

use crate::http::Problem;

/// How long a request waits for a connection before it is answered with 503.
const ACQUIRE_TIMEOUT: Duration = Duration::from_secs(3);

/// A connection that was idle this long is tested before use: Lambda freezes the process between
/// requests, and a server or a proxy may have closed the socket meanwhile. A busy one isn't, which
/// saves the round trip.
const TEST_AFTER_IDLE: Duration = Duration::from_secs(1);

/// A pool of one connection, as one Lambda process answers one request at a time. It connects
/// when it is first used, and again when the server comes back.
///
/// # Errors
/// The URL can't be read.
pub fn connect(url: &SecretString) -> Result<PgPool, Error> {
    let options: PgConnectOptions = url.expose_secret().parse()?;
    let pool = PgPoolOptions::new()
        .max_connections(1)
        .acquire_timeout(ACQUIRE_TIMEOUT)
        .test_before_acquire(false)
        .before_acquire(|connection, meta| {
            Box::pin(async move {
                if meta.idle_for < TEST_AFTER_IDLE {
                    return Ok(true);
                }
                // A dead one is dropped, and the pool makes another.
                Ok(connection.ping().await.is_ok())
            })
        })
        .connect_lazy_with(options);
    Ok(pool)
}

/// Whether the server was out of reach or going away, rather than the statement wrong.
pub fn is_unavailable(error: &Error) -> bool {
    match error {
        Error::Io(_)
        | Error::Tls(_)
        | Error::Protocol(_)
        | Error::PoolTimedOut
        | Error::PoolClosed => true,
        // Connection exceptions, lack of resources, and an operator's or a crash's shutdown.
        Error::Database(error) => error.code().is_some_and(|code| {
            code.starts_with("08") || code.starts_with("53") || code.starts_with("57P")
        }),
        _ => false,
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

//! How a statement gets to PostgreSQL: `query!(…).execute(db.idempotent(point))`.
//!
//! A gate is sqlx's executor for one statement: it names the statement's fail point, limits its time,
//! connects where there is no connection, and repeats the statement where its caller allows that.

use std::sync::atomic::AtomicBool;

use futures_util::future::BoxFuture;
use futures_util::stream::BoxStream;
use futures_util::{FutureExt, StreamExt, TryFutureExt, stream};

use sqlx::postgres::{PgQueryResult, PgRow, PgStatement, PgTypeInfo, Postgres};
use sqlx::{Describe, Either, Error, Execute, Executor, SqlStr};

use crate::db::{Db, STATEMENT_TIMEOUT, is_transient};
use crate::statement::{Answer, Statement};
use runtime::calls::{self, CallError};
use runtime::faults::FailPoint;

/// Sends one statement to a database.
#[derive(Debug)]
pub struct Gate<'d> {
    db: &'d Db,
    point: FailPoint,
    repeats: bool,
    sent: Option<&'d AtomicBool>,
}

impl Db {
    /// The way to the database for a statement that is safe to repeat: it is sent again once where it
    /// failed for a moment.
    pub fn idempotent(&self, point: FailPoint) -> Gate<'_> {
        self.gate(point, true)
    }

    /// The way to the database for a statement that, repeated, might do or say something else.
    pub fn once(&self, point: FailPoint) -> Gate<'_> {
        self.gate(point, false)
    }

    fn gate(&self, point: FailPoint, repeats: bool) -> Gate<'_> {
        Gate {
            db: self,
            point,
            repeats,
            sent: None,
        }
    }
}

impl<'d> Gate<'d> {
    /// Sets `sent` before the statement is sent. If it stays false, the server has seen nothing.
    #[must_use]
    pub fn noting(self, sent: &'d AtomicBool) -> Self {
        let sent = Some(sent);
        Self { sent, ..self }
    }

    fn answer<'q>(
        self,
        mut query: impl Execute<'q, Postgres>,
    ) -> BoxFuture<'d, Result<Answer, Error>> {
        let arguments = query.take_arguments().map_err(Error::Encode);
        let persistent = query.persistent() && !self.db.is_pooled();
        let sql = query.sql();
        self.send(arguments.map(|arguments| Statement {
            sql,
            arguments,
            persistent,
        }))
    }

    /// Boxed, so that it is compiled once here and not again with each query.
    fn send(self, statement: Result<Statement, Error>) -> BoxFuture<'d, Result<Answer, Error>> {
        async move {
            let statement = statement?;
            // Wait for the statements of others before the clock starts.
            let _turn = self.db.turn().await;
            let call = || self.db.run(&statement, self.sent);
            let answer = if self.repeats {
                calls::idempotent(self.point, STATEMENT_TIMEOUT, is_transient, call).await
            } else {
                calls::once(self.point, STATEMENT_TIMEOUT, call).await
            };
            answer.map_err(CallError::into_own)
        }
        .boxed()
    }
}

impl<'d> Executor<'d> for Gate<'d> {
    type Database = Postgres;

    fn fetch_many<'e, 'q: 'e, E>(
        self,
        query: E,
    ) -> BoxStream<'e, Result<Either<PgQueryResult, PgRow>, Error>>
    where
        'd: 'e,
        E: 'q + Execute<'q, Postgres>,
    {
        let answer = self.answer(query);
        answer
            .map_ok(|answer| stream::iter(answer).map(Ok))
            .try_flatten_stream()
            .boxed()
    }

    fn fetch_optional<'e, 'q: 'e, E>(self, query: E) -> BoxFuture<'e, Result<Option<PgRow>, Error>>
    where
        'd: 'e,
        E: 'q + Execute<'q, Postgres>,
    {
        let answer = self.answer(query);
        answer
            .map_ok(|answer| answer.into_iter().find_map(Either::right))
            .boxed()
    }

    fn prepare_with<'e>(
        self,
        _: SqlStr,
        _: &'e [PgTypeInfo],
    ) -> BoxFuture<'e, Result<PgStatement, Error>>
    where
        'd: 'e,
    {
        async { Err(unsupported()) }.boxed()
    }

    fn describe<'e>(self, _: SqlStr) -> BoxFuture<'e, Result<Describe<Postgres>, Error>>
    where
        'd: 'e,
    {
        async { Err(unsupported()) }.boxed()
    }
}

fn unsupported() -> Error {
    Error::Configuration("a gate runs statements, and does not describe them".into())
}

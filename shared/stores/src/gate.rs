//! How a statement gets to PostgreSQL: `query!(…).execute(db.idempotent(FailPoint("Reserve")))`.
//!
//! A gate is sqlx's executor for one statement: it names the statement's fail point, limits its time,
//! connects where there is no connection, and repeats the statement where its caller allows that.

use std::sync::atomic::AtomicBool;

use futures_util::future::BoxFuture;
use futures_util::stream::BoxStream;
use futures_util::{FutureExt, StreamExt, TryFutureExt, TryStreamExt, stream};

use sqlx::error::BoxDynError;
use sqlx::postgres::{PgArguments, PgQueryResult, PgRow, PgStatement, PgTypeInfo, Postgres};
use sqlx::{Describe, Either, Error, Execute, Executor, SqlStr};

use crate::db::Db;
use runtime::faults::FailPoint;

/// What a statement answers: rows, and how many rows it changed.
pub(crate) type Answer = Vec<Either<PgQueryResult, PgRow>>;

/// Sends one statement to a database.
#[derive(Debug)]
pub struct Gate<'d> {
    pub(crate) db: &'d Db,
    pub(crate) point: FailPoint,
    pub(crate) repeats: bool,
    pub(crate) sent: Option<&'d AtomicBool>,
}

impl<'d> Gate<'d> {
    /// Sets `sent` before the statement is sent. If it stays false, the server has seen nothing.
    #[must_use]
    pub fn noting(self, sent: &'d AtomicBool) -> Self {
        let sent = Some(sent);
        Self { sent, ..self }
    }

    async fn answer<'q>(self, mut query: impl Execute<'q, Postgres>) -> Result<Answer, Error> {
        let arguments = query.take_arguments().map_err(Error::Encode)?;
        let persistent = query.persistent() && !self.db.is_pooled();
        let statement = Statement {
            sql: query.sql(),
            arguments,
            persistent,
        };
        self.db.answer(&self, &statement).await
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

/// A statement that can be sent again.
///
/// sqlx names the statements that it prepares, unless they are not persistent. Behind a pooler, each
/// transaction may run in another server session, where the name is unknown or taken.
#[derive(Debug, Clone)]
pub(crate) struct Statement {
    sql: SqlStr,
    arguments: Option<PgArguments>,
    persistent: bool,
}

impl Statement {
    pub(crate) async fn run<'c>(
        &self,
        connection: impl Executor<'c, Database = Postgres>,
    ) -> Result<Answer, Error> {
        connection.fetch_many(self.clone()).try_collect().await
    }
}

impl Execute<'_, Postgres> for Statement {
    fn sql(self) -> SqlStr {
        self.sql
    }

    fn statement(&self) -> Option<&PgStatement> {
        None
    }

    fn take_arguments(&mut self) -> Result<Option<PgArguments>, BoxDynError> {
        Ok(self.arguments.take())
    }

    fn persistent(&self) -> bool {
        self.persistent
    }
}

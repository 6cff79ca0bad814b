//! A session of PostgreSQL, as a statement sees it.
//!
//! Behind a pooler, each transaction may run in another server session, where the name of a prepared
//! statement is unknown or taken. sqlx names every statement that it prepares, and a query checked at
//! build time has no setting for that. So this executor turns the names off.

use futures_util::future::BoxFuture;
use futures_util::stream::BoxStream;

use sqlx::error::BoxDynError;
use sqlx::postgres::{
    PgArguments, PgConnection, PgQueryResult, PgRow, PgStatement, PgTypeInfo, Postgres,
};
use sqlx::{Describe, Either, Error, Execute, Executor, SqlStr};

/// Runs statements, without names behind a pooler.
#[derive(Debug)]
pub struct PgExecutor<'c> {
    pub(crate) connection: &'c mut PgConnection,
    pub(crate) pooled: bool,
}

impl<'c> Executor<'c> for PgExecutor<'c> {
    type Database = Postgres;

    fn fetch_many<'e, 'q: 'e, E>(
        self,
        query: E,
    ) -> BoxStream<'e, Result<Either<PgQueryResult, PgRow>, Error>>
    where
        'c: 'e,
        E: 'q + Execute<'q, Postgres>,
    {
        let pooled = self.pooled;
        self.connection.fetch_many(Statement { query, pooled })
    }

    fn fetch_optional<'e, 'q: 'e, E>(self, query: E) -> BoxFuture<'e, Result<Option<PgRow>, Error>>
    where
        'c: 'e,
        E: 'q + Execute<'q, Postgres>,
    {
        let pooled = self.pooled;
        self.connection.fetch_optional(Statement { query, pooled })
    }

    fn prepare_with<'e>(
        self,
        sql: SqlStr,
        parameters: &'e [PgTypeInfo],
    ) -> BoxFuture<'e, Result<PgStatement, Error>>
    where
        'c: 'e,
    {
        self.connection.prepare_with(sql, parameters)
    }

    fn describe<'e>(self, sql: SqlStr) -> BoxFuture<'e, Result<Describe<Postgres>, Error>>
    where
        'c: 'e,
    {
        self.connection.describe(sql)
    }
}

/// A statement that has no name behind a pooler.
struct Statement<E> {
    query: E,
    pooled: bool,
}

impl<'q, E: Execute<'q, Postgres>> Execute<'q, Postgres> for Statement<E> {
    fn sql(self) -> SqlStr {
        self.query.sql()
    }

    fn statement(&self) -> Option<&PgStatement> {
        self.query.statement()
    }

    fn take_arguments(&mut self) -> Result<Option<PgArguments>, BoxDynError> {
        self.query.take_arguments()
    }

    fn persistent(&self) -> bool {
        !self.pooled && self.query.persistent()
    }
}

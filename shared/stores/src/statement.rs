//! A statement, apart from the connection that it is sent by.

use futures_util::TryStreamExt;
use sqlx::error::BoxDynError;
use sqlx::postgres::{PgArguments, PgQueryResult, PgRow, PgStatement, Postgres};
use sqlx::{Either, Error, Execute, Executor, SqlStr};

/// What a statement answers: rows, and how many rows it changed.
pub(crate) type Answer = Vec<Either<PgQueryResult, PgRow>>;

/// A statement that can be sent again.
///
/// sqlx names the statements that it prepares, unless they are not persistent. Behind a pooler, each
/// transaction may run in another server session, where the name is unknown or taken.
#[derive(Debug, Clone)]
pub(crate) struct Statement {
    pub(crate) sql: SqlStr,
    pub(crate) arguments: Option<PgArguments>,
    pub(crate) persistent: bool,
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

//! Registering.

use sqlx::PgPool;

use super::{Registration, User, Username};
use crate::db;
use crate::http::{Code, Problem};
use crate::ids::UserId;

/// Why nobody was registered.
#[derive(Debug, thiserror::Error)]
pub enum RegisterError {
    #[error("the username is taken")]
    UsernameTaken,
    #[error("hashing the password: {0}")]
    Hash(argon2::password_hash::Error),
    #[error("storing the user")]
    Database(#[source] sqlx::Error),
}

impl From<RegisterError> for Problem {
    fn from(error: RegisterError) -> Self {
        match error {
            RegisterError::UsernameTaken => {
                Self::new(Code::UsernameTaken, "Somebody has this username already.")
            }
            RegisterError::Hash(_) => Self::internal("registering a user", error),
            RegisterError::Database(cause) => db::problem("storing the user", cause),
        }
    }
}

/// Stores a new user: one insert, of which the unique name decides the winner.
///
/// # Errors
/// See [`RegisterError`].
pub async fn register(pool: &PgPool, registration: Registration) -> Result<User, RegisterError> {
    let Registration {
        username,
        password,
        email,
    } = registration;
    let password_hash = password.hash().map_err(RegisterError::Hash)?;
    let inserted = sqlx::query!(
        r#"
        insert into account (username, password_hash, email)
        values ($1, $2, $3)
        returning user_id as "user_id: UserId", username as "username: Username"
        "#,
        username as Username,
        password_hash,
        email as _,
    )
    .fetch_one(pool)
    .await;
    match inserted {
        Ok(row) => Ok(User {
            user_id: row.user_id,
            username: row.username,
        }),
        Err(error) if db::violates(&error, "account_username") => Err(RegisterError::UsernameTaken),
        Err(error) => Err(RegisterError::Database(error)),
    }
}

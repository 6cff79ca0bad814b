//! Registering.

use super::password::HashError;
use super::{Registration, User, Username};
use runtime::faults::FailPoint;
use runtime::telemetry;
use stores::db::Db;
use values::ids::UserId;

/// Why nobody was registered.
#[derive(Debug, thiserror::Error)]
pub enum RegisterError {
    #[error("the username is taken")]
    UsernameTaken,
    #[error("the password")]
    Hash(#[from] HashError),
    #[error("storing the user")]
    Database(#[source] sqlx::Error),
}

/// Stores a new user: one insert, of which the unique name decides the winner.
pub async fn register(db: &Db, registration: Registration) -> Result<User, RegisterError> {
    let Registration {
        username,
        password,
        email,
    } = registration;
    let password_hash = password.hash().await?;
    // Not repeated, because a repeat would find the name taken by the first try.
    let inserted = sqlx::query!(
        r#"
        insert into account (username, password_hash, email)
        values ($1, $2, $3)
            on conflict do nothing
        returning user_id as "user_id: UserId", username as "username: Username"
        "#,
        &username as &Username,
        password_hash,
        email.as_ref() as _,
    )
    .map(|row| (row.user_id, row.username))
    .fetch_optional(db.once(FailPoint("RegisterUser")))
    .await;
    match inserted {
        Ok(Some((user_id, username))) => {
            telemetry::note_user(user_id);
            Ok(User { user_id, username })
        }
        // `on conflict do nothing` avoids an error, which would put the name into the database's log.
        Ok(None) => Err(RegisterError::UsernameTaken),
        Err(error) => Err(RegisterError::Database(error)),
    }
}

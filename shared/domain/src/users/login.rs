//! Logging in.

use super::password::HashError;
use super::{Credentials, Session, Username};
use crate::token_key::{TokenKey, TokenKeyError};
use runtime::faults::FailPoint;
use runtime::telemetry;
use stores::db::Db;
use values::digest;
use values::ids::UserId;
use values::time;

/// Failed logins that a name may have within [`WINDOW_SECONDS`]. NIST SP 800-63B allows 100; a
/// person who forgot a password never gets near it, and a guesser gets nowhere with it.
const MAX_FAILURES: i32 = 100;
const WINDOW_SECONDS: u32 = 15 * 60;

/// Why nobody was logged in.
#[derive(Debug, thiserror::Error)]
pub enum LoginError {
    #[error("wrong username or password")]
    Invalid,
    #[error("too many failed logins")]
    TooMany { retry_after: u32 },
    #[error("checking the password")]
    Hash(#[from] HashError),
    #[error("reading the token key")]
    Key(#[from] TokenKeyError),
    #[error("signing the token")]
    Token(#[source] jsonwebtoken::errors::Error),
    #[error("reading the user")]
    Database(#[from] sqlx::Error),
}

/// Checks a name and a password, and gives a token for them.
///
/// # Errors
/// See [`LoginError`]. [`LoginError::Invalid`] takes as long for an unknown name as for a wrong
/// password, and both count against the name.
pub async fn log_in(
    db: &Db,
    key: &TokenKey,
    credentials: Credentials,
) -> Result<Session, LoginError> {
    let name = count_key(&credentials.username);
    let account = sqlx::query!(
        r#"
        select user_id as "user_id?: UserId", password_hash as "password_hash?",
               failures as "failures?", ceil(extract(epoch from window_ends_at - now()))::int as retry_after
          from (select $1::text as key) wanted
          left join account on lower(username) = key
          left join login_failure on username_key = key and window_ends_at > now()
        "#,
        name,
    )
    .fetch_one(db.idempotent(FailPoint("FindAccount")))
    .await?;
    if account
        .failures
        .is_some_and(|failures| failures >= MAX_FAILURES)
    {
        let retry_after = account
            .retry_after
            .and_then(|seconds| u32::try_from(seconds).ok());
        return Err(LoginError::TooMany {
            retry_after: retry_after.unwrap_or(WINDOW_SECONDS).max(1),
        });
    }
    if let Some(user_id) = account.user_id {
        telemetry::note_user(user_id);
    }
    let password = credentials.password;
    let right = password.matches_hash(account.password_hash).await?;
    let Some(user_id) = account.user_id.filter(|_| right) else {
        count_failure(db, &name).await?;
        return Err(LoginError::Invalid);
    };
    let signer = key.signer().await?;
    let access_token = signer
        .sign(user_id, time::now())
        .map_err(LoginError::Token)?;
    Ok(Session {
        user_id,
        access_token,
        token_type: "Bearer",
        expires_in: signer.lifetime().as_secs(),
    })
}

/// The key to look a name up by. For an invalid name it is `#` and a hash, which no name can be: the
/// lookup costs the same and finds nothing, and failures are counted for each name.
fn count_key(username: &str) -> String {
    match username.parse::<Username>() {
        Ok(username) => username.key(),
        Err(_) => format!("#{}", digest::sha256(username.as_bytes())),
    }
}

/// Counts a failed login, and clears away a few windows that are over.
async fn count_failure(db: &Db, key: &str) -> Result<(), sqlx::Error> {
    sqlx::query!(
        r#"
        with over as (
            delete from login_failure
             where username_key in (
                 select username_key from login_failure
                  where window_ends_at < now() and username_key <> $1
                  limit 10 for update skip locked)
        )
        insert into login_failure as f (username_key, failures, window_ends_at)
        values ($1, 1, now() + make_interval(secs => $2))
            on conflict (username_key) do update
           set failures = case when f.window_ends_at < now() then 1 else f.failures + 1 end,
               window_ends_at = case when f.window_ends_at < now() then excluded.window_ends_at else f.window_ends_at end
        "#,
        key,
        f64::from(WINDOW_SECONDS),
    )
    .execute(db.idempotent(FailPoint("CountLoginFailure")))
    .await?;
    Ok(())
}

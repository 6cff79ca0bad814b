//! Registering and logging in, on a database of their own.

use super::{
    Credentials, LoginError, RegisterError, Registration, Session, TypedPassword, log_in, register,
};
use crate::testing::Database;
use crate::token_key::TokenKey;
use stores::db::Db;

const PASSWORD: &str = "correct horse";

fn registration(username: &str) -> Registration {
    Registration {
        username: username.parse().unwrap(),
        password: PASSWORD.parse().unwrap(),
        email: None,
    }
}

async fn try_login(db: &Db, username: &str, password: &str) -> Result<Session, LoginError> {
    let credentials = Credentials {
        username: username.to_owned(),
        password: TypedPassword::new(password),
    };
    log_in(db, &TokenKey::made(), credentials).await
}

#[tokio::test]
async fn a_name_is_registered_once_in_any_case() {
    let database = Database::of_users().await;
    let db = database.process();
    let user = register(&db, registration("Ada")).await.unwrap();
    assert_eq!(user.username.as_str(), "Ada");
    let again = register(&db, registration("aDA")).await;
    assert!(matches!(again, Err(RegisterError::UsernameTaken)));
    assert_eq!(database.count("select count(*) from account").await, 1);
}

#[tokio::test]
async fn a_login_needs_the_name_in_any_case_and_the_password() {
    let database = Database::of_users().await;
    let db = database.process();
    let user = register(&db, registration("Ada")).await.unwrap();
    let session = try_login(&db, "ADA", PASSWORD).await.unwrap();
    assert_eq!(session.user_id, user.user_id);
    for (username, password) in [
        ("Ada", "Correct horse"),
        ("Eve", PASSWORD),
        ("no name", PASSWORD),
    ] {
        let refused = try_login(&db, username, password).await;
        assert!(matches!(refused, Err(LoginError::Invalid)), "{username}");
    }
    // A name that can't be is counted as well, by a hash of it.
    assert_eq!(
        database
            .count("select count(*) from login_failure where failures = 1")
            .await,
        3
    );
}

#[tokio::test]
async fn a_hundred_failures_keep_a_name_out_until_their_window_ends() {
    let database = Database::of_users().await;
    let db = database.process();
    register(&db, registration("ada")).await.unwrap();
    register(&db, registration("eve")).await.unwrap();
    let failures = "insert into login_failure (username_key, failures, window_ends_at)
                    values ('ada', 100, now() + interval '5 minutes')";
    database.execute(failures.to_owned()).await;
    match try_login(&db, "Ada", PASSWORD).await {
        Err(LoginError::TooMany { retry_after }) => assert!((290..=300).contains(&retry_after)),
        other => panic!("{other:?}"),
    }
    try_login(&db, "eve", PASSWORD).await.unwrap();

    let over = "update login_failure set window_ends_at = now() - interval '1 second'";
    database.execute(over.to_owned()).await;
    try_login(&db, "ada", PASSWORD).await.unwrap();
    // The next failure begins a window of its own.
    try_login(&db, "ada", "wrong").await.unwrap_err();
    assert_eq!(
        database
            .count("select failures::bigint from login_failure")
            .await,
        1
    );
}

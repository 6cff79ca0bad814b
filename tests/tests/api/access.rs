//! Who may do what in the stores: each account what its functions need, and nobody without TLS.

use mongodb::bson::{Document, doc};
use sqlx::postgres::{PgConnection, PgSslMode};
use sqlx::{AssertSqlSafe, Connection, Executor};
use tests::secrets::{account, database, documents, url};
use tests::stack::in_project;

/// What an account may do, and what it may not, where its secret says.
const RIGHTS: &[(&str, &[&str], &[&str])] = &[
    (
        "register",
        &["select user_id, username from account limit 1"],
        &[
            "select password_hash from account",
            "select email from account",
            "update account set password_hash = ''",
            "delete from account",
            "select * from login_failure",
            "create table mine ()",
        ],
    ),
    (
        "login",
        &[
            "select user_id, username, password_hash from account limit 1",
            "select * from login_failure limit 1",
        ],
        &[
            "select email from account",
            "insert into account (username, password_hash) values ('x', 'x')",
            "update account set password_hash = ''",
            "delete from account",
            "create table mine ()",
        ],
    ),
    (
        "organizer",
        &["select * from event limit 1"],
        &[
            "update event set price_minor = 0",
            "delete from event",
            "select * from booking",
            "create table mine ()",
        ],
    ),
    (
        "reader",
        &[
            "select * from event limit 1",
            "select * from booking limit 1",
        ],
        &[
            "update event set available = 0",
            "insert into event (event_id) values ('x')",
            "update booking set status = 'CONFIRMED'",
            "delete from booking",
            "create table mine ()",
        ],
    ),
    (
        "office",
        &[
            "select * from event limit 1",
            "update event set available = available where false",
            "delete from booking where false",
        ],
        &[
            "update event set price_minor = 0",
            "update event set capacity = 0",
            "delete from event",
            "drop table booking",
            "create table mine ()",
        ],
    ),
];

const INSUFFICIENT_PRIVILEGE: &str = "42501";

#[tokio::test]
async fn each_account_of_postgresql_may_do_what_its_functions_do_and_no_more() {
    for (name, may, may_not) in RIGHTS {
        let account = account(name).await;
        let own = account.dbname.clone().unwrap();
        let mut connection = PgConnection::connect_with(&database(&account, &own))
            .await
            .unwrap();
        for statement in *may {
            let done = connection.execute(AssertSqlSafe(*statement)).await;
            assert!(done.is_ok(), "{name}: {statement}: {done:?}");
        }
        for statement in *may_not {
            let error = connection
                .execute(AssertSqlSafe(*statement))
                .await
                .unwrap_err();
            let code = error.as_database_error().and_then(|error| error.code());
            assert_eq!(
                code.as_deref(),
                Some(INSUFFICIENT_PRIVILEGE),
                "{name}: {statement}: {error}"
            );
        }
        let other = if own == "users_db" {
            "booking_db"
        } else {
            "users_db"
        };
        let refused = PgConnection::connect_with(&database(&account, other)).await;
        let error = refused.expect_err("it must not come into the other database");
        let code = error.as_database_error().and_then(|error| error.code());
        assert_eq!(
            code.as_deref(),
            Some(INSUFFICIENT_PRIVILEGE),
            "{name}: {error}"
        );
    }
}

#[tokio::test]
async fn each_account_of_the_document_store_has_one_database() {
    for name in ["payments", "notifications"] {
        let account = account(name).await;
        let (own, client) = (account.dbname.clone().unwrap(), documents(&account).await);
        let find = async |database: &str| {
            let collection = client.database(database).collection::<Document>("payments");
            collection.find_one(doc! {}).await
        };
        find(&own).await.unwrap();
        let other = if own == "payment_db" {
            "notification_db"
        } else {
            "payment_db"
        };
        for database in [other, "admin"] {
            assert!(
                find(database).await.is_err(),
                "{name} must not read {database}"
            );
        }
        let user = doc! {"createUser": "mine", "pwd": "mine", "roles": []};
        assert!(client.database("admin").run_command(user).await.is_err());
    }
}

#[tokio::test]
async fn no_store_is_reached_without_tls_or_by_a_stranger_to_it() {
    let owner = account("database-owner").await;
    let plain = database(&owner, "users_db").ssl_mode(PgSslMode::Disable);
    assert!(PgConnection::connect_with(&plain).await.is_err());
    let amazons = in_project("shared/certificates/amazon.pem");
    let stranger = database(&owner, "users_db").ssl_root_cert(amazons);
    assert!(PgConnection::connect_with(&stranger).await.is_err());

    let rest = "/?authSource=admin&serverSelectionTimeoutMS=1000";
    let plain = url("mongodb", &account("documents-owner").await, rest);
    let plain = mongodb::Client::with_uri_str(plain).await.unwrap();
    let admin = plain.database("admin");
    assert!(admin.run_command(doc! {"ping": 1}).await.is_err());

    let plain = url("amqp", &account("broker").await, "/%2f");
    let properties = lapin::ConnectionProperties::default();
    assert!(
        lapin::Connection::connect(&plain, properties)
            .await
            .is_err()
    );
}

//! Who may do what in the stores: each account what its functions need, and nobody without TLS.

use std::fmt::Debug;

use lapin::options::{
    BasicGetOptions, BasicPublishOptions, ConfirmSelectOptions, QueueBindOptions,
    QueueDeclareOptions, QueueDeleteOptions,
};
use lapin::types::FieldTable;
use lapin::{BasicProperties, ErrorKind};
use mongodb::bson::{Document, doc};
use sqlx::postgres::{PgConnection, PgSslMode};
use sqlx::{AssertSqlSafe, Connection, Executor};
use tests::secrets::{account, broker, database, documents, manage, url};
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
            "update stock set free = 0",
            "update ticket_type set price_minor = 0",
            "delete from event",
            "select * from booking",
            "create table mine ()",
        ],
    ),
    (
        "desk",
        &[
            "select * from event limit 1",
            "update event set name = name where false",
            "update quota set capacity = capacity where false",
            "select booking_id, event_id from booking limit 1",
        ],
        &[
            "insert into event (event_id) values ('x')",
            "update event set organizer_id = 1",
            "select user_id from booking",
            "select user_id from purchase",
            "update booking set status = 'CONFIRMED'",
            "select * from ticket",
            "select * from refund",
            "select * from purchase",
            "update purchase set tickets = 0",
            "delete from ticket_type",
            "delete from promo_code",
            "create table mine ()",
        ],
    ),
    (
        "reader",
        &[
            "select * from event limit 1",
            "select * from booking limit 1",
            "select * from quota join stock using (quota_id) limit 1",
            "select * from ticket_type join ticket_type_quota using (ticket_type_id) limit 1",
            "select * from booking_item limit 1",
        ],
        &[
            "update event set available = 0",
            "update stock set free = 0",
            "insert into event (event_id) values ('x')",
            "update booking set status = 'CONFIRMED'",
            "delete from booking",
            "select * from ticket",
            "select * from refund",
            "create table mine ()",
        ],
    ),
    (
        "office",
        &[
            "select * from event limit 1",
            "update event set available = available where false",
            "update stock set free = free where false",
            "delete from booking where false",
        ],
        &[
            "update quota set capacity = 0",
            "update ticket_type set price_minor = 0",
            "delete from booking_item",
            "update ticket set unit_minor = 0",
            "update ticket set holder_user_id = 1",
            "delete from ticket",
            "update refund set amount_minor = 1",
            "select amount_minor from refund",
            "delete from refund",
            "insert into stock (free) values (1)",
            "delete from stock",
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
async fn the_brokers_user_publishes_and_consumes_and_no_more() {
    let connection = broker("broker").await;
    let (queue, none) = ("admit.notifications", FieldTable::default);
    let channel = connection.create_channel().await.unwrap();
    // As whoever consumes a queue may ask for it first.
    let passive = QueueDeclareOptions {
        passive: true,
        ..Default::default()
    };
    let asked = channel.queue_declare(queue.into(), passive, none()).await;
    asked.unwrap();
    let dead = "admit.notifications.dead-letters".into();
    let got = channel.basic_get(dead, BasicGetOptions::default()).await;
    got.unwrap();

    let new = QueueDeclareOptions::default();
    let declared = channel.queue_declare("mine".into(), new, none()).await;
    refused("a queue declared", declared);
    // A channel ends with a refusal.
    let channel = connection.create_channel().await.unwrap();
    let unused = QueueDeleteOptions {
        if_unused: true,
        ..Default::default()
    };
    let deleted = channel.queue_delete(queue.into(), unused).await;
    refused("a queue deleted", deleted);
    let channel = connection.create_channel().await.unwrap();
    let (exchange, options) = ("admit.events".into(), QueueBindOptions::default());
    let bound = channel.queue_bind(queue.into(), exchange, "mine".into(), options, none());
    refused("a queue bound", bound.await);
    for exchange in ["", "admit.dead-letters"] {
        let channel = connection.create_channel().await.unwrap();
        let confirms = ConfirmSelectOptions::default();
        channel.confirm_select(confirms).await.unwrap();
        let (options, properties) = (BasicPublishOptions::default(), BasicProperties::default());
        let sent = channel.basic_publish(exchange.into(), queue.into(), options, b"", properties);
        refused("published past the exchange", sent.await.unwrap().await);
    }
    assert_eq!(manage(&account("broker").await, "GET", "whoami").await, 401);
    let owner = account("broker-owner").await;
    assert_eq!(manage(&owner, "GET", "whoami").await, 200);
}

fn refused<T: Debug>(what: &str, done: lapin::Result<T>) {
    const ACCESS_REFUSED: u16 = 403;
    let refused = done.as_ref().is_err_and(|error| {
        matches!(error.kind(), ErrorKind::ProtocolError(error) if error.get_id() == ACCESS_REFUSED)
    });
    assert!(refused, "{what}: {done:?}");
}

#[tokio::test]
async fn no_store_is_reached_without_tls_or_by_a_stranger_to_it() {
    let owner = account("database-owner").await;
    let plain = database(&owner, "users_db").ssl_mode(PgSslMode::Disable);
    assert!(PgConnection::connect_with(&plain).await.is_err());
    let amazons = in_project("shared/stores/certificates/amazon.pem");
    assert!(amazons.is_file(), "{amazons:?}");
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

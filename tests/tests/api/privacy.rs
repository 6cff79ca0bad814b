//! No personal data in the stores' logs.

use std::fs;

use futures_util::future::join_all;
use mongodb::bson::{Document, doc};
use serde_json::json;
use sqlx::postgres::PgConnection;
use sqlx::{Connection, Row};
use tests::TestApp;
use tests::secrets;
use tests::stack::{folder, in_project};
use uuid::Uuid;

/// All that the stores have logged.
fn logs() -> String {
    let logs = ["postgres", "pooler", "documents", "rabbitmq"];
    let logs = logs.map(|name| fs::read(folder().join(format!("log/{name}.log"))));
    logs.into_iter()
        .flatten()
        .map(|log| String::from_utf8_lossy(&log).into_owned())
        .collect()
}

#[tokio::test]
async fn what_people_send_is_in_no_log_of_a_store_also_where_a_statement_fails() {
    let app = TestApp::start().await;
    let (user, event) = (app.user().await, app.event_with(50).await);
    let mark = format!("secret{}", Uuid::now_v7().simple());
    let account = json!({
        "username": &mark, "password": format!("{mark}-password"), "email": format!("{mark}@example.org"),
    });
    join_all((0..4).map(|_| app.send(app.request("POST", "/users").json(&account)))).await;
    // Keys that are taken: an insert of each but one fails.
    let body = json!({"user_id": user.id, "event_id": event, "tickets": 1});
    join_all((0..8).map(|_| app.post_with_key(&user, "/bookings", &mark, &body))).await;
    let amount = json!({"user_id": user.id, "amount": 1});
    join_all((0..8).map(|_| app.post_with_key(&user, "/payments", &mark, &amount))).await;
    // Statements that fail by their parameters, and documents that are refused by their keys.
    let owner = secrets::account("database-owner").await;
    let mut users = PgConnection::connect_with(&secrets::database(&owner, "users_db"))
        .await
        .unwrap();
    for statement in [
        "insert into account (username, password_hash, email) values ($1, $1, $1)",
        "select 1 / (length($1) - length($1))",
    ] {
        let failed = sqlx::query(statement).bind(&mark).execute(&mut users).await;
        assert!(failed.is_err(), "{statement}");
    }
    let payments = app
        .documents
        .database("payment_db")
        .collection::<Document>("payments");
    let document = doc! {"_id": &mark, "request_id": &mark, "email": &mark};
    payments.insert_one(&document).await.unwrap();
    assert!(payments.insert_one(&document).await.is_err());
    payments.delete_one(doc! {"_id": &mark}).await.unwrap();
    let logs = logs();
    assert!(
        logs.contains("division by zero"),
        "errors themselves are logged"
    );
    assert!(!logs.contains(&mark), "{mark} is in a log of a store");
}

#[tokio::test]
async fn aws_logs_no_more_than_the_local_stores() {
    let owner = secrets::account("database-owner").await;
    let mut users = PgConnection::connect_with(&secrets::database(&owner, "users_db"))
        .await
        .unwrap();
    let template = fs::read_to_string(in_project("infra/data.yaml")).unwrap();
    for (name, value) in [
        ("log_parameter_max_length", "0"),
        ("log_parameter_max_length_on_error", "0"),
        ("log_error_verbosity", "terse"),
    ] {
        let local = sqlx::query("select current_setting($1)").bind(name);
        let local: String = local.fetch_one(&mut users).await.unwrap().get(0);
        assert_eq!(local, value, "{name}");
        let setting = [
            format!("{name}: \"{value}\"\n"),
            format!("{name}: {value}\n"),
        ];
        assert!(
            setting.iter().any(|line| template.contains(line)),
            "{name} in infra/data.yaml"
        );
    }
    assert!(
        template.contains("profiler: disabled"),
        "DocumentDB's profiler logs whole commands"
    );
}

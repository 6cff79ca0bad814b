//! The accounts of the stores, as Secrets Manager has them, and logins by them past the functions.

use std::time::Duration;

use aws_sdk_secretsmanager::Client;
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use lapin::Connection;
use secrecy::ExposeSecret;
use serde_json::{Value, json};
use shared::secrets::{Engine, Secret, StoreCredentials};
use shared::{aws, broker};
use sqlx::postgres::{PgConnectOptions, PgSslMode};
use stores::web;
use uuid::Uuid;

use crate::setting;

/// The secrets of the functions' accounts, which are rotated.
pub const ROTATED: [&str; 9] = [
    "register",
    "login",
    "organizer",
    "desk",
    "reader",
    "office",
    "payments",
    "notifications",
    "broker",
];

/// A client of Secrets Manager.
pub async fn client() -> Client {
    aws::secrets_manager(Duration::from_secs(10)).await
}

/// A secret's whole name.
pub fn named(name: &str) -> String {
    format!("{}/{name}", setting("ADMIT_SECRETS"))
}

/// An account as it is now.
pub async fn account(name: &str) -> StoreCredentials {
    Secret::new(&named(name)).await.credentials().await.unwrap()
}

/// Options to log in to one of PostgreSQL's databases.
pub fn database(account: &StoreCredentials, name: &str) -> PgConnectOptions {
    PgConnectOptions::new_without_pgpass()
        .host(&account.host)
        .port(account.port)
        .username(&account.username)
        .password(account.password.expose_secret())
        .database(name)
        .ssl_mode(PgSslMode::VerifyFull)
        .ssl_root_cert(setting("ADMIT_CA_FILE"))
}

/// A client of the document store.
pub async fn documents(account: &StoreCredentials) -> mongodb::Client {
    assert_eq!(account.engine, Engine::Mongo);
    let tls = format!("tls=true&tlsCAFile={}", setting("ADMIT_CA_FILE"));
    let url = url(
        "mongodb",
        account,
        &format!("/?authSource=admin&retryWrites=false&{tls}"),
    );
    mongodb::Client::with_uri_str(url).await.unwrap()
}

/// An account as a URL with its password.
pub fn url(scheme: &str, account: &StoreCredentials, rest: &str) -> String {
    let (name, password) = (&account.username, account.password.expose_secret());
    format!(
        "{scheme}://{name}:{password}@{}:{}{rest}",
        account.host, account.port
    )
}

/// A connection to the broker, by one of its two accounts.
pub async fn broker(name: &str) -> Connection {
    let account = Secret::new(&named(name)).await;
    broker::log_in(&account).await.unwrap()
}

/// Asks the broker's management, as `account`; the status of its answer.
pub async fn manage(account: &StoreCredentials, method: &'static str, path: &str) -> u16 {
    let owner = Secret::new(&named("broker-owner")).await;
    let port = owner.credentials().await.unwrap().management_port.unwrap();
    let login = format!("{}:{}", account.username, account.password.expose_secret());
    let login = format!("Basic {}", BASE64_STANDARD.encode(login));
    let url = format!("https://{}:{port}/api/{path}", account.host);
    let headers = [("authorization", login)];
    web::send(method, &url, &headers, "").await.unwrap()
}

/// A secret's text.
pub async fn text(name: &str) -> String {
    let reading = client()
        .await
        .get_secret_value()
        .secret_id(named(name))
        .send();
    reading.await.unwrap().secret_string.unwrap()
}

/// Has the functions that start from now on find a store at another port.
pub async fn move_to(name: &str, port: u16) {
    change(name, json!({"port": port})).await;
}

/// Puts a new version of a secret, with these differences.
pub async fn change(name: &str, differences: Value) {
    let mut account: Value = serde_json::from_str(&text(name).await).unwrap();
    let differences = differences.as_object().unwrap().clone();
    account.as_object_mut().unwrap().extend(differences);
    let putting = client().await.put_secret_value().secret_id(named(name));
    let putting = putting.secret_string(account.to_string()).send();
    putting.await.unwrap();
}

/// Has a secret begin anew, with this text.
pub async fn replace(name: &str, text: &str) {
    let client = client().await;
    let deleting = client.delete_secret().secret_id(named(name));
    let deleting = deleting.force_delete_without_recovery(true).send();
    deleting.await.unwrap();
    let making = client.create_secret().name(named(name));
    making.secret_string(text).send().await.unwrap();
}

/// The four events with which Secrets Manager has a secret rotated.
pub fn rotation(name: &str) -> [Value; 4] {
    let token = Uuid::now_v7().to_string();
    ["createSecret", "setSecret", "testSecret", "finishSecret"]
        .map(|step| json!({"Step": step, "SecretId": named(name), "ClientRequestToken": token}))
}

//! A database of its own for each test: a copy of one that has all migrations, made in milliseconds.
//!
//! `make steps` and `make test` start PostgreSQL and say in `ADMIT_TEST_POSTGRES` where it is, as its owner.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::path::PathBuf;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};
use std::{env, fs, process, thread};

use aws_sdk_secretsmanager::Client;
use aws_sdk_secretsmanager::config::{BehaviorVersion, Credentials, Region};
use serde_json::{Value, json};
use sqlx::postgres::PgConnection;
use sqlx::{AssertSqlSafe, Connection, Executor};
use stores::db::{self, Db};
use stores::secrets::{Secret, StoreCredentials};
use tokio::sync::OnceCell;

/// The tickets that are left of the event `gala`.
pub(crate) const AVAILABLE: &str = "select available + (select coalesce(sum(free), 0)
                                     from quota join stock using (quota_id))
                                      from event";

/// A new database.
pub(crate) struct Database(StoreCredentials);

impl Database {
    /// `booking_db` with all migrations.
    pub(crate) async fn migrated() -> Self {
        static TEMPLATE: OnceCell<Database> = OnceCell::const_new();
        let template = TEMPLATE
            .get_or_init(|| Self::empty_then(migrations("bookings")))
            .await;
        let copy = Self::create(&format!("template {}", template.name())).await;
        copy.take_settings_of(template).await;
        copy
    }

    /// `users_db` with all migrations.
    pub(crate) async fn of_users() -> Self {
        Self::empty_then(migrations("users")).await
    }

    async fn empty_then(migrations: Vec<(String, String)>) -> Self {
        let database = Self::empty().await;
        let mut connection = database.connect().await;
        for (_, sql) in migrations {
            connection.execute(AssertSqlSafe(sql)).await.unwrap();
        }
        database
    }

    /// Copies the template's settings. PostgreSQL keeps them outside the database, so a copy does not have them.
    async fn take_settings_of(&self, template: &Self) {
        let mut connection = self.connect().await;
        let settings: Vec<String> = sqlx::query_scalar(
            "select unnest(setconfig) from pg_db_role_setting join pg_database d on d.oid = setdatabase
              where datname = $1",
        )
        .bind(template.name())
        .fetch_all(&mut connection)
        .await
        .unwrap();
        for setting in settings {
            let (name, value) = setting.split_once('=').unwrap();
            self.set(name, value).await;
        }
    }

    /// Changes a setting for all sessions to come.
    pub(crate) async fn set(&self, name: &str, value: &str) {
        let sql = format!("alter database {} set {name} = '{value}'", self.name());
        let mut connection = self.connect().await;
        connection.execute(AssertSqlSafe(sql)).await.unwrap();
    }

    /// One without any.
    pub(crate) async fn empty() -> Self {
        Self::create("").await
    }

    async fn create(how: &str) -> Self {
        static MADE: AtomicU32 = AtomicU32::new(0);
        let number = MADE.fetch_add(1, Ordering::Relaxed);
        let name = format!("steps_{}_{number}", process::id());
        let mut database = Self(owner());
        let sql = format!("create database {name} {how}");
        let mut connection = database.connect().await;
        connection.execute(AssertSqlSafe(sql)).await.unwrap();
        database.0.dbname = Some(name);
        database
    }

    fn name(&self) -> &str {
        self.0.dbname.as_deref().unwrap()
    }

    /// A connection past the code under test.
    pub(crate) async fn connect(&self) -> PgConnection {
        db::connect(&self.0, None, None).await.unwrap()
    }

    /// A `Db` of its own, as each process of a function has.
    pub(crate) fn process(&self) -> Db {
        Db::new(Secret::of(secrets_manager(), self.name()), None, 1)
    }

    /// Adds the event `gala` as the release before stock does, with so many tickets for 10 dollars each, and the
    /// rest of them sold.
    pub(crate) async fn add_gala(&self, capacity: i32, available: i32) {
        let mut connection = self.connect().await;
        sqlx::query(
            "insert into event (event_id, organizer_id, name, venue, starts_at, price_minor, currency, capacity,
                                available, max_tickets_per_booking)
             values ('gala', 1, 'Gala', 'Hall', now() + interval '1 day', 1000, 'USD', $1, $2, 4)",
        )
        .bind(capacity)
        .bind(available)
        .execute(&mut connection)
        .await
        .unwrap();
    }

    /// Executes statements past the code under test.
    pub(crate) async fn execute(&self, sql: String) {
        let mut connection = self.connect().await;
        let executed = sqlx::raw_sql(AssertSqlSafe(sql)).execute(&mut connection);
        executed.await.unwrap();
    }

    /// The number that a query returns.
    pub(crate) async fn count(&self, query: &'static str) -> i64 {
        let mut connection = self.connect().await;
        let count = sqlx::query_scalar(query).fetch_one(&mut connection).await;
        connection.close().await.unwrap();
        count.unwrap()
    }
}

/// The migrations of a folder in their order: names and texts.
pub(crate) fn migrations(folder: &str) -> Vec<(String, String)> {
    let migrations = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../migrations");
    let files = fs::read_dir(migrations.join(folder))
        .unwrap()
        .map(|file| file.unwrap());
    let mut migrations: Vec<_> = files
        .map(|file| {
            let name = file.file_name().into_string().unwrap();
            (name, fs::read_to_string(file.path()).unwrap())
        })
        .collect();
    migrations.sort();
    migrations
}

fn owner() -> StoreCredentials {
    StoreCredentials::read(&owners_account().to_string().into()).unwrap()
}

fn owners_account() -> Value {
    let text = env::var("ADMIT_TEST_POSTGRES").expect("run these tests by `make steps`");
    serde_json::from_str(&text).unwrap()
}

/// A Secrets Manager in which each database's secret has its name, and is its owner's account.
pub(crate) fn secrets_manager() -> Client {
    static ADDRESS: OnceLock<SocketAddr> = OnceLock::new();
    let address = ADDRESS.get_or_init(|| {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        thread::spawn(move || {
            listener
                .incoming()
                .for_each(|stream| answer(stream.unwrap()))
        });
        address
    });
    let config = aws_sdk_secretsmanager::Config::builder()
        .behavior_version(BehaviorVersion::latest())
        .region(Region::new("us-east-1"))
        .credentials_provider(Credentials::new("id", "key", None, None, "a test"))
        .endpoint_url(format!("http://{address}"))
        .http_client(aws_smithy_http_client::Builder::new().build_http());
    Client::from_conf(config.build())
}

fn answer(mut stream: impl Read + Write) {
    let mut request = Vec::new();
    while !request.ends_with(b"}") {
        let mut part = [0; 4096];
        let read = stream.read(&mut part).unwrap();
        request.extend(&part[..read]);
    }
    let request = String::from_utf8(request).unwrap();
    let (_, body) = request.split_once("\r\n\r\n").unwrap();
    let mut account = owners_account();
    account["dbname"] = serde_json::from_str::<Value>(body).unwrap()["SecretId"].take();
    let body = json!({"SecretString": account.to_string(), "VersionId": "1"}).to_string();
    let length = body.len();
    write!(
        stream,
        "HTTP/1.1 200 OK\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n{body}"
    )
    .unwrap();
}

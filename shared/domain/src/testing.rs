//! A database of its own for each test: a copy of one that has all migrations, made in milliseconds.
//!
//! `make steps` and `make test` start PostgreSQL and say in `ADMIT_TEST_POSTGRES` where it is, as its owner.

use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};
use std::{env, fs, process};

use sqlx::postgres::PgConnection;
use sqlx::{AssertSqlSafe, Connection, Executor};
use stores::db::{self, Db};
use stores::secrets::{Secret, StoreCredentials};
use tokio::sync::OnceCell;

/// A new database.
pub(crate) struct Database(StoreCredentials);

impl Database {
    /// One with all migrations.
    pub(crate) async fn migrated() -> Self {
        static TEMPLATE: OnceCell<Database> = OnceCell::const_new();
        let template = TEMPLATE
            .get_or_init(async || {
                let template = Self::empty().await;
                let mut connection = template.connect().await;
                for (_, sql) in migrations() {
                    connection.execute(AssertSqlSafe(sql)).await.unwrap();
                }
                template
            })
            .await;
        let copy = Self::create(&format!("template {}", template.name())).await;
        copy.take_settings_of(template).await;
        copy
    }

    /// The settings of a database are not part of it, and so not of its copy.
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

    /// What one process of a function has.
    pub(crate) fn process(&self) -> Db {
        Db::new(Secret::known(self.0.clone()), None)
    }

    /// The number that a query returns.
    pub(crate) async fn count(&self, query: &'static str) -> i64 {
        let mut connection = self.connect().await;
        let count = sqlx::query_scalar(query).fetch_one(&mut connection).await;
        connection.close().await.unwrap();
        count.unwrap()
    }
}

/// The migrations of `booking_db` in their order: names and texts.
pub(crate) fn migrations() -> Vec<(String, String)> {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../migrations/bookings");
    let files = fs::read_dir(folder).unwrap().map(|file| file.unwrap());
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
    let text = env::var("ADMIT_TEST_POSTGRES").expect("run these tests by `make steps`");
    StoreCredentials::read(&text.into()).unwrap()
}

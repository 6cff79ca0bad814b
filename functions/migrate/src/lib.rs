//! Brings every store up to date: tables, indexes, exchanges and queues. Invoked once on each
//! deploy; safe to repeat, and to run twice at once.

use serde::Serialize;
use serde_json::Value;
use shared::broker::Broker;
use shared::config::Config;
use shared::db::Db;
use shared::faults::Point;
use shared::notifications::Notifications;
use shared::payments::Payments;
use shared::{Error, docdb};
use sqlx::migrate::Migrator;

static USERS: Migrator = sqlx::migrate!("../../migrations/users");
static BOOKINGS: Migrator = sqlx::migrate!("../../migrations/bookings");

/// What one process of this function keeps between invocations.
#[derive(Debug)]
pub struct App {
    users: Db,
    bookings: Db,
    payments: Payments,
    notifications: Notifications,
    broker: Broker,
}

impl App {
    /// Makes the function's clients.
    ///
    /// # Errors
    /// A setting is missing or can't be read.
    pub async fn new(config: &Config) -> Result<Self, Error> {
        let documents = docdb::connect(config.documents_url.required()?).await?;
        Ok(Self {
            users: Db::new(config.users_database_url.required()?)?,
            bookings: Db::new(config.bookings_database_url.required()?)?,
            payments: Payments::new(&documents),
            notifications: Notifications::new(&documents),
            broker: Broker::new(config.broker_url.required()?),
        })
    }
}

/// What every store is at now.
#[derive(Debug, Serialize)]
pub struct Migrated {
    /// The newest migration of each database.
    pub users: i64,
    pub bookings: i64,
}

/// Migrates.
///
/// # Errors
/// Some store is not up to date: the deploy must not go on.
pub async fn handle(app: &App, _: Value) -> Result<Migrated, Error> {
    app.users.migrate(Point::MigrateUsers, &USERS).await?;
    app.bookings
        .migrate(Point::MigrateBookings, &BOOKINGS)
        .await?;
    app.payments.migrate().await?;
    app.notifications.migrate().await?;
    app.broker.declare().await?;
    let newest = |migrator: &Migrator| {
        migrator
            .iter()
            .map(|migration| migration.version)
            .max()
            .unwrap_or_default()
    };
    Ok(Migrated {
        users: newest(&USERS),
        bookings: newest(&BOOKINGS),
    })
}

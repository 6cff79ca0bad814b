//! Brings every store up to date: databases, accounts, tables, indexes, exchanges and queues, and the key
//! that signs tokens. A resource of the stack, which every deploy updates before any function that has
//! traffic; safe to repeat, and to run twice at once.

use serde::{Deserialize, Serialize};
use shared::accounts::Owners;
use shared::broker::Broker;
use shared::cloudformation::{self, RequestType};
use shared::config::Config;
use shared::docdb::DocumentStore;
use shared::faults::Point;
use shared::notifications::Notifications;
use shared::payments::Payments;
use shared::secrets::Secret;
use shared::token_key::TokenKey;
use shared::{Error, telemetry};
use sqlx::migrate::Migrator;

/// What one process of this function keeps between invocations.
#[derive(Debug)]
pub struct App {
    owners: Owners,
    roles: Vec<Secret>,
    payments: Payments,
    notifications: Notifications,
    broker: Broker,
    token_key: TokenKey,
    users: Migrator,
    bookings: Migrator,
}

impl App {
    /// Makes the function's clients.
    ///
    /// # Errors
    /// A setting is missing or can't be read.
    pub async fn new(config: &Config) -> Result<Self, Error> {
        let mut roles = Vec::new();
        for id in config.role_secrets.required()?.split(',') {
            roles.push(Secret::new(id.trim()).await);
        }
        let documents = DocumentStore::new(&config.documents_owner_secret).await?;
        Ok(Self {
            owners: Owners::new(config).await?,
            roles,
            payments: Payments::new(&documents),
            notifications: Notifications::new(&documents),
            broker: Broker::new(&config.broker_owner_secret).await?,
            token_key: TokenKey::new(config).await?,
            users: after_a_rollback_too(sqlx::migrate!("../../migrations/users")),
            bookings: after_a_rollback_too(sqlx::migrate!("../../migrations/bookings")),
        })
    }
}

/// A migration that ran and is not among these is a newer release's, whose deploy was rolled back.
/// Migrations only add, so that older functions can live with it.
fn after_a_rollback_too(mut migrations: Migrator) -> Migrator {
    migrations.set_ignore_missing(true);
    migrations
}

/// What this function is invoked with.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
pub enum Trigger {
    /// A deploy.
    Deploy(cloudformation::Event),
    /// An operator, with nothing to say.
    Operator {},
}

/// What the template can read of it.
#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct Migrated {
    /// The key that checks tokens, 32 bytes in base64.
    pub token_public_key: String,
}

/// Migrates. A deploy that it fails for is told so, and goes back.
///
/// # Errors
/// Some store is not up to date, or nobody could be told that it is.
pub async fn handle(app: &App, trigger: Trigger) -> Result<Option<Migrated>, Error> {
    let event = match trigger {
        Trigger::Operator {} => return migrate(app).await.map(Some),
        Trigger::Deploy(event) => event,
    };
    // The stores and what is in them outlive a stack that doesn't own them.
    if event.request_type == RequestType::Delete {
        event.answer(Ok(serde_json::Value::Null)).await?;
        return Ok(None);
    }
    // Boxed: what is nested in it is deeper than the compiler computes layouts.
    let outcome = match Box::pin(migrate(app)).await {
        Ok(migrated) => Ok(serde_json::to_value(migrated)?),
        Err(error) => {
            let reason = telemetry::chain(error.as_ref());
            tracing::error!(reason, "the deploy must not go on");
            Err(reason)
        }
    };
    event.answer(outcome).await?;
    Ok(None)
}

async fn migrate(app: &App) -> Result<Migrated, Error> {
    let databases = &app.owners.databases;
    databases.create("users_db").await?;
    databases.create("booking_db").await?;
    // Before the tables, whose migrations say what the databases' accounts may do.
    for role in &app.roles {
        app.owners.let_in(role).await?;
    }
    let (users, bookings) = (&app.users, &app.bookings);
    databases
        .migrate(Point::MigrateUsers, "users_db", users)
        .await?;
    databases
        .migrate(Point::MigrateBookings, "booking_db", bookings)
        .await?;
    app.payments.migrate().await?;
    app.notifications.migrate().await?;
    app.broker.declare().await?;
    Ok(Migrated {
        token_public_key: app.token_key.public_half().await?,
    })
}

//! Brings every store up to date: databases, accounts, tables, indexes, exchanges and queues, and the key
//! that signs tokens. A resource of the stack, which every deploy updates before any function that has
//! traffic; safe to repeat, and to run twice at once.

use operations::accounts::Owners;
use operations::cloudformation::{self, RequestType};
use serde::{Deserialize, Serialize};
use shared::broker::Broker;
use shared::config::Config;
use shared::docdb::DocumentStore;
use shared::faults::FailPoint;
use shared::notifications::Notifications;
use shared::payments::Payments;
use shared::secrets::Secret;
use shared::token_key::TokenKey;
use shared::{Error, FromConfig, serve, telemetry};
use sqlx::migrate::Migrator;

/// Ignores migrations that have run but are unknown to this release. They belong to a newer release, whose deploy was
/// rolled back. Migrations only add, so older functions can live with them.
fn after_a_rollback_too(mut migrations: Migrator) -> Migrator {
    migrations.set_ignore_missing(true);
    migrations
}

/// What this function is invoked with.
#[derive(Debug, Deserialize)]
#[serde(
    untagged,
    deny_unknown_fields,
    expecting = "must be an event of CloudFormation, or {} by an operator"
)]
enum Trigger {
    /// A deploy.
    Deploy(cloudformation::Event),
    /// An operator, who passes no input.
    Operator {},
}

/// What the template can read of it.
#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
struct Migrated {
    /// The key that checks tokens, 32 bytes in base64.
    pub token_public_key: String,
}

/// Migrates. If that fails, the deploy is told so and rolls back.
///
/// # Errors
/// Some store is not up to date, or nobody could be told that it is.
async fn handle(config: &Config, trigger: Trigger) -> Result<Option<Migrated>, Error> {
    let event = match trigger {
        Trigger::Operator {} => return migrate(config).await.map(Some),
        Trigger::Deploy(event) => event,
    };
    // The stores and what is in them outlive a stack that doesn't own them.
    if event.request_type == RequestType::Delete {
        event.answer(Ok(serde_json::Value::Null)).await?;
        return Ok(None);
    }
    // Boxed, because the futures nested in it are too deep for the compiler to compute their layout.
    let outcome = match Box::pin(migrate(config)).await {
        Ok(migrated) => Ok(serde_json::to_value(migrated)?),
        Err(error) => {
            let reason = telemetry::chain(error.as_ref());
            tracing::error!(reason, "migration failed; the deploy stops");
            Err(reason)
        }
    };
    event.answer(outcome).await?;
    Ok(None)
}

/// Migrates the stores. Connects anew each time, because a deploy may have replaced one of them.
async fn migrate(config: &Config) -> Result<Migrated, Error> {
    let owners = Owners::new(config).await?;
    let databases = &owners.databases;
    databases.create("users_db").await?;
    databases.create("booking_db").await?;
    // Make the accounts before the tables, because the tables' migrations say what the accounts may do.
    for id in config.role_secrets.required()?.split(',') {
        owners.let_in(&Secret::new(id.trim()).await).await?;
    }
    let users = after_a_rollback_too(sqlx::migrate!("../../migrations/users"));
    databases
        .migrate(FailPoint("MigrateUsers"), "users_db", &users)
        .await?;
    let bookings = after_a_rollback_too(sqlx::migrate!("../../migrations/bookings"));
    databases
        .migrate(FailPoint("MigrateBookings"), "booking_db", &bookings)
        .await?;
    let documents = DocumentStore::new(&config.documents_owner_secret, 1).await?;
    Payments::new(&documents).migrate().await?;
    Notifications::new(&documents).migrate().await?;
    let broker = Broker::new(&config.broker_owner_secret, 1).await?;
    broker.declare().await?;
    let token_key = TokenKey::from_config(config).await?;
    Ok(Migrated {
        token_public_key: token_key.public_half().await?,
    })
}

serve!(in turn Config, handle);

//! Stores the notifications that a batch of RabbitMQ messages announces; by schedule it forgets what
//! is old, and on an operator's demand it reads the quarantine again.

use serde::{Deserialize, Serialize};
use shared::invocation::{Redrive, Schedule};
use shared::notifications::{Batch, Delivered, Forgotten, Notifications};
use shared::{Error, clients, serve};

clients! { App { notifications: Notifications } }

/// What this function is invoked with. Anything else is an error.
#[derive(Debug, Deserialize)]
#[serde(
    untagged,
    expecting = "must be a RabbitMQ batch, a scheduled event or {\"redrive\": N}"
)]
enum Trigger {
    /// An operator: the quarantine shall be read again.
    Redrive(Redrive),
    Schedule(#[expect(dead_code, reason = "it only tells the trigger apart")] Schedule),
    /// A batch of messages.
    Queue(Batch),
}

/// What it answers.
#[derive(Debug, Serialize)]
#[serde(untagged)]
enum Done {
    Delivered(Delivered),
    Forgotten(Forgotten),
}

/// Stores a batch, or what can be read of the quarantine now, or forgets what is old.
///
/// # Errors
/// Nothing is known to be stored: Lambda delivers the batch again, whole.
async fn handle(app: &App, trigger: Trigger) -> Result<Done, Error> {
    let notifications = &app.notifications;
    Ok(match trigger {
        Trigger::Redrive(wanted) => Done::Delivered(notifications.redrive(wanted.most()).await?),
        Trigger::Schedule(_) => Done::Forgotten(notifications.forget_old().await?),
        Trigger::Queue(batch) => {
            Done::Delivered(notifications.deliver(batch.into_messages()).await?)
        }
    })
}

serve!(App, handle);

//! Stores the notifications that a batch of RabbitMQ messages announces.

use shared::notifications::{self, Batch, Delivered, Notifications};
use shared::{Error, clients, serve};

clients! { App { notifications: Notifications } }

/// # Errors
/// Nothing is known to be stored: Lambda delivers the batch again, whole.
async fn handle(app: &App, batch: Batch) -> Result<Delivered, Error> {
    Ok(notifications::deliver(&app.notifications, batch.into_messages()).await?)
}

serve!(App, handle);

//! Stores the notifications that a batch of RabbitMQ messages announces.

use shared::config::Config;
use shared::notifications::{Batch, Delivered, Notifications};
use shared::{Error, docdb};

/// What one process of this function keeps between invocations.
#[derive(Debug)]
pub struct App {
    notifications: Notifications,
}

impl App {
    /// Makes the function's clients.
    ///
    /// # Errors
    /// A setting is missing or can't be read.
    pub async fn new(config: &Config) -> Result<Self, Error> {
        Ok(Self {
            notifications: Notifications::new(
                &docdb::connect(config.documents_url.required()?).await?,
            ),
        })
    }
}

/// Stores a batch.
///
/// # Errors
/// Nothing is known to be stored: Lambda delivers the batch again, whole.
pub async fn handle(app: &App, batch: Batch) -> Result<Delivered, Error> {
    Ok(app.notifications.deliver(batch.into_messages()).await?)
}

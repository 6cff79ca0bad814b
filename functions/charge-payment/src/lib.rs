//! Charge, void, refund: invoked by `create-booking`, `cancel-booking` and `settle-bookings`.

use std::time::Duration;

use shared::config::Config;
use shared::docdb::DocumentStore;
use shared::payments::{Command, Payments, Reply};
use shared::{Error, time};

/// What one process of this function keeps between invocations.
#[derive(Debug)]
pub struct App {
    payments: Payments,
    sweep_after: Duration,
}

impl App {
    /// Makes the function's clients.
    ///
    /// # Errors
    /// A setting is missing or can't be read.
    pub async fn new(config: &Config) -> Result<Self, Error> {
        Ok(Self {
            payments: Payments::new(&DocumentStore::new(&config.documents_secret).await?),
            sweep_after: config.sweep_after,
        })
    }
}

/// Does what one invocation asks for.
///
/// # Errors
/// The outcome is unknown; the invocation is safe to repeat.
pub async fn handle(app: &App, command: Command) -> Result<Reply, Error> {
    let status = match command {
        Command::Charge {
            charge,
            payment_method,
        } => Some(app.payments.charge(&charge, payment_method).await?),
        Command::Void { charge } => Some(app.payments.void(&charge).await?),
        Command::Settle { payment_id } => app.payments.settle(payment_id).await?,
        Command::Refund { payment_id } => Some(app.payments.refund(payment_id).await?),
        Command::Sweep => {
            app.payments.sweep(time::ago(app.sweep_after)).await?;
            None
        }
    };
    Ok(Reply { status })
}

//! Charge, void, refund: invoked by `create-booking`, `cancel-booking` and `settle-bookings`.

use std::time::Duration;

use shared::config::Config;
use shared::payments::{Command, Payments, Reply};
use shared::{Error, FromConfig, serve, time};

/// What one process of this function keeps between invocations.
#[derive(Debug)]
struct App {
    payments: Payments,
    sweep_after: Duration,
}

impl FromConfig for App {
    async fn from_config(config: &Config) -> Result<Self, Error> {
        Ok(Self {
            payments: Payments::from_config(config).await?,
            sweep_after: config.sweep_after,
        })
    }
}

/// Does what one invocation asks for.
///
/// # Errors
/// The outcome is unknown; the invocation is safe to repeat.
async fn handle(app: &App, command: Command) -> Result<Reply, Error> {
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

serve!(App, handle);

//! Charge, look, void, refund: invoked by the functions that book, pay, release, cancel and settle.

use shared::payments::{self, Command, Payments, Reply};
use shared::{Error, clients, serve};

clients! { App { payments: Payments } }

/// Does what one invocation asks for.
///
/// # Errors
/// The outcome is unknown; the invocation is safe to repeat.
async fn handle(app: &App, command: Command) -> Result<Reply, Error> {
    let store = &app.payments;
    let status = match command {
        Command::Charge {
            charge,
            payment_method,
            of_hold: false,
        } => Some(payments::charge(store, &charge, payment_method).await?),
        Command::Charge {
            charge,
            payment_method,
            of_hold: true,
        } => {
            return Ok(payments::charge_hold(store, &charge, payment_method)
                .await?
                .into());
        }
        Command::Look { charge } => Some(payments::look(store, &charge).await?),
        Command::Void { charge } => Some(payments::void(store, &charge).await?),
        Command::Settle { payment_id } => payments::settle(store, payment_id).await?,
        Command::Refund { payment_id } => Some(payments::refund(store, payment_id).await?),
    };
    Ok(status.into())
}

serve!(App, handle);

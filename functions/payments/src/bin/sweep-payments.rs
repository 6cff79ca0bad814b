//! Settles payments of no booking that are pending for long, and forgets old keys, by schedule.

use shared::invocation::Schedule;
use shared::payments::{self, PaymentSweeper, SweptPayments};
use shared::{Error, clients, serve};

clients! { App { sweeper: PaymentSweeper } }

async fn handle(app: &App, _: Schedule) -> Result<SweptPayments, Error> {
    Ok(payments::sweep(&app.sweeper).await?)
}

serve!(in turn App, handle);

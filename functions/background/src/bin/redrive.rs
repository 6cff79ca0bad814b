//! Puts dead letters back where they came from, on an operator's demand.

use serde::Serialize;
use shared::broker::Broker;
use shared::invocation::Redrive;
use shared::settle_queue::{DeadLetters, SettleQueue};
use shared::{Error, clients, serve};

clients! { App { broker: Broker, dead_letters: DeadLetters, settle_queue: SettleQueue } }

/// How many dead letters were put back.
#[derive(Debug, Serialize)]
struct Redriven {
    announcements: usize,
    settlements: usize,
}

async fn handle(app: &App, wanted: Redrive) -> Result<Redriven, Error> {
    // Redrive both before returning an error, in case one of them can't be reached.
    let announcements = app.broker.redrive(wanted.most()).await;
    let settlements = app
        .dead_letters
        .redrive(&app.settle_queue, wanted.most())
        .await;
    Ok(Redriven {
        announcements: announcements?,
        settlements: settlements?,
    })
}

serve!(App, handle);

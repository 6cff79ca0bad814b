//! Reads the quarantine again, on an operator's demand: what can be read by now is stored.

use shared::invocation::Redrive;
use shared::notifications::{Delivered, Notifications};
use shared::{Error, clients, serve};

clients! { App { notifications: Notifications } }

async fn handle(app: &App, wanted: Redrive) -> Result<Delivered, Error> {
    Ok(app.notifications.redrive(wanted.most()).await?)
}

serve!(App, handle);

//! Reads the quarantine again, on an operator's demand: what can be read by now is stored.

use shared::invocation::Redrive;
use shared::notifications::{self, Delivered, Notifications};
use shared::{Error, clients, serve};

clients! { App { notifications: Notifications } }

async fn handle(app: &App, wanted: Redrive) -> Result<Delivered, Error> {
    Ok(notifications::redrive(&app.notifications, wanted.most()).await?)
}

serve!(App, handle);

//! Forgets notifications and quarantined messages that are old, by schedule.

use shared::invocation::Schedule;
use shared::notifications::{Forgotten, Notifications};
use shared::{Error, clients, serve};

clients! { App { notifications: Notifications } }

async fn handle(app: &App, _: Schedule) -> Result<Forgotten, Error> {
    Ok(app.notifications.forget_old().await?)
}

serve!(in turn App, handle);

//! Forgets notifications and quarantined messages that are old, by schedule.

use shared::invocation::Schedule;
use shared::notifications::{self, Forgotten, Notifications};
use shared::{Error, clients, serve};

clients! { App { notifications: Notifications } }

async fn handle(app: &App, _: Schedule) -> Result<Forgotten, Error> {
    Ok(notifications::forget_old(&app.notifications).await?)
}

serve!(in turn App, handle);

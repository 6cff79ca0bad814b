//! The sweep: works off the jobs that are due, by schedule.

use shared::bookings::{self, BoxOffice, Swept};
use shared::invocation::Schedule;
use shared::{Error, clients, serve};

clients! { App { office: BoxOffice } }

async fn handle(app: &App, _: Schedule) -> Result<Swept, Error> {
    bookings::sweep(&app.office).await
}

serve!(in turn App, handle);

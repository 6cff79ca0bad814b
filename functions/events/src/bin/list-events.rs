//! `GET /events`.

use shared::db::Db;
use shared::http::{Answer, Request, ok, routes};
use shared::{clients, events, serve};

clients! { App { bookings: Db } }

async fn handle(app: &App, request: Request) -> Answer {
    let page = request.page("events")?;
    let events = events::list(&app.bookings, &page).await?;
    Ok(ok(&events))
}

serve!(routes::LIST_EVENTS, App, handle);

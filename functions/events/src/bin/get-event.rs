//! `GET /events/{event_id}`.

use shared::db::Db;
use shared::http::{Answer, Request, ok_of_version, routes};
use shared::{clients, events, serve};

clients! { App { bookings: Db } }

async fn handle(app: &App, request: Request) -> Answer {
    let event_id = request.path("event_id", "event")?;
    let event = events::get(&app.bookings, &event_id, None).await?;
    Ok(ok_of_version(&event, event.version))
}

serve!(routes::GET_EVENT, App, handle);

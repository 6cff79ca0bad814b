//! `PATCH /events/{event_id}`.

use shared::auth::TokenVerifier;
use shared::db::Db;
use shared::events::EventChange;
use shared::http::{Answer, Request, ok_of_version, routes};
use shared::{clients, events, serve};

clients! { App { tokens: TokenVerifier, bookings: Db } }

async fn handle(app: &App, request: Request) -> Answer {
    let organizer = request.user(&app.tokens)?;
    let event_id = request.path("event_id", "event")?;
    let version = request.if_match()?;
    let change: EventChange = request.fields()?.decode()?;
    let db = &app.bookings;
    let event = events::change_event(db, organizer, &event_id, version, &change).await?;
    Ok(ok_of_version(&event, event.version))
}

serve!(routes::UPDATE_EVENT, App, handle);

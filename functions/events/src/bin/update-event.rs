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
    let change: EventChange = request.fields()?.decode()?;
    let event = events::own(&app.bookings, organizer, &event_id, request.if_match()?).await?;
    let event = events::change_event(&app.bookings, &event, &change).await?;
    Ok(ok_of_version(&event, event.version))
}

serve!(routes::UPDATE_EVENT, App, handle);

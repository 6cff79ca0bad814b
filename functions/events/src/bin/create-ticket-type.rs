//! `POST /events/{event_id}/ticket-types`.

use shared::auth::TokenVerifier;
use shared::db::Db;
use shared::http::{Answer, Request, created, decode_type, routes};
use shared::{clients, events, serve};

clients! { App { tokens: TokenVerifier, bookings: Db } }

async fn handle(app: &App, request: Request) -> Answer {
    let organizer = request.user(&app.tokens)?;
    let event_id = request.path("event_id", "event")?;
    let fields = request.fields()?;
    let event = events::own(&app.bookings, organizer, &event_id, None).await?;
    let new = decode_type(fields, event.currency)?;
    let made = events::add_type(&app.bookings, &event, &new).await?;
    Ok(created(&made))
}

serve!(routes::CREATE_TICKET_TYPE, App, handle);

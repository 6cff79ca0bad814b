//! `PATCH /events/{event_id}/ticket-types/{ticket_type_id}`.

use shared::auth::TokenVerifier;
use shared::db::Db;
use shared::http::{Answer, Request, decode_type_change, ok, routes};
use shared::{clients, events, serve};

clients! { App { tokens: TokenVerifier, bookings: Db } }

async fn handle(app: &App, request: Request) -> Answer {
    let organizer = request.user(&app.tokens)?;
    let event_id = request.path("event_id", "event")?;
    let ticket_type_id = request.path("ticket_type_id", "ticket type")?;
    let fields = request.fields()?;
    let event = events::own(&app.bookings, organizer, &event_id, request.if_match()?).await?;
    let change = decode_type_change(fields, event.currency)?;
    let changed = events::change_type(&app.bookings, &event, ticket_type_id, &change).await?;
    Ok(ok(&changed))
}

serve!(routes::UPDATE_TICKET_TYPE, App, handle);

//! `POST /events/{event_id}/promo-codes`.

use shared::auth::TokenVerifier;
use shared::db::Db;
use shared::http::{Answer, Request, created, decode_code, routes};
use shared::{clients, events, serve};

clients! { App { tokens: TokenVerifier, bookings: Db } }

async fn handle(app: &App, request: Request) -> Answer {
    let organizer = request.user(&app.tokens)?;
    let event_id = request.path("event_id", "event")?;
    let fields = request.fields()?;
    let event = events::own(&app.bookings, organizer, &event_id, None).await?;
    let new = decode_code(fields, event.currency)?;
    let made = events::create_code(&app.bookings, &event, new).await?;
    Ok(created(&made))
}

serve!(routes::CREATE_PROMO_CODE, App, handle);

//! `GET /events/{event_id}/promo-codes`.

use shared::auth::TokenVerifier;
use shared::db::Db;
use shared::http::{Answer, Request, ok, routes};
use shared::{clients, events, serve};

clients! { App { tokens: TokenVerifier, bookings: Db } }

async fn handle(app: &App, request: Request) -> Answer {
    let organizer = request.user(&app.tokens)?;
    let event_id = request.path("event_id", "event")?;
    let page = request.page(&format!("codes of {event_id}"))?;
    let event = events::own(&app.bookings, organizer, &event_id, None).await?;
    let codes = events::list_codes(&app.bookings, &event, &page).await?;
    Ok(ok(&codes))
}

serve!(routes::LIST_PROMO_CODES, App, handle);

//! `PATCH /events/{event_id}/promo-codes/{code}`.

use shared::auth::TokenVerifier;
use shared::db::Db;
use shared::http::{Answer, Request, decode_code_change, ok, routes};
use shared::{clients, events, serve};

clients! { App { tokens: TokenVerifier, bookings: Db } }

async fn handle(app: &App, request: Request) -> Answer {
    let organizer = request.user(&app.tokens)?;
    let event_id = request.path("event_id", "event")?;
    let code = request.path("code", "promo code")?;
    let fields = request.fields()?;
    let event = events::own(&app.bookings, organizer, &event_id, request.if_match()?).await?;
    let kind = events::own_code(&app.bookings, &event, &code).await?.kind;
    let change = decode_code_change(fields, kind, event.currency)?;
    let changed = events::change_code(&app.bookings, &event, &code, &change).await?;
    Ok(ok(&changed))
}

serve!(routes::UPDATE_PROMO_CODE, App, handle);

//! `GET /events/{event_id}/promo-codes/{code}`.

use shared::db::Db;
use shared::events::Asker;
use shared::http::{Answer, Request, ok, routes};
use shared::{clients, events, serve};

clients! { App { bookings: Db } }

async fn handle(app: &App, request: Request) -> Answer {
    let event_id = request.path("event_id", "event")?;
    let code = request.path("code", "promo code")?;
    let asker = Asker::At(request.address());
    let offer = events::offer_of(&app.bookings, &event_id, code, asker).await?;
    Ok(ok(&offer))
}

serve!(routes::GET_PROMO_CODE, App, handle);

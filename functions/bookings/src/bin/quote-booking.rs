//! `POST /events/{event_id}/quote`.

use shared::bookings::QuoteRequest;
use shared::db::Db;
use shared::events::Asker;
use shared::http::{Answer, Request, ok, routes};
use shared::{bookings, clients, serve};

clients! { App { bookings: Db } }

async fn handle(app: &App, request: Request) -> Answer {
    let event_id = request.path("event_id", "event")?;
    let asker = Asker::At(request.address());
    let wanted: QuoteRequest = request.fields()?.decode()?;
    let quote = bookings::quote(&app.bookings, &event_id, wanted, asker).await?;
    Ok(ok(&quote))
}

serve!(routes::QUOTE_BOOKING, App, handle);

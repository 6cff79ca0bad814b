//! `POST /events/{event_id}/quotas`.

use shared::auth::TokenVerifier;
use shared::db::Db;
use shared::events::NewQuota;
use shared::http::{Answer, Request, created, routes};
use shared::{clients, events, serve};

clients! { App { tokens: TokenVerifier, bookings: Db } }

async fn handle(app: &App, request: Request) -> Answer {
    let organizer = request.user(&app.tokens)?;
    let event_id = request.path("event_id", "event")?;
    let new: NewQuota = request.fields()?.decode()?;
    let event = events::own(&app.bookings, organizer, &event_id, None).await?;
    let made = events::add_quota(&app.bookings, &event, &new).await?;
    Ok(created(&made))
}

serve!(routes::CREATE_QUOTA, App, handle);

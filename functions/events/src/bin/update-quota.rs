//! `PATCH /events/{event_id}/quotas/{quota_id}`.

use shared::auth::TokenVerifier;
use shared::db::Db;
use shared::events::QuotaChange;
use shared::http::{Answer, Request, ok, routes};
use shared::{clients, events, serve};

clients! { App { tokens: TokenVerifier, bookings: Db } }

async fn handle(app: &App, request: Request) -> Answer {
    let organizer = request.user(&app.tokens)?;
    let event_id = request.path("event_id", "event")?;
    let quota_id = request.path("quota_id", "quota")?;
    let change: QuotaChange = request.fields()?.decode()?;
    let event = events::own(&app.bookings, organizer, &event_id, request.if_match()?).await?;
    let changed = events::change_quota(&app.bookings, &event, quota_id, &change).await?;
    Ok(ok(&changed))
}

serve!(routes::UPDATE_QUOTA, App, handle);

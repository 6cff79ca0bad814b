//! `POST /events`.

use shared::auth::TokenVerifier;
use shared::db::Db;
use shared::events::{self, NewEvent};
use shared::http::{Answer, Request, created, routes};
use shared::{clients, serve};

clients! { App { tokens: TokenVerifier, bookings: Db } }

async fn handle(app: &App, request: Request) -> Answer {
    let organizer = request.user(&app.tokens)?;
    let event: NewEvent = request.fields()?.decode()?;
    let event = events::create(&app.bookings, organizer, event).await?;
    Ok(created(&event))
}

serve!(routes::CREATE_EVENT, App, handle);

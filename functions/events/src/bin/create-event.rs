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
    let has_one_price = event.has_one_price();
    let made = events::create(&app.bookings, organizer, event).await?;
    Ok(if has_one_price {
        created(&made.event)
    } else {
        created(&made)
    })
}

serve!(routes::CREATE_EVENT, App, handle);

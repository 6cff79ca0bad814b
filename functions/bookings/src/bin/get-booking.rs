//! `GET /bookings/{booking_id}`.

use shared::auth::TokenVerifier;
use shared::db::Db;
use shared::http::{Answer, Request, ok, routes};
use shared::{bookings, clients, serve};

clients! { App { tokens: TokenVerifier, bookings: Db } }

async fn handle(app: &App, request: Request) -> Answer {
    let user = request.user(&app.tokens)?;
    let booking_id = request.path("booking_id", "booking")?;
    let booking = bookings::get_details(&app.bookings, user, booking_id).await?;
    Ok(ok(&booking))
}

serve!(routes::GET_BOOKING, App, handle);

//! `POST /bookings/{booking_id}/release`.

use shared::auth::TokenVerifier;
use shared::db::Db;
use shared::http::{Answer, Request, ok, routes};
use shared::payments::ChargeFunction;
use shared::{bookings, clients, serve};

clients! { App { tokens: TokenVerifier, bookings: Db, payments: ChargeFunction } }

async fn handle(app: &App, request: Request) -> Answer {
    let user = request.user(&app.tokens)?;
    let booking_id = request.path("booking_id", "booking")?;
    request.optional_fields()?.refuse_all()?;
    let released = bookings::release_hold(&app.bookings, &app.payments, user, booking_id).await?;
    Ok(ok(&released))
}

serve!(routes::RELEASE_BOOKING, App, handle);

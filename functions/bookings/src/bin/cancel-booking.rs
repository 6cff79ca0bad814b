//! `POST /bookings/{booking_id}/cancel`.

use shared::auth::TokenVerifier;
use shared::db::Db;
use shared::http::{Answer, Request, ok, routes};
use shared::payments::ChargeFunction;
use shared::{bookings, clients, serve};

clients! { App { tokens: TokenVerifier, bookings: Db, payments: ChargeFunction } }

async fn handle(app: &App, request: Request) -> Answer {
    let user = request.user(&app.tokens)?;
    request.optional_fields()?.refuse_all()?;
    let booking_id = request.path("booking_id", "booking")?;
    let booking = bookings::cancel(&app.bookings, &app.payments, user, booking_id).await?;
    Ok(ok(&booking))
}

serve!(routes::CANCEL_BOOKING, App, handle);

//! `POST /bookings/{booking_id}/pay`.

use shared::auth::TokenVerifier;
use shared::bookings::{BoxOffice, HoldPaid, PayRequest, PendingPayment};
use shared::http::{Answer, Request, accepted, ok, routes};
use shared::settle_queue::SettleQueue;
use shared::{bookings, clients, serve};

clients! { App { tokens: TokenVerifier, office: BoxOffice, settle_queue: SettleQueue } }

async fn handle(app: &App, request: Request) -> Answer {
    let user = request.user(&app.tokens)?;
    let booking_id = request.path("booking_id", "booking")?;
    let PayRequest { payment_method } = request.fields()?.decode()?;
    let method = payment_method.unwrap_or_default();
    let there = format!("/bookings/{booking_id}");
    match bookings::pay(&app.office, &app.settle_queue, user, booking_id, method).await? {
        HoldPaid::Confirmed(booking) => Ok(ok(&booking)),
        HoldPaid::Pending(booking) => Ok(accepted(&PendingPayment::from(booking), &there, 5)),
        HoldPaid::Asked(booking) => Ok(accepted(&PendingPayment::asking(booking), &there, 5)),
    }
}

serve!(routes::PAY_BOOKING, App, handle);

//! `POST /bookings/{booking_id}/pay`.

use shared::auth::TokenVerifier;
use shared::bookings::{BoxOffice, HoldPaid, PayHoldError, PayRequest, PendingPayment};
use shared::http::{Answer, Request, accepted, marked, ok, routes};
use shared::settle_queue::SettleQueue;
use shared::{bookings, clients, serve};

clients! { App { tokens: TokenVerifier, office: BoxOffice, settle_queue: SettleQueue } }

async fn handle(app: &App, request: Request) -> Answer {
    let user = request.user(&app.tokens)?;
    let booking_id = request.path("booking_id", "booking")?;
    let fields = request.fields()?;
    let key = request.idempotency(&fields)?;
    let PayRequest { payment_method } = fields.decode()?;
    let method = payment_method.unwrap_or_default();
    let (office, queue) = (&app.office, &app.settle_queue);
    let paid = bookings::pay(office, queue, user, booking_id, method, key.as_ref()).await;
    marked(answer(paid.outcome), paid.replayed)
}

fn answer(paid: Result<HoldPaid, PayHoldError>) -> Answer {
    let pending = match paid? {
        HoldPaid::Confirmed(booking) => return Ok(ok(&booking)),
        HoldPaid::Pending(booking) => PendingPayment::from(booking),
        HoldPaid::Asked(booking) => PendingPayment::asking(booking),
    };
    let there = format!("/bookings/{}", pending.booking.booking_id);
    Ok(accepted(&pending, &there, 5))
}

serve!(routes::PAY_BOOKING, App, handle);

//! `POST /bookings/{booking_id}/pay`.

use shared::auth::TokenVerifier;
use shared::bookings::{BoxOffice, PayRequest};
use shared::http::{Answer, Problem, Request, answers, marked, routes};
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
    let answer = paid.outcome.map(answers::hold_paid).map_err(Problem::from);
    marked(answer, paid.replayed)
}

serve!(routes::PAY_BOOKING, App, handle);

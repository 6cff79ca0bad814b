//! `POST /bookings`.

use shared::auth::TokenVerifier;
use shared::bookings::{BookingRequest, BoxOffice};
use shared::http::{Answer, Request, answers, marked, routes};
use shared::settle_queue::SettleQueue;
use shared::{bookings, clients, serve};

clients! { App { tokens: TokenVerifier, office: BoxOffice, settle_queue: SettleQueue } }

async fn handle(app: &App, request: Request) -> Answer {
    let user = request.user(&app.tokens)?;
    let fields = request.fields()?;
    let idempotency = request.idempotency(&fields)?;
    let wanted: BookingRequest = fields.decode()?;
    let booked = bookings::book(&app.office, &app.settle_queue, user, wanted, idempotency).await?;
    marked(answers::booked(booked.outcome), booked.replayed)
}

serve!(routes::CREATE_BOOKING, App, handle);

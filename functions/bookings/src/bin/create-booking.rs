//! `POST /bookings`.

use shared::auth::TokenVerifier;
use shared::bookings::{BookingOutcome, BookingRequest, BoxOffice};
use shared::http::{Answer, Code, Problem, Request, accepted, created, marked, routes};
use shared::settle_queue::SettleQueue;
use shared::{bookings, clients, serve};

clients! { App { tokens: TokenVerifier, office: BoxOffice, settle_queue: SettleQueue } }

async fn handle(app: &App, request: Request) -> Answer {
    let user = request.user(&app.tokens)?;
    let fields = request.fields()?;
    let idempotency = request.idempotency(&fields)?;
    let wanted: BookingRequest = fields.decode()?;
    let booked = bookings::book(&app.office, &app.settle_queue, user, wanted, idempotency).await?;
    let answer = match booked.outcome {
        BookingOutcome::Confirmed(booking) | BookingOutcome::Held(booking) => Ok(created(&booking)),
        BookingOutcome::Pending(booking) => Ok(accepted(
            &booking,
            &format!("/bookings/{}", booking.booking_id),
            5,
        )),
        BookingOutcome::Declined(booking) => {
            let detail = format!(
                "The payment of booking {} was declined; its tickets were released.",
                booking.booking_id
            );
            Err(Problem::new(Code::PaymentDeclined, detail))
        }
        BookingOutcome::Expired(booking) => {
            let detail = format!(
                "Booking {} was not paid in time; nothing was charged and its tickets were released.",
                booking.booking_id
            );
            Err(Problem::new(Code::PaymentDeclined, detail))
        }
    };
    marked(answer, booked.replayed)
}

serve!(routes::CREATE_BOOKING, App, handle);

//! The responses that tell clients the outcome of a booking or a payment.

use domain::bookings::{BookingOutcome, HoldPaid, PendingPayment};
use domain::payments::PaymentOutcome;

use super::{Answer, Code, Problem, Response, accepted, created, ok};

/// After how many seconds a client may ask again for an outcome that is pending.
const RETRY_AFTER: u32 = 5;

/// What a request for tickets is answered.
///
/// # Errors
/// 402 where nothing was charged: the tickets went back.
pub fn booked(outcome: BookingOutcome) -> Answer {
    match outcome {
        BookingOutcome::Confirmed(booking) | BookingOutcome::Held(booking) => Ok(created(&booking)),
        BookingOutcome::Pending(booking) => {
            let there = format!("/bookings/{}", booking.booking_id);
            Ok(accepted(&booking, &there, RETRY_AFTER))
        }
        BookingOutcome::Declined(booking) => Err(declined(format!(
            "The payment of booking {} was declined; its tickets were released.",
            booking.booking_id
        ))),
        BookingOutcome::Expired(booking) => Err(declined(format!(
            "Booking {} was not paid in time; nothing was charged and its tickets were released.",
            booking.booking_id
        ))),
    }
}

/// What a request to pay a hold is answered, if no error says more.
pub fn hold_paid(paid: HoldPaid) -> Response {
    let pending = match paid {
        HoldPaid::Confirmed(booking) => return ok(&booking),
        HoldPaid::Pending(booking) => PendingPayment::from(booking),
        HoldPaid::Asked(booking) => PendingPayment::asking(booking),
    };
    let there = format!("/bookings/{}", pending.booking.booking_id);
    accepted(&pending, &there, RETRY_AFTER)
}

/// What a request for a payment of no booking is answered.
///
/// # Errors
/// 402 where nothing was charged.
pub fn paid(outcome: PaymentOutcome) -> Answer {
    match outcome {
        PaymentOutcome::Paid(payment) => Ok(created(&payment)),
        PaymentOutcome::Pending(payment) => {
            let there = format!("/payments/{}", payment.payment_id);
            Ok(accepted(&payment, &there, RETRY_AFTER))
        }
        PaymentOutcome::Declined(payment) => Err(declined(format!(
            "Payment {} was declined.",
            payment.payment_id
        ))),
        PaymentOutcome::Voided(payment) => Err(declined(format!(
            "Payment {} was not made in time; nothing was charged.",
            payment.payment_id
        ))),
    }
}

fn declined(detail: String) -> Problem {
    Problem::new(Code::PaymentDeclined, detail)
}

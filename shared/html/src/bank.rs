//! The page of the simulated bank, where the owner of a card says whether to pay, as in 3-D Secure.
//!
//! Like a real bank, it does not know who is logged in here. Anyone who knows the booking's number can answer; a real
//! bank asks for more.

use askama::Template;
use http::StatusCode;
use shared::http::{Answer, Problem, Request};
use shared::ids::{BookingId, PaymentId};
use shared::payments::{self, Authentication, GatewayError, Payments};

use crate::format::money;
use crate::frame::Frame;
use crate::language::Language;
use crate::respond::{page, see_other};

#[derive(Template)]
#[template(path = "bank.html")]
struct BankPage {
    frame: Frame,
    t: Language,
    payment_id: PaymentId,
    /// None where there is nothing to answer any more.
    question: Option<String>,
    booking_path: String,
}

/// `GET /bank/{payment_id}`: what the bank asks.
pub async fn show(store: &Payments, request: &Request) -> Answer {
    let payment_id: PaymentId = request.path("payment_id", "payment")?;
    let asked = payments::authentication(store, payment_id)
        .await
        .map_err(problem)?;
    let frame = Frame::of(request, false);
    let t = frame.language;
    let bank = BankPage {
        question: match asked {
            Authentication::Asked(amount) => Some(t.bank_question(money(t, amount))),
            Authentication::Over => None,
        },
        booking_path: booking_path(payment_id, "returned"),
        payment_id,
        frame,
        t,
    };
    page(request, StatusCode::OK, &bank)
}

/// `POST /bank/{payment_id}`: yes or no; leads back to the booking.
pub async fn answer(store: &Payments, request: &Request) -> Answer {
    let payment_id: PaymentId = request.path("payment_id", "payment")?;
    let yes = request.form()?.text("answer") == "yes";
    payments::authenticate(store, payment_id, yes)
        .await
        .map_err(problem)?;
    let told = if yes { "returned" } else { "refused" };
    see_other(&booking_path(payment_id, told))
}

fn booking_path(payment_id: PaymentId, told: &str) -> String {
    format!("/b/{}?told={told}", BookingId::of_payment(payment_id))
}

fn problem(error: GatewayError) -> Problem {
    match error {
        GatewayError::Books(cause) => cause.into(),
        error @ (GatewayError::AnotherCharge | GatewayError::NoEntry) => {
            Problem::internal("asking the bank", error)
        }
    }
}

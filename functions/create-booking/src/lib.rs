//! `POST /bookings`.

use shared::Error;
use shared::auth::TokenVerifier;
use shared::bookings::{BookingRequest, BoxOffice, Outcome};
use shared::config::Config;
use shared::http::{Code, Problem, Request, Response, accepted, created, replayed};

/// What one process of this function keeps between requests.
pub struct App {
    tokens: TokenVerifier,
    office: BoxOffice,
}

impl App {
    /// Makes the function's clients.
    ///
    /// # Errors
    /// A setting is missing or can't be read.
    pub async fn new(config: &Config) -> Result<Self, Error> {
        Ok(Self {
            tokens: TokenVerifier::new(config.token_public_key.required()?)?,
            office: BoxOffice::new(config).await?,
        })
    }
}

/// Answers one request.
///
/// # Errors
/// The problem that the client gets.
pub async fn handle(app: &App, request: Request) -> Result<Response, Problem> {
    let user = request.user(&app.tokens)?;
    let fields = request.fields()?;
    let repeatable = request.repeatable(&fields)?;
    let wanted: BookingRequest = fields.decode()?;
    let booked = app.office.book(user, wanted, repeatable).await?;
    let answer = match booked.outcome {
        Outcome::Confirmed(booking) => Ok(created(&booking)),
        Outcome::Pending(booking) => Ok(accepted(
            &booking,
            &format!("/bookings/{}", booking.booking_id),
            5,
        )),
        Outcome::Declined(booking) => {
            let detail = format!(
                "The payment of booking {} was declined; its tickets went back.",
                booking.booking_id
            );
            Err(Problem::new(Code::PaymentDeclined, detail))
        }
        Outcome::Expired(booking) => {
            let detail = format!(
                "Booking {} was not paid in time; nothing was charged and its tickets went back.",
                booking.booking_id
            );
            Err(Problem::new(Code::PaymentDeclined, detail))
        }
    };
    if booked.replayed {
        replayed(answer)
    } else {
        answer
    }
}

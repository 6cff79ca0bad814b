//! `POST /bookings/{booking_id}/cancel`.

use shared::Error;
use shared::auth::TokenVerifier;
use shared::bookings;
use shared::config::Config;
use shared::db::Db;
use shared::http::{Problem, Request, Response, ok};
use shared::payments::ChargeFunction;

/// What one process of this function keeps between requests.
pub struct App {
    tokens: TokenVerifier,
    bookings: Db,
    payments: ChargeFunction,
}

impl App {
    /// Makes the function's clients.
    ///
    /// # Errors
    /// A setting is missing or can't be read.
    pub async fn new(config: &Config) -> Result<Self, Error> {
        Ok(Self {
            tokens: TokenVerifier::new(config.token_public_key.required()?)?,
            bookings: Db::new(config).await?,
            payments: ChargeFunction::new(config).await?,
        })
    }
}

/// Answers one request.
///
/// # Errors
/// The problem that the client gets.
pub async fn handle(app: &App, request: Request) -> Result<Response, Problem> {
    let user = request.user(&app.tokens)?;
    request.optional_fields()?.refuse_all()?;
    let booking_id = request.path("booking_id", "booking")?;
    let booking = bookings::cancel(&app.bookings, &app.payments, user, booking_id).await?;
    Ok(ok(&booking))
}

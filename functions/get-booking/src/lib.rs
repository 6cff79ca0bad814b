//! `GET /bookings/{booking_id}`.

use shared::auth::TokenVerifier;
use shared::config::Config;
use shared::db::Db;
use shared::http::{Problem, Request, Response, ok};
use shared::{Error, bookings};

/// What one process of this function keeps between requests.
pub struct App {
    tokens: TokenVerifier,
    bookings: Db,
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
        })
    }
}

/// Answers one request.
///
/// # Errors
/// The problem that the client gets.
pub async fn handle(app: &App, request: Request) -> Result<Response, Problem> {
    let user = request.user(&app.tokens)?;
    let booking_id = request.path("booking_id", "booking")?;
    let booking = bookings::get(&app.bookings, user, booking_id).await?;
    Ok(ok(&booking))
}

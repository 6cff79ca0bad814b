//! `POST /events`.

use shared::Error;
use shared::auth::TokenVerifier;
use shared::config::Config;
use shared::db::Db;
use shared::events::{self, NewEvent};
use shared::http::{Problem, Request, Response, created};

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
    let organizer = request.user(&app.tokens)?;
    let event: NewEvent = request.fields()?.decode()?;
    let event = events::create(&app.bookings, organizer, event).await?;
    Ok(created(&event))
}

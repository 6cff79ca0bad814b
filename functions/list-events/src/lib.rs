//! `GET /events`.

use shared::config::Config;
use shared::db::Db;
use shared::http::{Problem, Request, Response, ok};
use shared::{Error, events};

/// What one process of this function keeps between requests.
#[derive(Debug)]
pub struct App {
    bookings: Db,
}

impl App {
    /// Makes the function's clients.
    ///
    /// # Errors
    /// A setting is missing or can't be read.
    pub async fn new(config: &Config) -> Result<Self, Error> {
        Ok(Self {
            bookings: Db::new(config).await?,
        })
    }
}

/// Answers one request.
///
/// # Errors
/// The problem that the client gets.
pub async fn handle(app: &App, request: Request) -> Result<Response, Problem> {
    let page = request.page("events")?;
    let events = events::list(&app.bookings, &page).await?;
    Ok(ok(&events))
}

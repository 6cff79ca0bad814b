//! `POST /login`. The only function that signs tokens.

use shared::Error;
use shared::config::Config;
use shared::db::Db;
use shared::http::{Problem, Request, Response, ok};
use shared::token_key::TokenKey;
use shared::users::{self, Credentials};

/// What one process of this function keeps between requests.
pub struct App {
    users: Db,
    key: TokenKey,
}

impl App {
    /// Makes the function's clients.
    ///
    /// # Errors
    /// A setting is missing or can't be read.
    pub async fn new(config: &Config) -> Result<Self, Error> {
        Ok(Self {
            users: Db::new(config).await?,
            key: TokenKey::new(config).await?,
        })
    }
}

/// Answers one request.
///
/// # Errors
/// The problem that the client gets.
pub async fn handle(app: &App, request: Request) -> Result<Response, Problem> {
    let credentials: Credentials = request.fields()?.decode()?;
    let session = users::log_in(&app.users, &app.key, credentials).await?;
    Ok(ok(&session))
}

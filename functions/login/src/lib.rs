//! `POST /login`. The only function that holds the key which signs tokens.

use shared::Error;
use shared::auth::TokenSigner;
use shared::config::Config;
use shared::db::Db;
use shared::http::{Problem, Request, Response, ok};
use shared::users::{self, Credentials};

/// What one process of this function keeps between requests.
pub struct App {
    users: Db,
    signer: TokenSigner,
}

impl App {
    /// Makes the function's clients.
    ///
    /// # Errors
    /// A setting is missing or can't be read.
    pub async fn new(config: &Config) -> Result<Self, Error> {
        Ok(Self {
            users: Db::new(config.users_database_url.required()?)?,
            signer: TokenSigner::new(config.token_private_key.required()?, config.token_lifetime)?,
        })
    }
}

/// Answers one request.
///
/// # Errors
/// The problem that the client gets.
pub async fn handle(app: &App, request: Request) -> Result<Response, Problem> {
    let credentials = Credentials::read(request.fields()?)?;
    let session = users::log_in(&app.users, &app.signer, credentials).await?;
    Ok(ok(&session))
}

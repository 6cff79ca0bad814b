//! `POST /users`.

use shared::Error;
use shared::config::Config;
use shared::db::Db;
use shared::http::{Problem, Request, Response, created};
use shared::users::{self, Registration};

/// What one process of this function keeps between requests.
#[derive(Debug)]
pub struct App {
    users: Db,
}

impl App {
    /// Makes the function's clients.
    ///
    /// # Errors
    /// A setting is missing or can't be read.
    pub async fn new(config: &Config) -> Result<Self, Error> {
        Ok(Self {
            users: Db::new(config).await?,
        })
    }
}

/// Answers one request.
///
/// # Errors
/// The problem that the client gets.
pub async fn handle(app: &App, request: Request) -> Result<Response, Problem> {
    let registration: Registration = request.fields()?.decode()?;
    let user = users::register(&app.users, registration).await?;
    Ok(created(&user))
}

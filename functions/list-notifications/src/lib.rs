//! `GET /notifications`.

use shared::Error;
use shared::auth::TokenVerifier;
use shared::config::Config;
use shared::docdb::DocumentStore;
use shared::http::{Problem, Request, Response, ok};
use shared::notifications::Notifications;

/// What one process of this function keeps between requests.
pub struct App {
    tokens: TokenVerifier,
    notifications: Notifications,
}

impl App {
    /// Makes the function's clients.
    ///
    /// # Errors
    /// A setting is missing or can't be read.
    pub async fn new(config: &Config) -> Result<Self, Error> {
        Ok(Self {
            tokens: TokenVerifier::new(config.token_public_key.required()?)?,
            notifications: Notifications::new(&DocumentStore::new(&config.documents_secret).await?),
        })
    }
}

/// Answers one request.
///
/// # Errors
/// The problem that the client gets.
pub async fn handle(app: &App, request: Request) -> Result<Response, Problem> {
    let user = request.user(&app.tokens)?;
    let page = request.page(&format!("notifications of {user}"))?;
    let notifications = app.notifications.list(user, &page).await?;
    Ok(ok(&notifications))
}

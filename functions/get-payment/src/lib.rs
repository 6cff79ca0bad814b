//! `GET /payments/{payment_id}`.

use shared::Error;
use shared::auth::TokenVerifier;
use shared::config::Config;
use shared::docdb::DocumentStore;
use shared::http::{Problem, Request, Response, ok};
use shared::payments::Payments;

/// What one process of this function keeps between requests.
pub struct App {
    tokens: TokenVerifier,
    payments: Payments,
}

impl App {
    /// Makes the function's clients.
    ///
    /// # Errors
    /// A setting is missing or can't be read.
    pub async fn new(config: &Config) -> Result<Self, Error> {
        Ok(Self {
            tokens: TokenVerifier::new(config.token_public_key.required()?)?,
            payments: Payments::new(&DocumentStore::new(&config.documents_secret).await?),
        })
    }
}

/// Answers one request.
///
/// # Errors
/// The problem that the client gets.
pub async fn handle(app: &App, request: Request) -> Result<Response, Problem> {
    let user = request.user(&app.tokens)?;
    let payment_id = request.path("payment_id", "payment")?;
    let payment = app.payments.get(user, payment_id).await?;
    Ok(ok(&payment))
}

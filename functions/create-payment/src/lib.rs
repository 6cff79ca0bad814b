//! `POST /payments`.

use shared::Error;
use shared::auth::TokenVerifier;
use shared::config::Config;
use shared::docdb::DocumentStore;
use shared::http::{Code, Problem, Request, Response, accepted, created, replayed};
use shared::payments::{Outcome, PaymentRequest, Payments};
use shared::settle_queue::SettleQueue;

/// What one process of this function keeps between requests.
pub struct App {
    tokens: TokenVerifier,
    payments: Payments,
    settle_queue: SettleQueue,
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
            settle_queue: SettleQueue::new(config).await?,
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
    let wanted: PaymentRequest = fields.decode()?;
    let paid = app
        .payments
        .pay(&app.settle_queue, user, wanted, repeatable)
        .await?;
    let answer = match paid.outcome {
        Outcome::Paid(payment) => Ok(created(&payment)),
        Outcome::Pending(payment) => Ok(accepted(
            &payment,
            &format!("/payments/{}", payment.payment_id),
            5,
        )),
        Outcome::Declined(payment) => {
            let detail = format!("Payment {} was declined.", payment.payment_id);
            Err(Problem::new(Code::PaymentDeclined, detail))
        }
        Outcome::Voided(payment) => {
            let detail = format!(
                "Payment {} was not made in time; nothing was charged.",
                payment.payment_id
            );
            Err(Problem::new(Code::PaymentDeclined, detail))
        }
    };
    if paid.replayed {
        replayed(answer)
    } else {
        answer
    }
}

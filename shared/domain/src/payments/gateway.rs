//! The payment gateway, simulated: test cards, and books of its own.
//!
//! Like a real one it keeps one entry for each idempotency key, written first-writer-wins, and
//! answers every repeat from it. The books are the collection `gateway_charges`; nothing else here
//! reads or writes it, and the tests count the money in it.

use std::sync::Arc;

use bson::{DateTime, doc};
use serde::{Deserialize, Serialize};
use strum::AsRefStr;

use super::{PaymentMethod, PaymentStatus};
use runtime::faults::FailPoint;
use stores::docdb::DocumentStore;
use stores::documents::Documents;
use values::ids::PaymentId;
use values::money::{Currency, Money};

/// What the gateway has in its books for a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, AsRefStr)]
#[serde(rename_all = "UPPERCASE")]
#[strum(serialize_all = "UPPERCASE")]
pub(super) enum Verdict {
    Charged,
    Declined,
    /// Cancelled before it was charged: a charge that comes later is refused.
    Cancelled,
}

impl From<Verdict> for PaymentStatus {
    fn from(verdict: Verdict) -> Self {
        match verdict {
            Verdict::Charged => Self::Success,
            Verdict::Declined => Self::Declined,
            Verdict::Cancelled => Self::Voided,
        }
    }
}

#[derive(Debug, Serialize, Deserialize)]
struct Entry {
    #[serde(rename = "_id")]
    key: PaymentId,
    verdict: Verdict,
    /// In minor units of the currency. A cancelled charge has neither an amount nor a currency.
    amount_minor: Option<i64>,
    currency: Option<Currency>,
    entered_at: DateTime,
}

/// Why the gateway did not decide.
#[derive(Debug, thiserror::Error)]
pub enum GatewayError {
    #[error("the key is that of a charge of another amount or currency")]
    AnotherCharge,
    #[error("the gateway's entry is gone")]
    NoEntry,
    #[error("the gateway's books")]
    Books(#[from] mongodb::error::Error),
}

/// A charge that waits for the owner of a card.
#[derive(Debug, Serialize, Deserialize)]
struct Question {
    #[serde(rename = "_id")]
    key: PaymentId,
    amount_minor: i64,
    currency: Currency,
    asked_at: DateTime,
}

/// What the bank's page shows of a charge.
#[derive(Debug)]
pub enum Authentication {
    /// The owner of the card is asked to pay this.
    Asked(Money),
    /// There is nothing to say yes or no to: it was charged, or cancelled, or another card was tried.
    Over,
}

/// The gateway.
#[derive(Debug, Clone)]
pub(super) struct Gateway {
    books: Documents<Entry>,
    questions: Documents<Question>,
}

impl Gateway {
    pub(super) fn new(store: &Arc<DocumentStore>) -> Self {
        Self {
            books: Documents::new(store, super::DATABASE, "gateway_charges"),
            questions: Documents::new(store, super::DATABASE, "gateway_questions"),
        }
    }

    /// Asks the owner of a card whether to charge it. Nothing is decided by that.
    pub(super) async fn ask(&self, key: PaymentId, amount: Money) -> Result<(), GatewayError> {
        let question = Question {
            key,
            amount_minor: amount.minor(),
            currency: amount.currency(),
            asked_at: DateTime::now(),
        };
        // If it is there, the gateway is asking already.
        self.questions
            .insert(FailPoint("GatewayAsk"), &question)
            .await?;
        Ok(())
    }

    async fn question(&self, key: PaymentId) -> Result<Option<Money>, GatewayError> {
        let question = self
            .questions
            .find_one(
                FailPoint("GetGatewayQuestion"),
                doc! {"_id": key.to_string()},
            )
            .await?;
        Ok(question.map(|question| Money::from_minor(question.amount_minor, question.currency)))
    }

    /// What the owner of a card is asked.
    pub(super) async fn authentication(
        &self,
        key: PaymentId,
    ) -> Result<Authentication, GatewayError> {
        let asked = self.question(key).await?;
        let decided = self.look(key).await?;
        Ok(match asked.filter(|_| decided.is_none()) {
            Some(amount) => Authentication::Asked(amount),
            None => Authentication::Over,
        })
    }

    /// What the owner of a card says: yes charges it, unless it was cancelled before; no ends the question, and decides
    /// nothing.
    pub(super) async fn answer(&self, key: PaymentId, yes: bool) -> Result<(), GatewayError> {
        let Some(amount) = self.question(key).await? else {
            return Ok(());
        };
        if yes {
            self.enter(key, Verdict::Charged, Some(amount)).await?;
            return Ok(());
        }
        self.questions
            .delete(FailPoint("GatewayRefuse"), doc! {"_id": key.to_string()})
            .await?;
        Ok(())
    }

    /// Charges a card, once for each key. `None` where the answer was lost on its way: the card may
    /// have been charged or not.
    pub(super) async fn charge(
        &self,
        key: PaymentId,
        amount: Money,
        method: PaymentMethod,
    ) -> Result<Option<Verdict>, GatewayError> {
        let verdict = if method.is_declined() {
            Verdict::Declined
        } else {
            Verdict::Charged
        };
        let standing = self.enter(key, verdict, Some(amount)).await?;
        Ok((method != PaymentMethod::Timeout).then_some(standing))
    }

    /// Cancels a charge that is not decided yet. Returns the verdict that stands.
    pub(super) async fn cancel(&self, key: PaymentId) -> Result<Verdict, GatewayError> {
        self.enter(key, Verdict::Cancelled, None).await
    }

    /// What it has decided; `None` where it has decided nothing.
    pub(super) async fn look(&self, key: PaymentId) -> Result<Option<Verdict>, GatewayError> {
        Ok(self.find(key).await?.map(|entry| entry.verdict))
    }

    async fn find(&self, key: PaymentId) -> Result<Option<Entry>, mongodb::error::Error> {
        self.books
            .find_one(FailPoint("GatewayLook"), doc! {"_id": key.to_string()})
            .await
    }

    /// Gives a charge back, once for each key.
    pub(super) async fn refund(&self, key: PaymentId) -> Result<(), mongodb::error::Error> {
        let now = DateTime::now();
        self.books
            .update(
                FailPoint("GatewayRefund"),
                doc! {"_id": key.to_string(), "verdict": "CHARGED", "refunded_at": null},
                doc! {"$set": {"refunded_at": now}, "$inc": {"refunds": 1}},
            )
            .await?;
        Ok(())
    }

    /// Stores `verdict` for `key` unless one is stored already, and returns the stored one. A charge of another
    /// amount than the stored one is refused.
    async fn enter(
        &self,
        key: PaymentId,
        verdict: Verdict,
        amount: Option<Money>,
    ) -> Result<Verdict, GatewayError> {
        let entry = Entry {
            key,
            verdict,
            amount_minor: amount.map(Money::minor),
            currency: amount.map(Money::currency),
            entered_at: DateTime::now(),
        };
        if self.books.insert(FailPoint("GatewayEnter"), &entry).await? {
            return Ok(verdict);
        }
        let standing = self.find(key).await?.ok_or(GatewayError::NoEntry)?;
        let asks_another = amount.is_some()
            && standing.verdict != Verdict::Cancelled
            && (standing.amount_minor, standing.currency) != (entry.amount_minor, entry.currency);
        if asks_another {
            return Err(GatewayError::AnotherCharge);
        }
        Ok(standing.verdict)
    }
}

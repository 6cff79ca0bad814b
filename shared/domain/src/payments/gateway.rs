//! The payment gateway, simulated: test cards, and books of its own.
//!
//! Like a real one it keeps one entry for each idempotency key, written first-writer-wins, and
//! answers every repeat from it. The books are the collection `gateway_charges`; nothing else here
//! reads or writes it, and the tests count the money in it.

use std::sync::Arc;

use mongodb::bson::{DateTime, doc};
use mongodb::options::ReturnDocument;
use serde::{Deserialize, Serialize};
use strum::AsRefStr;

use super::{PaymentError, PaymentMethod, PaymentStatus};
use runtime::faults::FailPoint;
use stores::docdb::{self, DocumentStore, Documents};
use values::ids::PaymentId;
use values::money::Money;
use values::time;

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
    verdict: Verdict,
}

/// The gateway.
#[derive(Debug, Clone)]
pub(super) struct Gateway(Documents<Entry>);

impl Gateway {
    pub(super) fn new(store: &Arc<DocumentStore>) -> Self {
        Self(Documents::new(store, super::DATABASE, "gateway_charges"))
    }

    /// Charges a card, once for each key. `None` where the answer was lost on its way: the card may
    /// have been charged or not.
    pub(super) async fn charge(
        &self,
        key: PaymentId,
        amount: Money,
        method: PaymentMethod,
    ) -> Result<Option<Verdict>, PaymentError> {
        let verdict = match method {
            PaymentMethod::Visa | PaymentMethod::Timeout => Verdict::Charged,
            PaymentMethod::ChargeDeclined => Verdict::Declined,
        };
        let standing = self.enter(key, verdict, Some(amount)).await?;
        Ok((method != PaymentMethod::Timeout).then_some(standing))
    }

    /// Cancels a charge that was not made yet; what stands, if it was.
    pub(super) async fn cancel(&self, key: PaymentId) -> Result<Verdict, PaymentError> {
        self.enter(key, Verdict::Cancelled, None).await
    }

    /// Gives a charge back, once for each key.
    pub(super) async fn refund(&self, key: PaymentId) -> Result<(), PaymentError> {
        let now = DateTime::from_millis(time::now().timestamp_millis());
        self.0
            .idempotent(FailPoint("GatewayRefund"), |books| {
                let refunding = books.update_one(
                    doc! {"_id": key.to_string(), "verdict": "CHARGED", "refunded_at": null},
                    doc! {"$set": {"refunded_at": now}, "$inc": {"refunds": 1}},
                );
                Box::pin(refunding.into_future())
            })
            .await?;
        Ok(())
    }

    /// Stores `verdict` for `key` unless one is stored already, and returns the stored one.
    async fn enter(
        &self,
        key: PaymentId,
        verdict: Verdict,
        amount: Option<Money>,
    ) -> Result<Verdict, PaymentError> {
        let on_insert = doc! {
            "verdict": verdict.as_ref(),
            "amount_minor": amount.map(Money::minor),
            "currency": amount.map(|amount| amount.currency().code()),
            "entered_at": DateTime::from_millis(time::now().timestamp_millis()),
        };
        for _ in 0..5 {
            let entered = self
                .0
                .idempotent(FailPoint("GatewayEnter"), |books| {
                    let entering = books.find_one_and_update(
                        doc! {"_id": key.to_string()},
                        doc! {"$setOnInsert": &on_insert},
                    );
                    let entering = entering.upsert(true);
                    Box::pin(
                        entering
                            .return_document(ReturnDocument::After)
                            .into_future(),
                    )
                })
                .await;
            match entered {
                Ok(Some(entry)) => return Ok(entry.verdict),
                Ok(None) => {}
                Err(error) if docdb::is_duplicate_key(&error) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Err(PaymentError::InProgress)
    }
}

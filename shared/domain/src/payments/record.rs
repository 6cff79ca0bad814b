//! Payment records: the documents of `payments`, and the only writes that they see.

use std::sync::Arc;
use std::time::Duration;

use bson::{Bson, DateTime, doc};
use mongodb::IndexModel;
use serde::{Deserialize, Serialize};

use super::{Charge, Payment, PaymentStatus};
use runtime::faults::FailPoint;
use stores::docdb::DocumentStore;
use stores::documents::Documents;
use values::ids::{BookingId, PaymentId, UserId};
use values::money::{Currency, Money};
use values::time::{self, Timestamp};

/// The longest that a payment which could not be settled is put off.
const MAX_PAUSE: Duration = Duration::from_secs(3600);

/// How often a worker looks for a payment to claim while others keep claiming those that it finds.
const MAX_CLAIMS: usize = 20;

/// A payment's record.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Record {
    #[serde(rename = "_id")]
    pub payment_id: PaymentId,
    /// Unique: the request that made it. The user's number and idempotency key where it has one,
    /// else the payment's own id.
    pub request_id: String,
    pub request_hash: Option<String>,
    /// When the request's key is forgotten, where it has one.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub key_until: Option<DateTime>,
    /// What this request was told; none while it runs, or if it broke off. Not changed by a refund.
    #[serde(default)]
    pub answer: Option<PaymentStatus>,
    pub booking_id: Option<BookingId>,
    pub user_id: i64,
    /// In minor units of the currency.
    pub amount_minor: i64,
    pub currency: Currency,
    pub status: PaymentStatus,
    /// How often somebody claimed it to settle it.
    #[serde(default)]
    pub attempts: i32,
    pub created_at: DateTime,
    pub updated_at: DateTime,
}

impl Record {
    pub(super) fn new(charge: &Charge, status: PaymentStatus) -> Self {
        let now = DateTime::now();
        Self {
            payment_id: charge.payment_id,
            request_id: charge.payment_id.to_string(),
            request_hash: None,
            key_until: None,
            answer: None,
            booking_id: charge.booking_id,
            user_id: charge.user_id.get(),
            amount_minor: charge.amount_minor,
            currency: charge.currency,
            status,
            attempts: 0,
            created_at: now,
            updated_at: now,
        }
    }

    /// Whether it is the record of this charge.
    pub(super) fn is_of(&self, charge: &Charge) -> bool {
        let Self {
            payment_id,
            booking_id,
            user_id,
            amount_minor,
            currency,
            ..
        } = self;
        (*payment_id, *booking_id, *user_id)
            == (charge.payment_id, charge.booking_id, charge.user_id.get())
            && (*amount_minor, *currency) == (charge.amount_minor, charge.currency)
    }

    pub(super) fn amount(&self) -> Money {
        Money::from_minor(self.amount_minor, self.currency)
    }
}

impl From<Record> for Payment {
    fn from(record: Record) -> Self {
        Self {
            payment_id: record.payment_id,
            user_id: UserId::from(record.user_id),
            amount: record.amount(),
            currency: record.currency,
            status: record.status,
            created_at: record.created_at.to_chrono(),
        }
    }
}

/// The collection of payment records.
#[derive(Debug, Clone)]
pub(super) struct Records(Documents<Record>);

impl Records {
    pub(super) fn new(store: &Arc<DocumentStore>) -> Self {
        Self(Documents::new(store, super::DATABASE, "payments"))
    }

    /// Makes the indexes. Safe to repeat.
    pub(super) async fn migrate(&self) -> Result<(), mongodb::error::Error> {
        let mut request = IndexModel::builder().keys(doc! {"request_id": 1}).build();
        request.options = Some(
            mongodb::options::IndexOptions::builder()
                .unique(true)
                .build(),
        );
        let unsettled = IndexModel::builder()
            .keys(doc! {"status": 1, "created_at": 1})
            .build();
        let keys = IndexModel::builder().keys(doc! {"key_until": 1}).build();
        let indexes = vec![request, unsettled, keys];
        self.0
            .create_indexes(FailPoint("IndexRecords"), indexes)
            .await?;
        Ok(())
    }

    /// Stores `record` unless its request has one already, and returns the stored record; `None` where the
    /// key of the one that stood was forgotten in between.
    pub(super) async fn open(
        &self,
        record: &Record,
    ) -> Result<Option<Record>, mongodb::error::Error> {
        if self.0.insert(FailPoint("OpenRecord"), record).await? {
            return Ok(Some(record.clone()));
        }
        let of_request = doc! {"request_id": &record.request_id};
        self.0.find_one(FailPoint("FindRecord"), of_request).await
    }

    /// Moves a record from `from` to `to`. If it has already moved, returns the record as it is. The status that
    /// closes a pending record is what its request is told from then on.
    pub(super) async fn advance(
        &self,
        payment_id: PaymentId,
        from: PaymentStatus,
        to: PaymentStatus,
    ) -> Result<Option<Record>, mongodb::error::Error> {
        let now = DateTime::now();
        let mut changes = doc! {"status": to.as_ref(), "updated_at": now};
        if from == PaymentStatus::Pending {
            changes.insert("answer", to.as_ref());
        }
        let advanced = self
            .0
            .find_and_update(
                FailPoint("AdvanceRecord"),
                doc! {"_id": payment_id.to_string(), "status": from.as_ref()},
                doc! {"$set": changes},
            )
            .await?;
        match advanced {
            Some(record) => Ok(Some(record)),
            None => self.get(payment_id).await,
        }
    }

    /// Notes that the request which made a record was told that it is pending, and so no longer runs.
    pub(super) async fn record_accepted(
        &self,
        payment_id: PaymentId,
    ) -> Result<(), mongodb::error::Error> {
        self.0
            .update(
                FailPoint("RecordPaymentAccepted"),
                doc! {"_id": payment_id.to_string(), "answer": null},
                doc! {"$set": {"answer": PaymentStatus::Pending.as_ref()}},
            )
            .await?;
        Ok(())
    }

    pub(super) async fn get(
        &self,
        payment_id: PaymentId,
    ) -> Result<Option<Record>, mongodb::error::Error> {
        self.0
            .find_one(
                FailPoint("ReadRecord"),
                doc! {"_id": payment_id.to_string()},
            )
            .await
    }

    /// Claims the payment of no booking that waited longest to be settled, of those that have been pending
    /// since `before`. It is postponed first: for 2, 4, 8 … seconds, up to an hour. A booking's payment is
    /// settled with its booking.
    pub(super) async fn claim_unsettled(
        &self,
        before: Timestamp,
    ) -> Result<Option<Record>, mongodb::error::Error> {
        // A record that others claim meanwhile is left to them.
        for _ in 0..MAX_CLAIMS {
            let pending = doc! {
                "status": PaymentStatus::Pending.as_ref(),
                "created_at": {"$lt": DateTime::from_chrono(before)},
                "booking_id": null,
                "$or": [{"next_attempt_at": null}, {"next_attempt_at": {"$lte": DateTime::now()}}],
            };
            // Null comes before any time: what was never tried comes first.
            let order = doc! {"next_attempt_at": 1};
            let found = self
                .0
                .find_first(FailPoint("FindPendingPayments"), pending, order)
                .await?;
            let Some(record) = found else { return Ok(None) };
            if self.claim(&record).await? {
                return Ok(Some(record));
            }
        }
        Ok(None)
    }

    /// Postpones a record, unless somebody else has done so since it was read. Returns whether this call did.
    async fn claim(&self, found: &Record) -> Result<bool, mongodb::error::Error> {
        let pause = Duration::from_secs(2 << found.attempts.clamp(0, 11)).min(MAX_PAUSE);
        let pause = pause.mul_f64(0.75 + fastrand::f64() / 2.0);
        let next = DateTime::from_chrono(time::now() + pause);
        // Records of before attempts were counted have none.
        let attempts = if found.attempts == 0 {
            vec![Bson::Int32(0), Bson::Null]
        } else {
            vec![Bson::Int32(found.attempts)]
        };
        self.0
            .update(
                FailPoint("ClaimPayment"),
                doc! {"_id": found.payment_id.to_string(), "attempts": {"$in": attempts}},
                doc! {"$set": {"next_attempt_at": next, "attempts": found.attempts + 1}},
            )
            .await
    }

    /// Forgets the idempotency keys of up to `limit` payments whose retention is over; how many.
    pub(super) async fn forget_keys(&self, limit: i64) -> Result<u64, mongodb::error::Error> {
        let over = doc! {"key_until": {"$lt": DateTime::now()}};
        let over = self
            .0
            .ids(FailPoint("FindPaymentKeys"), over, "key_until", limit)
            .await?;
        for id in &over {
            self.0
                .update(
                    FailPoint("ForgetPaymentKey"),
                    doc! {"_id": id},
                    doc! {
                        "$set": {"request_id": id, "request_hash": null},
                        "$unset": {"key_until": ""},
                    },
                )
                .await?;
        }
        Ok(over.len() as u64)
    }
}

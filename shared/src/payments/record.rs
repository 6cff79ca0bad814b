//! Payment records: the documents of `payments`, and the only writes that they see.

use mongodb::bson::{DateTime, doc, serialize_to_document};
use mongodb::options::ReturnDocument;
use mongodb::{Collection, Database, IndexModel};
use serde::{Deserialize, Serialize};

use super::{Charge, Payment, PaymentError, PaymentStatus};
use crate::docdb;
use crate::ids::{BookingId, PaymentId, UserId};
use crate::money::{Currency, Money};
use crate::time::{self, Timestamp};

/// A payment's record.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Record {
    #[serde(rename = "_id")]
    pub payment_id: PaymentId,
    /// Unique: the request that made it. The user's number and idempotency key where it has one,
    /// else the payment's own id.
    pub request_id: String,
    pub request_hash: Option<String>,
    /// The status code that this request was answered with; null while it runs, or if it broke off.
    pub first_answer: Option<i32>,
    pub booking_id: Option<BookingId>,
    pub user_id: i64,
    /// In minor units of the currency.
    pub amount_minor: i64,
    pub currency: Currency,
    pub status: PaymentStatus,
    pub created_at: DateTime,
    pub updated_at: DateTime,
}

impl Record {
    pub(super) fn new(charge: &Charge, status: PaymentStatus) -> Self {
        let now = DateTime::from_millis(time::now().timestamp_millis());
        Self {
            payment_id: charge.payment_id,
            request_id: charge.payment_id.to_string(),
            request_hash: None,
            first_answer: None,
            booking_id: charge.booking_id,
            user_id: charge.user_id.get(),
            amount_minor: charge.amount_minor,
            currency: charge.currency,
            status,
            created_at: now,
            updated_at: now,
        }
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
            created_at: Timestamp::from_timestamp_millis(record.created_at.timestamp_millis())
                .unwrap_or_default(),
        }
    }
}

/// The collection of payment records.
#[derive(Debug, Clone)]
pub(super) struct Records(Collection<Record>);

impl Records {
    pub(super) fn new(database: &Database) -> Self {
        Self(database.collection("payments"))
    }

    /// Makes the indexes. Safe to repeat.
    pub(super) async fn migrate(&self) -> Result<(), PaymentError> {
        let mut request = IndexModel::builder().keys(doc! {"request_id": 1}).build();
        request.options = Some(
            mongodb::options::IndexOptions::builder()
                .unique(true)
                .build(),
        );
        let unsettled = IndexModel::builder()
            .keys(doc! {"status": 1, "created_at": 1})
            .build();
        // One by one: FerretDB ends the connection when it is asked for two that are there.
        self.0.create_index(request).await?;
        self.0.create_index(unsettled).await?;
        Ok(())
    }

    /// Stores `record` unless its request has one already: the one that stands, of whoever was first.
    pub(super) async fn open(&self, record: &Record) -> Result<Record, PaymentError> {
        let mut on_insert = serialize_to_document(record).map_err(mongodb::error::Error::from)?;
        on_insert.remove("request_id");
        for _ in 0..5 {
            let opened = self
                .0
                .find_one_and_update(
                    doc! {"request_id": &record.request_id},
                    doc! {"$setOnInsert": &on_insert},
                )
                .upsert(true)
                .return_document(ReturnDocument::After)
                .await;
            match opened {
                Ok(Some(standing)) => return Ok(standing),
                Ok(None) => {}
                // Of two upserts that both found nothing, the store fails the second: it finds now.
                Err(error) if docdb::is_duplicate_key(&error) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Err(PaymentError::InProgress)
    }

    /// Moves a record from `from` to `to`. Where it moved already, the record as it stands.
    pub(super) async fn advance(
        &self,
        payment_id: PaymentId,
        from: PaymentStatus,
        to: PaymentStatus,
    ) -> Result<Record, PaymentError> {
        let now = DateTime::from_millis(time::now().timestamp_millis());
        let advanced = self
            .0
            .find_one_and_update(
                doc! {"_id": payment_id.to_string(), "status": from.as_str()},
                doc! {"$set": {"status": to.as_str(), "updated_at": now}},
            )
            .return_document(ReturnDocument::After)
            .await?;
        match advanced {
            Some(record) => Ok(record),
            None => self.get(payment_id).await,
        }
    }

    /// Notes what the request that made a record was answered.
    pub(super) async fn mark_answered(
        &self,
        payment_id: PaymentId,
        status: u16,
    ) -> Result<(), PaymentError> {
        self.0
            .update_one(
                doc! {"_id": payment_id.to_string(), "first_answer": null},
                doc! {"$set": {"first_answer": i32::from(status)}},
            )
            .await?;
        Ok(())
    }

    pub(super) async fn get(&self, payment_id: PaymentId) -> Result<Record, PaymentError> {
        self.0
            .find_one(doc! {"_id": payment_id.to_string()})
            .await?
            .ok_or(PaymentError::NotFound)
    }

    /// Up to `limit` payments of no booking that have been pending since `before`. A booking's
    /// payment is settled with its booking.
    pub(super) async fn unsettled(
        &self,
        before: Timestamp,
        limit: i64,
    ) -> Result<Vec<PaymentId>, PaymentError> {
        let mut found = self
            .0
            .find(doc! {
                "status": PaymentStatus::Pending.as_str(),
                "created_at": {"$lt": DateTime::from_millis(before.timestamp_millis())},
                "booking_id": null,
            })
            .sort(doc! {"created_at": 1})
            .limit(limit)
            .await?;
        let mut ids = Vec::new();
        while found.advance().await? {
            ids.push(found.deserialize_current()?.payment_id);
        }
        Ok(ids)
    }
}

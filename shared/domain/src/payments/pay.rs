//! Paying an amount for no booking.

use bson::DateTime;

use super::charge::charge_opened;
use super::record::Record;
use super::{
    Charge, Payment, PaymentRequest, PaymentStatus, Payments, Unsettled, enqueue_settlement,
};
use runtime::telemetry;
use stores::settle_queue::{Delivery, SettleQueue};
use values::idempotency::{self, IdempotentRequest};
use values::ids::{PaymentId, UserId};
use values::time;

/// Why a request made no payment.
#[derive(Debug, thiserror::Error)]
pub enum PayError {
    #[error("the body's user is not the token's")]
    AnotherUser,
    #[error("the request's key was used with another body")]
    KeyReused,
    #[error("the request is still running")]
    InProgress,
    #[error("the payment store")]
    Database(#[from] mongodb::error::Error),
}

/// What became of a request to pay.
#[derive(Debug)]
pub struct Paid {
    pub outcome: PaymentOutcome,
    /// Whether an earlier request with the same key did it.
    pub replayed: bool,
}

/// The ways in which a request that made a payment is answered.
#[derive(Debug)]
pub enum PaymentOutcome {
    /// Paid.
    Paid(Payment),
    /// Not known yet.
    Pending(Payment),
    /// Declined.
    Declined(Payment),
    /// Not made in time, and now it can't be.
    Voided(Payment),
}

impl PaymentOutcome {
    fn of(record: Record) -> Self {
        match record.status {
            PaymentStatus::Pending => Self::Pending(record.into()),
            PaymentStatus::Success | PaymentStatus::Refunded => Self::Paid(record.into()),
            PaymentStatus::Declined => Self::Declined(record.into()),
            PaymentStatus::Voided => Self::Voided(record.into()),
        }
    }
}

/// Pays `request` for `user`. If the outcome is unknown, hands the payment to `settle_queue`.
///
/// # Errors
/// No payment was made: see [`PayError`].
pub async fn pay(
    payments: &Payments,
    settle_queue: &SettleQueue,
    user: UserId,
    request: PaymentRequest,
    idempotency: Option<IdempotentRequest>,
) -> Result<Paid, PayError> {
    if request.user_id != user {
        return Err(PayError::AnotherUser);
    }
    let charge = Charge {
        payment_id: PaymentId::generate(),
        booking_id: None,
        user_id: user,
        amount_minor: request.amount.minor(),
        currency: request.amount.currency(),
    };
    let mut record = Record::new(&charge, PaymentStatus::Pending);
    if let Some(IdempotentRequest { key, hash }) = idempotency {
        record.request_id = format!("{user}:{key}");
        record.request_hash = Some(hash.as_str().to_owned());
        let until = time::now() + idempotency::RETENTION;
        record.key_until = Some(DateTime::from_chrono(until));
    }
    let opened = payments.records.open(&record).await?;
    // If the key was forgotten in between, a repeat makes a record of its own.
    let opened = opened.ok_or(PayError::InProgress)?;
    telemetry::note("payment_id", opened.payment_id);
    if opened.payment_id != record.payment_id {
        return replay(opened, &record);
    }
    tracing::info!("payment opened");
    let outcome = match charge_opened(
        payments,
        opened.clone(),
        request.payment_method.unwrap_or_default(),
    )
    .await
    {
        Ok(record) => PaymentOutcome::of(record),
        // The record stands and the card may be charged: no error from here on.
        Err(error) => {
            tracing::error!(
                error = telemetry::chain(&error),
                "payment left pending: charge outcome unknown"
            );
            PaymentOutcome::of(opened)
        }
    };
    if let PaymentOutcome::Pending(payment) = &outcome {
        leave_to_settle(payments, settle_queue, payment.payment_id).await;
    }
    Ok(Paid {
        outcome,
        replayed: false,
    })
}

/// Hands a payment whose outcome is unknown to the queue, and notes that the request was told so. The sweep
/// finds it also without the queue, so that no error here changes the answer.
async fn leave_to_settle(payments: &Payments, settle_queue: &SettleQueue, payment_id: PaymentId) {
    let unsettled = Unsettled::Payment { payment_id };
    enqueue_settlement(settle_queue, &unsettled, Delivery::Delayed).await;
    if let Err(error) = payments.records.record_accepted(payment_id).await {
        tracing::warn!(
            error = telemetry::chain(&error),
            "pending answer not recorded"
        );
    }
}

/// Answers a request as the one with the same key was answered, or with what has become of it.
fn replay(standing: Record, wanted: &Record) -> Result<Paid, PayError> {
    if standing.request_hash != wanted.request_hash {
        return Err(PayError::KeyReused);
    }
    let status = match (standing.answer, standing.status) {
        (None, PaymentStatus::Pending) => return Err(PayError::InProgress),
        // The release before this one closes records, and notes no answers.
        (None | Some(PaymentStatus::Pending), closed) => closed,
        (Some(answer), _) => answer,
    };
    Ok(Paid {
        outcome: PaymentOutcome::of(Record { status, ..standing }),
        replayed: true,
    })
}

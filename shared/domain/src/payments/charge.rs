//! Charge, and what undoes it: void before the money moved, refund after.

use std::sync::Arc;

use super::gateway::{Authentication, Gateway, GatewayError, Verdict};
use super::record::{Record, Records};
use super::{Charge, Payment, PaymentMethod, PaymentStatus};
use runtime::FromConfig;
use runtime::config::Config;
use runtime::telemetry;
use stores::docdb::DocumentStore;
use values::ids::{PaymentId, UserId};

/// Why a payment was not charged or voided, or why nobody knows whether it was.
#[derive(Debug, thiserror::Error)]
pub enum ChargeError {
    #[error("the amount to charge must be above 0")]
    NothingToCharge,
    #[error("the payment has another amount, currency, user or booking")]
    AnotherCharge,
    #[error("the payment has no record any more")]
    NoRecord,
    #[error("the gateway")]
    Gateway(#[from] GatewayError),
    #[error("the payment store")]
    Database(#[from] mongodb::error::Error),
}

/// Why a payment can't be given back.
#[derive(Debug, thiserror::Error)]
pub enum RefundError {
    #[error("there is no such payment")]
    NotFound,
    #[error("a payment that is {status:?} can't be refunded")]
    NotRefundable { status: PaymentStatus },
    #[error("the payment store")]
    Database(#[from] mongodb::error::Error),
}

/// Why a payment can't be shown.
#[derive(Debug, thiserror::Error)]
pub enum GetPaymentError {
    /// Also returned for another user's payment.
    #[error("there is no such payment")]
    NotFound,
    #[error("the payment store")]
    Database(#[from] mongodb::error::Error),
}

/// What became of a card that was tried for a hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HoldCharge {
    Decided(PaymentStatus),
    /// Its owner is asked whether to pay, at the bank's page.
    Asked,
}

/// The payment store and the gateway behind it.
#[derive(Debug, Clone)]
pub struct Payments {
    pub(super) records: Records,
    gateway: Gateway,
}

impl FromConfig for Payments {
    async fn from_config(config: &Config) -> Result<Self, runtime::Error> {
        let store = DocumentStore::new(&config.documents_secret, config.concurrency).await?;
        Ok(Self::new(&store))
    }
}

impl Payments {
    /// Uses the database `payment_db` of this store.
    pub fn new(store: &Arc<DocumentStore>) -> Self {
        Self {
            records: Records::new(store),
            gateway: Gateway::new(store),
        }
    }

    /// Makes the store's indexes. Safe to repeat.
    pub async fn migrate(&self) -> Result<(), mongodb::error::Error> {
        self.records.migrate().await
    }
}

/// Charges for a booking. A payment id is charged once, however often this is called, and not at all if a void came
/// first.
///
/// The gateway decides between a charge and a cancel once for each key, and the record stores its decision. If this
/// process dies in between, the booking is still PENDING, and its void finds what the gateway decided.
///
/// # Errors
/// See [`ChargeError`]. After an error of the payment store or of the gateway's books, the outcome is unknown.
pub async fn charge(
    payments: &Payments,
    charge: &Charge,
    method: PaymentMethod,
) -> Result<PaymentStatus, ChargeError> {
    check(charge)?;
    let id = charge.payment_id;
    match payments.gateway.charge(id, charge.amount(), method).await? {
        Some(verdict) => record(payments, charge, verdict).await,
        // Its answer is lost. It may have been asked before.
        None => match payments.records.get(id).await? {
            Some(standing) => keep_to(payments, &standing).await,
            None => Ok(PaymentStatus::Pending),
        },
    }
}

/// Tries a card for a hold. A card that is declined, or whose owner the bank asks, decides nothing: the payment stays
/// open and has no record yet. Any other card is charged as by [`charge()`].
pub async fn charge_hold(
    payments: &Payments,
    charge: &Charge,
    method: PaymentMethod,
) -> Result<HoldCharge, ChargeError> {
    if !method.is_declined() {
        return self::charge(payments, charge, method)
            .await
            .map(HoldCharge::Decided);
    }
    match look(payments, charge).await? {
        PaymentStatus::Pending if method == PaymentMethod::AuthenticationRequired => {
            payments
                .gateway
                .ask(charge.payment_id, charge.amount())
                .await?;
            Ok(HoldCharge::Asked)
        }
        PaymentStatus::Pending => Ok(HoldCharge::Decided(PaymentStatus::Declined)),
        decided => Ok(HoldCharge::Decided(decided)),
    }
}

/// What the owner of a card is asked about a payment, on the bank's page.
pub async fn authentication(
    payments: &Payments,
    payment_id: PaymentId,
) -> Result<Authentication, GatewayError> {
    telemetry::note("payment_id", payment_id);
    payments.gateway.authentication(payment_id).await
}

/// Gives the gateway the answer of the card's owner. The payment's record only changes when somebody looks at the
/// payment.
pub async fn authenticate(
    payments: &Payments,
    payment_id: PaymentId,
    yes: bool,
) -> Result<(), GatewayError> {
    telemetry::note("payment_id", payment_id);
    payments.gateway.answer(payment_id, yes).await
}

/// Stores what the gateway has decided about a charge, and returns the status. PENDING if nothing is decided yet.
pub async fn look(payments: &Payments, charge: &Charge) -> Result<PaymentStatus, ChargeError> {
    check(charge)?;
    match payments.gateway.look(charge.payment_id).await? {
        Some(verdict) => record(payments, charge, verdict).await,
        None => Ok(PaymentStatus::Pending),
    }
}

/// Stores what the gateway decided about a booking's charge; the status of the record that stands.
async fn record(
    payments: &Payments,
    charge: &Charge,
    verdict: Verdict,
) -> Result<PaymentStatus, ChargeError> {
    let standing = payments
        .records
        .open(&Record::new(charge, verdict.into()))
        .await?
        .ok_or(ChargeError::NoRecord)?;
    if !standing.is_of(charge) {
        return Err(ChargeError::AnotherCharge);
    }
    // The release before this one made it PENDING before it asked the gateway.
    if standing.status == PaymentStatus::Pending {
        let status = verdict.into();
        let closing = payments
            .records
            .advance(charge.payment_id, PaymentStatus::Pending, status);
        let closed = closing.await?.ok_or(ChargeError::NoRecord)?;
        return Ok(closed.status);
    }
    match verdict {
        Verdict::Charged => keep_to(payments, &standing).await,
        Verdict::Declined | Verdict::Cancelled => Ok(standing.status),
    }
}

/// The status of a record that stands. The release before this one voided without asking the gateway. If the
/// gateway has charged since, this refunds it.
async fn keep_to(payments: &Payments, standing: &Record) -> Result<PaymentStatus, ChargeError> {
    if standing.status == PaymentStatus::Voided {
        payments.gateway.refund(standing.payment_id).await?;
    }
    Ok(standing.status)
}

/// The second half of a payment of no booking: asks the gateway for what its record says, and closes it.
pub(super) async fn charge_opened(
    payments: &Payments,
    opened: Record,
    method: PaymentMethod,
) -> Result<Record, ChargeError> {
    if opened.status != PaymentStatus::Pending {
        return Ok(opened);
    }
    match payments
        .gateway
        .charge(opened.payment_id, opened.amount(), method)
        .await?
    {
        Some(verdict) => {
            let status = verdict.into();
            payments
                .records
                .advance(opened.payment_id, PaymentStatus::Pending, status)
                .await?
                .ok_or(ChargeError::NoRecord)
        }
        None => Ok(opened),
    }
}

/// Voids a booking's payment unless it was charged or declined already, and returns its status. No charge
/// can succeed afterwards.
///
/// # Errors
/// As for [`charge()`]. After an error of the store, nothing is known to have changed, and a repeat is safe.
pub async fn void(payments: &Payments, charge: &Charge) -> Result<PaymentStatus, ChargeError> {
    check(charge)?;
    match payments.records.get(charge.payment_id).await? {
        Some(standing) if !standing.is_of(charge) => Err(ChargeError::AnotherCharge),
        Some(standing) => close(payments, standing).await,
        None => {
            let verdict = payments.gateway.cancel(charge.payment_id).await?;
            record(payments, charge, verdict).await
        }
    }
}

/// Voids a payment that has a record, see [`void()`]; `None` where there is none.
pub async fn settle(
    payments: &Payments,
    payment_id: PaymentId,
) -> Result<Option<PaymentStatus>, ChargeError> {
    match find(payments, payment_id).await? {
        Some(standing) => close(payments, standing).await.map(Some),
        None => Ok(None),
    }
}

/// A payment's record, whose ids the log lines have from now on.
async fn find(
    payments: &Payments,
    payment_id: PaymentId,
) -> Result<Option<Record>, mongodb::error::Error> {
    telemetry::note("payment_id", payment_id);
    let record = payments.records.get(payment_id).await?;
    if let Some(booking_id) = record.as_ref().and_then(|record| record.booking_id) {
        telemetry::note("booking_id", booking_id);
    }
    Ok(record)
}

/// Closes a pending record with what the gateway has in its books, or by cancelling there.
pub(super) async fn close(
    payments: &Payments,
    standing: Record,
) -> Result<PaymentStatus, ChargeError> {
    if standing.status != PaymentStatus::Pending {
        return Ok(standing.status);
    }
    let verdict = payments.gateway.cancel(standing.payment_id).await?;
    let closed = payments
        .records
        .advance(standing.payment_id, PaymentStatus::Pending, verdict.into())
        .await?
        .ok_or(ChargeError::NoRecord)?;
    Ok(closed.status)
}

/// Gives a charge back, once however often it is called.
///
/// # Errors
/// See [`RefundError`]. A repeat is safe.
pub async fn refund(
    payments: &Payments,
    payment_id: PaymentId,
) -> Result<PaymentStatus, RefundError> {
    let record = find(payments, payment_id)
        .await?
        .ok_or(RefundError::NotFound)?;
    match record.status {
        PaymentStatus::Success => {}
        PaymentStatus::Refunded => return Ok(record.status),
        status @ (PaymentStatus::Pending | PaymentStatus::Declined | PaymentStatus::Voided) => {
            return Err(RefundError::NotRefundable { status });
        }
    }
    payments.gateway.refund(payment_id).await?;
    let refunded = payments
        .records
        .advance(payment_id, PaymentStatus::Success, PaymentStatus::Refunded)
        .await?
        .ok_or(RefundError::NotFound)?;
    Ok(refunded.status)
}

/// A payment of `user`.
pub async fn get(
    payments: &Payments,
    user: UserId,
    payment_id: PaymentId,
) -> Result<Payment, GetPaymentError> {
    let record = payments.records.get(payment_id).await?;
    record
        .filter(|record| record.user_id == user.get())
        .map(Payment::from)
        .ok_or(GetPaymentError::NotFound)
}

/// Refuses a charge of nothing; the log lines have its ids from now on.
fn check(charge: &Charge) -> Result<(), ChargeError> {
    if charge.amount_minor <= 0 {
        return Err(ChargeError::NothingToCharge);
    }
    telemetry::note("payment_id", charge.payment_id);
    if let Some(booking_id) = charge.booking_id {
        telemetry::note("booking_id", booking_id);
    }
    Ok(())
}

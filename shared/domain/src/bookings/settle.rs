//! Settles bookings whose outcome is unknown. The queue makes it quick, the sweep makes it certain.
//!
//! To settle such a booking is to ask for a *void*. If its payment already has an outcome, that stands: a charged
//! booking is confirmed, a declined one rejected. Otherwise the void becomes the record: a late charge can no longer
//! succeed, and the tickets go back. So there is nothing to guess, and two settlers at once do no harm.
//!
//! A booking whose charge was refused before it began is charged here, as soon as there is room.

use std::time::{Duration, Instant};

use tokio::time::sleep;

use super::confirm::{charge_with, confirm};
use super::expire::expire;
use super::hold::is_attempted;
use super::reserve::release;
use super::{Booking, BoxOffice, Status, read};
use crate::payments::{ChargeCallError, InvokeError, PaymentStatus};
use runtime::calls::{self, CallError};
use runtime::telemetry;
use values::ids::{BookingId, PaymentId};
use values::time;

/// The longest that a charge or a void waits while `charge-payment` is busy; half of what the invocation has left, if
/// that is less. After that, its message or its job is tried again, behind others.
const TURN_TIMEOUT: Duration = Duration::from_secs(10);

/// Why a payment could not be settled, or given back, now. Another time it may be.
#[derive(Debug, thiserror::Error)]
pub enum SettleError {
    #[error("the booking store")]
    Database(#[from] sqlx::Error),
    #[error("asking for the payment")]
    Payment(#[from] ChargeCallError),
    #[error("the payment is {0:?}")]
    Unsettled(PaymentStatus),
}

/// Settles one booking. Does nothing if it is already settled, or if there is no such booking. Expires a hold whose
/// time is over.
///
/// If a hold can still be paid, this only looks at its payment. If that is decided, the hold is settled. Otherwise it
/// keeps waiting for its buyer. Returns whether it is still waiting.
pub async fn settle(office: &BoxOffice, booking_id: BookingId) -> Result<bool, SettleError> {
    telemetry::note("booking_id", booking_id);
    telemetry::note("payment_id", PaymentId::of_booking(booking_id));
    let booking = match read::by_id(&office.db, booking_id).await? {
        Some(booking) if booking.status == Status::Pending => booking,
        Some(booking) if booking.status == Status::Held => {
            // Only where its time is over.
            expire(&office.db, booking_id).await?;
            return Ok(false);
        }
        Some(_) => return Ok(false),
        None => {
            tracing::warn!("asked to settle a booking that does not exist");
            return Ok(false);
        }
    };
    let payable = booking.hold_until.is_some_and(|until| time::now() < until);
    let status = if booking.amount.is_zero() {
        PaymentStatus::Success
    } else if payable {
        let found = when_there_is_room(|| office.payments.look(booking.charge())).await?;
        if found == PaymentStatus::Pending {
            return Ok(true);
        }
        found
    } else {
        charge_or_void(office, &booking).await?
    };
    match status {
        PaymentStatus::Success => {
            let announced = office.announce(&booking).await;
            confirm(&office.db, booking_id, announced).await?;
        }
        PaymentStatus::Declined => drop(release(&office.db, booking_id, Status::Rejected).await?),
        PaymentStatus::Voided => drop(release(&office.db, booking_id, Status::Expired).await?),
        PaymentStatus::Pending | PaymentStatus::Refunded => {
            return Err(SettleError::Unsettled(status));
        }
    }
    tracing::info!(payment = ?status, "booking settled");
    Ok(false)
}

/// Finds out what became of a hold's payment, when its buyer returns from the bank or after the hold's end. If that
/// fails, the booking's job finds out later. Returns whether a card is being tried; such a booking is left alone.
pub async fn look(office: &BoxOffice, booking_id: BookingId) -> bool {
    let looked = async {
        let attempted = is_attempted(&office.db, booking_id).await?;
        if !attempted {
            settle(office, booking_id).await?;
        }
        Ok::<_, SettleError>(attempted)
    };
    looked.await.unwrap_or_else(|error| {
        let error = telemetry::chain(&error);
        tracing::warn!(error, "payment not looked at; the sweep does it");
        false
    })
}

/// Charges a booking that waits for its turn. Voids any other booking, and one whose charge has an unknown outcome.
async fn charge_or_void(
    office: &BoxOffice,
    booking: &Booking,
) -> Result<PaymentStatus, SettleError> {
    let payments = &office.payments;
    if let Some(method) = charge_with(&office.db, booking.booking_id).await? {
        match when_there_is_room(|| payments.charge(booking.charge(), method)).await {
            Ok(PaymentStatus::Pending) => {}
            Ok(status) => return Ok(status),
            Err(error @ CallError::Failed(InvokeError::Busy)) => return Err(error.into()),
            Err(error) => {
                tracing::warn!(
                    error = telemetry::chain(&error),
                    "settling postponed: charge outcome unknown"
                );
            }
        }
    }
    Ok(when_there_is_room(|| payments.void(booking.charge())).await?)
}

/// Asks the payment function again while it is busy.
async fn when_there_is_room<Asking>(ask: impl Fn() -> Asking) -> Asking::Output
where
    Asking: Future<Output = Result<PaymentStatus, ChargeCallError>>,
{
    let until = Instant::now() + TURN_TIMEOUT.min(calls::remaining() / 2);
    loop {
        match ask().await {
            Err(CallError::Failed(InvokeError::Busy)) if Instant::now() < until => {
                sleep(Duration::from_millis(fastrand::u64(50..250))).await;
            }
            outcome => return outcome,
        }
    }
}

/// Settles a payment that belongs to no booking. Does nothing where there is none.
pub async fn settle_payment(office: &BoxOffice, payment_id: PaymentId) -> Result<(), SettleError> {
    telemetry::note("payment_id", payment_id);
    match office.payments.settle(payment_id).await? {
        Some(status @ PaymentStatus::Pending) => Err(SettleError::Unsettled(status)),
        Some(_) => Ok(()),
        None => {
            tracing::warn!("asked to settle a payment that does not exist");
            Ok(())
        }
    }
}

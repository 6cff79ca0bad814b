//! Settling what was left uncertain: a queue that makes it quick, and a sweep that makes it certain.
//!
//! Settling asks for a *void*. If the payment record says SUCCESS already, that stands and the
//! booking is confirmed; otherwise the void is the record now, a late charge can't succeed any
//! more, and the tickets go back. So there is nothing to guess, and two settlers do no harm.

use super::confirm::confirm;
use super::reserve::release;
use super::{BookingError, BoxOffice, Status, read};
use crate::Error;
use crate::ids::{BookingId, PaymentId};
use crate::payments::{Charge, PaymentStatus};

impl BoxOffice {
    /// Settles one booking. Does nothing where it is settled already, or where there is none.
    ///
    /// # Errors
    /// It could not be settled now; another time it may.
    #[tracing::instrument(skip_all, fields(%booking_id))]
    pub async fn settle(&self, booking_id: BookingId) -> Result<(), Error> {
        let booking = match read::by_id(&self.db, booking_id).await {
            Ok(stored) => stored.booking,
            Err(BookingError::NotFound) => {
                tracing::warn!("asked to settle a booking that does not exist");
                return Ok(());
            }
            Err(error) => return Err(error.into()),
        };
        if booking.status != Status::Pending {
            return Ok(());
        }
        let status = if booking.amount.is_zero() {
            PaymentStatus::Success
        } else {
            self.payments.void(Charge::of_booking(&booking)).await?
        };
        match status {
            PaymentStatus::Success => {
                let announced = self.announce(&booking).await;
                confirm(&self.db, booking_id, announced, None).await?;
            }
            PaymentStatus::Declined => {
                drop(release(&self.db, booking_id, Status::Rejected, None).await?)
            }
            PaymentStatus::Voided => {
                drop(release(&self.db, booking_id, Status::Expired, None).await?)
            }
            PaymentStatus::Pending | PaymentStatus::Refunded => {
                return Err(format!("the payment is {status:?} after a void").into());
            }
        }
        tracing::info!(payment = ?status, "settled");
        Ok(())
    }

    /// Settles a payment that belongs to no booking.
    ///
    /// # Errors
    /// It could not be settled now; another time it may.
    pub async fn settle_payment(&self, payment_id: PaymentId) -> Result<(), Error> {
        match self.payments.settle(payment_id).await? {
            PaymentStatus::Pending => Err("the payment is still pending".into()),
            _ => Ok(()),
        }
    }
}

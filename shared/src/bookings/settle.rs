//! Settling what was left uncertain: a queue that makes it quick, and a sweep that makes it certain.
//!
//! Settling asks for a *void*. If the payment record says SUCCESS already, that stands and the
//! booking is confirmed; otherwise the void is the record now, a late charge can't succeed any
//! more, and the tickets go back. So there is nothing to guess, and two settlers do no harm.

use super::confirm::{confirm, mark_announced};
use super::reserve::release;
use super::{Booking, BookingError, BoxOffice, Status, booking_rows, read};
use crate::Error;
use crate::ids::{BookingId, PaymentId};
use crate::payments::{Charge, PaymentStatus};
use crate::telemetry;
use crate::time::{self, Timestamp};

/// The most of each kind of work that one sweep takes up. What is left waits for the next.
const BATCH: i64 = 50;

/// What a sweep did.
#[derive(Debug, Default, serde::Serialize)]
pub struct Swept {
    pub settled: usize,
    pub announced: usize,
    pub refunded: usize,
    /// Tried, and left for the next sweep.
    pub failed: usize,
}

impl BoxOffice {
    /// Settles one booking. Does nothing where it is settled already, or where there is none.
    ///
    /// # Errors
    /// It could not be settled now; another time it may.
    #[tracing::instrument(skip_all, fields(%booking_id))]
    pub async fn settle(&self, booking_id: BookingId) -> Result<(), Error> {
        let booking = match read::by_id(&self.pool, booking_id).await {
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
                confirm(&self.pool, booking_id, announced, None).await?;
            }
            PaymentStatus::Declined => {
                drop(release(&self.pool, booking_id, Status::Rejected, None).await?)
            }
            PaymentStatus::Voided => {
                drop(release(&self.pool, booking_id, Status::Expired, None).await?)
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

    /// Takes up what nobody finished: bookings that are pending for long, confirmations that were
    /// not announced, refunds that are due, and payments that are pending for long.
    ///
    /// # Errors
    /// The booking store could not be read, or the payments could not be swept.
    pub async fn sweep(&self) -> Result<Swept, Error> {
        let mut swept = Swept::default();
        let before = time::ago(self.sweep_after);
        for booking in self.unsettled(before).await? {
            match self.settle(booking.booking_id).await {
                Ok(()) => swept.settled += 1,
                Err(error) => swept.fail(&booking, error.as_ref()),
            }
        }
        for booking in self.unannounced(before).await? {
            if !self.announce(&booking).await {
                // The broker is down for the others too.
                swept.failed += 1;
                break;
            }
            mark_announced(&self.pool, booking.booking_id).await?;
            swept.announced += 1;
        }
        for booking in self.refunds_due(before).await? {
            let Some(payment_id) = booking.payment_id else {
                continue;
            };
            match self.refund(booking.booking_id, payment_id).await {
                Ok(()) => swept.refunded += 1,
                Err(error) => swept.fail(&booking, error.as_ref()),
            }
        }
        self.payments.sweep().await?;
        Ok(swept)
    }

    async fn unsettled(&self, before: Timestamp) -> Result<Vec<Booking>, sqlx::Error> {
        let rows = booking_rows!(
            "select",
            "from booking b where status = 'PENDING' and created_at < $1 order by created_at limit $2",
            before,
            BATCH,
        );
        read::all(rows.fetch_all(&self.pool).await?)
    }

    async fn unannounced(&self, before: Timestamp) -> Result<Vec<Booking>, sqlx::Error> {
        let rows = booking_rows!(
            "select",
            r#"
              from booking b
             where status = 'CONFIRMED' and announced_at is null and updated_at < $1
             order by updated_at
             limit $2
            "#,
            before,
            BATCH,
        );
        read::all(rows.fetch_all(&self.pool).await?)
    }

    async fn refunds_due(&self, before: Timestamp) -> Result<Vec<Booking>, sqlx::Error> {
        let rows = booking_rows!(
            "select",
            r#"
              from booking b
             where refund_due_at < $1 and refunded_at is null
             order by refund_due_at
             limit $2
            "#,
            before,
            BATCH,
        );
        read::all(rows.fetch_all(&self.pool).await?)
    }
}

impl Swept {
    fn fail(&mut self, booking: &Booking, error: &(dyn std::error::Error + 'static)) {
        self.failed += 1;
        tracing::error!(booking_id = %booking.booking_id, error = telemetry::chain(error), "left for the next sweep");
    }
}

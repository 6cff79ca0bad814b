//! Booking: reserve, charge, announce, confirm.

use super::confirm::{confirm, record_accepted};
use super::read;
use super::reserve::{Reservation, release, reserve, undo_reserve};
use super::{Booking, BookingError, BookingRequest, BoxOffice, Status, StoredBooking};
use crate::payments::{InvokeError, PaymentMethod, PaymentStatus, Unsettled, enqueue_settlement};
use runtime::telemetry;
use values::idempotency::{IdempotentRequest, RequestHash};
use values::ids::{PaymentId, UserId};

const ACCEPTED: u16 = 202;

/// What became of a request for tickets.
#[derive(Debug)]
pub struct Booked {
    pub outcome: BookingOutcome,
    /// Whether an earlier request with the same key did it.
    pub replayed: bool,
}

/// The result of a request that made a booking, and its status code.
#[derive(Debug)]
pub enum BookingOutcome {
    /// Paid: 201.
    Confirmed(Booking),
    /// Not known yet: 202.
    Pending(Booking),
    /// Declined; the tickets went back: 402.
    Declined(Booking),
    /// The payment was not made in time and can't be any more; the tickets went back: 402.
    Expired(Booking),
}

impl BookingOutcome {
    /// The answer to the request that made the booking. Once confirmed, it stays so for that request;
    /// later changes show at the booking's own URL.
    fn of(stored: StoredBooking) -> Self {
        let mut booking = stored.booking;
        match booking.status {
            Status::Pending => Self::Pending(booking),
            Status::Confirmed | Status::Cancelled => {
                booking.status = Status::Confirmed;
                Self::Confirmed(booking)
            }
            Status::Rejected => Self::Declined(booking),
            Status::Expired => Self::Expired(booking),
        }
    }
}

impl BoxOffice {
    /// Books `request` for `user` and charges for it.
    ///
    /// # Errors
    /// There is no booking: see [`BookingError`]. Once a booking stands, the result is a [`BookingOutcome`], even
    /// if the payment was declined.
    pub async fn book(
        &self,
        user: UserId,
        request: BookingRequest,
        idempotency: Option<IdempotentRequest>,
    ) -> Result<Booked, BookingError> {
        if request.user_id != user {
            return Err(BookingError::AnotherUser);
        }
        telemetry::note("event_id", &request.event_id);
        let booking = match reserve(&self.db, &request, idempotency.as_ref()).await? {
            Reservation::New(booking) => booking,
            Reservation::Replay(stored) => {
                telemetry::note("booking_id", stored.booking.booking_id);
                return replay(stored, idempotency.map(|idempotency| idempotency.hash));
            }
        };
        telemetry::note("booking_id", booking.booking_id);
        telemetry::note("payment_id", PaymentId::of_booking(booking.booking_id));
        tracing::info!("tickets reserved");
        let outcome = match self
            .pay_and_finish(&booking, request.payment_method.unwrap_or_default())
            .await
        {
            Ok(outcome) => outcome,
            Err(BookingError::Busy) => return Err(BookingError::Busy),
            // The tickets are held and the money may be taken: from here on there is no error,
            // only an outcome that is not known yet.
            Err(error) => {
                tracing::error!(error = telemetry::chain(&error), "booking not finished");
                self.leave_to_settle(booking).await
            }
        };
        Ok(Booked {
            outcome,
            replayed: false,
        })
    }

    async fn pay_and_finish(
        &self,
        booking: &Booking,
        method: PaymentMethod,
    ) -> Result<BookingOutcome, BookingError> {
        let id = booking.booking_id;
        let status = if booking.amount.is_zero() {
            Ok(PaymentStatus::Success)
        } else {
            self.payments.charge(booking.charge(), method).await
        };
        let finished = match status {
            Ok(PaymentStatus::Success) => {
                let announced = self.announce(booking).await;
                confirm(&self.db, id, announced).await?
            }
            Ok(PaymentStatus::Declined) => release(&self.db, id, Status::Rejected).await?,
            // `settle-bookings` came first and voided the payment.
            Ok(PaymentStatus::Voided) => release(&self.db, id, Status::Expired).await?,
            Ok(PaymentStatus::Pending | PaymentStatus::Refunded) => {
                return Ok(self.leave_to_settle(booking.clone()).await);
            }
            // Lambda throttled the charge before it began. If the reservation can't be deleted, the
            // sweep ends it. 202 would be wrong: it would promise a booking that may be gone.
            Err(InvokeError::Busy) => {
                if let Err(error) = undo_reserve(&self.db, id).await {
                    let error = telemetry::chain(&error);
                    tracing::error!(error, "reservation not undone; the sweep ends it");
                }
                return Err(BookingError::Busy);
            }
            Err(error) => {
                tracing::warn!(error = telemetry::chain(&error), "charge outcome unknown");
                return Ok(self.leave_to_settle(booking.clone()).await);
            }
        };
        match finished {
            Some(stored) => Ok(BookingOutcome::of(stored)),
            // `settle-bookings` was quicker. It follows the same payment record.
            None => Ok(BookingOutcome::of(read::by_id(&self.db, id).await?)),
        }
    }

    /// Hands a booking whose payment is unknown to the settle queue. The queue makes it quick; the
    /// sweep makes it certain, so that no error here changes the answer.
    async fn leave_to_settle(&self, booking: Booking) -> BookingOutcome {
        tracing::warn!("booking left pending: charge outcome unknown");
        let unsettled = Unsettled::Booking {
            booking_id: booking.booking_id,
        };
        if let Err(error) = enqueue_settlement(&self.settle_queue, &unsettled).await {
            tracing::warn!(
                error = telemetry::chain(&error),
                "settlement not enqueued; the sweep settles it"
            );
        }
        match record_accepted(&self.db, booking.booking_id).await {
            Ok(Some(booking)) => BookingOutcome::Pending(booking),
            Ok(None) => match read::by_id(&self.db, booking.booking_id).await {
                Ok(stored) => BookingOutcome::of(stored),
                Err(_) => BookingOutcome::Pending(booking),
            },
            Err(error) => {
                tracing::warn!(error = telemetry::chain(&error), "answer 202 not recorded");
                BookingOutcome::Pending(booking)
            }
        }
    }
}

/// Answers a repeated request from the booking that the first request with this key made.
fn replay(stored: StoredBooking, hash: Option<RequestHash>) -> Result<Booked, BookingError> {
    if stored.request_hash.as_deref() != hash.as_ref().map(RequestHash::as_str) {
        return Err(BookingError::KeyReused);
    }
    if stored.booking.status == Status::Pending && stored.first_answer != Some(ACCEPTED) {
        return Err(BookingError::InProgress);
    }
    Ok(Booked {
        outcome: BookingOutcome::of(stored),
        replayed: true,
    })
}

//! Booking: reserve, charge, announce, confirm.

use std::time::Duration;

use super::confirm::{confirm, record_accepted};
use super::read;
use super::reserve::{Reservation, ReserveError, StoredRequest, release, reserve};
use super::{Booking, BookingRequest, BoxOffice, Status};
use crate::events::{self, Asker};
use crate::payments::{InvokeError, PaymentMethod, PaymentStatus, Unsettled, enqueue_settlement};
use runtime::calls::CallError;
use runtime::telemetry;
use stores::settle_queue::{Delivery, SettleQueue};
use values::idempotency::IdempotentRequest;
use values::ids::{PaymentId, UserId};
use values::time;

/// Why a request made no booking.
#[derive(Debug, thiserror::Error)]
pub enum BookError {
    #[error("the body's user is not the token's")]
    AnotherUser,
    #[error("the request's key was used with another body")]
    KeyReused,
    #[error("the request is still running")]
    InProgress,
    #[error("too many codes that the event doesn't have")]
    TooManyGuesses { retry_after: u32 },
    #[error(transparent)]
    Reserve(#[from] ReserveError),
}

/// What became of a request for tickets.
#[derive(Debug)]
pub struct Booked {
    pub outcome: BookingOutcome,
    /// Whether an earlier request with the same key did it.
    pub replayed: bool,
}

/// What became of a booking, as its request is told.
#[derive(Debug)]
pub enum BookingOutcome {
    /// Its tickets are kept for a while, to be paid.
    Held(Booking),
    /// Paid.
    Confirmed(Booking),
    /// Not known yet.
    Pending(Booking),
    /// Declined; the tickets went back.
    Declined(Booking),
    /// The payment was not made in time and can't be any more; the tickets went back.
    Expired(Booking),
}

impl BookingOutcome {
    /// The answer to the request that made the booking. Once the booking was confirmed, a repeat of the request is
    /// always told so. Later changes, such as a cancel, show at the booking's own URL.
    fn of(mut booking: Booking) -> Self {
        match booking.status {
            Status::Held => {
                // What was said when it was held, though it may be paid by now.
                booking.payment_id = None;
                Self::Held(booking)
            }
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

/// Reserves tickets for `user`, who may be guessing codes.
async fn reserve_for(
    office: &BoxOffice,
    user: UserId,
    request: &BookingRequest,
    idempotency: Option<&IdempotentRequest>,
) -> Result<Reservation, BookError> {
    let (db, event_id, asker) = (&office.db, &request.event_id, Asker::User(user));
    if request.promo_code.is_some()
        && let Some(retry_after) = events::wait(db, event_id, asker)
            .await
            .map_err(ReserveError::from)?
    {
        return Err(BookError::TooManyGuesses { retry_after });
    }
    let reserved = reserve(db, office.sweep_after, request, idempotency).await;
    if let Err(ReserveError::PromoInvalid) = reserved {
        events::count_miss(db, event_id, asker)
            .await
            .map_err(ReserveError::from)?;
    }
    Ok(reserved?)
}

/// Books `request` for `user` and charges for it.
///
/// # Errors
/// There is no booking: see [`BookError`]. Once a booking stands, the result is a [`BookingOutcome`], even
/// if the payment was declined.
pub async fn book(
    office: &BoxOffice,
    settle_queue: &SettleQueue,
    user: UserId,
    request: BookingRequest,
    idempotency: Option<IdempotentRequest>,
) -> Result<Booked, BookError> {
    if request.user_id != user {
        return Err(BookError::AnotherUser);
    }
    telemetry::note("event_id", &request.event_id);
    let booking = match reserve_for(office, user, &request, idempotency.as_ref()).await? {
        Reservation::New(booking) => booking,
        Reservation::Replay(stored) => {
            telemetry::note("booking_id", stored.booking.booking_id);
            return replay(stored, idempotency.as_ref());
        }
    };
    telemetry::note("booking_id", booking.booking_id);
    telemetry::note("payment_id", PaymentId::of_booking(booking.booking_id));
    tracing::info!("tickets reserved");
    if let (Status::Held, Some(until)) = (booking.status, booking.hold_until) {
        // When its time is over, its tickets are back at once, and not when the sweep comes by.
        let left = (until - time::now()).to_std().unwrap_or_default();
        let over = Delivery::After(left + Duration::from_secs(1));
        let booking_id = booking.booking_id;
        enqueue_settlement(settle_queue, &Unsettled::Booking { booking_id }, over).await;
        return Ok(Booked {
            outcome: BookingOutcome::Held(booking),
            replayed: false,
        });
    }
    let method = request.payment_method.unwrap_or_default();
    let outcome = match pay_and_finish(office, &booking, method).await {
        Ok(Finish::Known(outcome)) => outcome,
        Ok(Finish::Left { charge_with }) => {
            leave_to_settle(office, settle_queue, booking, charge_with).await
        }
        // The tickets are held and the money may be taken: from here on there is no error,
        // only an outcome that is not known yet.
        Err(error) => {
            tracing::error!(
                error = telemetry::chain(&error),
                "booking left pending: confirm failed"
            );
            leave_to_settle(office, settle_queue, booking, None).await
        }
    };
    Ok(Booked {
        outcome,
        replayed: false,
    })
}

/// How far a booking came.
enum Finish {
    Known(BookingOutcome),
    /// The booking must be settled. Either the outcome of its charge is unknown, or the charge never began and must
    /// still be made, with this card.
    Left {
        charge_with: Option<PaymentMethod>,
    },
}

async fn pay_and_finish(
    office: &BoxOffice,
    booking: &Booking,
    method: PaymentMethod,
) -> Result<Finish, sqlx::Error> {
    let id = booking.booking_id;
    let status = if booking.amount.is_zero() {
        Ok(PaymentStatus::Success)
    } else {
        office.payments.charge(booking.charge(), method).await
    };
    let finished = match status {
        Ok(PaymentStatus::Success) => {
            let announced = office.announce(booking).await;
            confirm(&office.db, id, announced).await?
        }
        Ok(PaymentStatus::Declined) => release(&office.db, id, Status::Rejected).await?,
        // `settle-bookings` came first and voided the payment.
        Ok(PaymentStatus::Voided) => release(&office.db, id, Status::Expired).await?,
        Ok(PaymentStatus::Pending | PaymentStatus::Refunded) => {
            return Ok(Finish::Left { charge_with: None });
        }
        // Lambda throttled the charge before it began. Who holds tickets doesn't have to race for them again.
        Err(CallError::Failed(InvokeError::Busy)) => {
            let charge_with = Some(method);
            return Ok(Finish::Left { charge_with });
        }
        Err(error) => {
            tracing::warn!(error = telemetry::chain(&error), "charge outcome unknown");
            return Ok(Finish::Left { charge_with: None });
        }
    };
    let stored = match finished {
        Some(stored) => stored,
        // `settle-bookings` was quicker. It follows the same payment record.
        None => {
            let settled = read::by_id(&office.db, id).await?;
            settled.ok_or(sqlx::Error::RowNotFound)?
        }
    };
    Ok(Finish::Known(BookingOutcome::of(stored)))
}

/// Hands a booking over to be settled. Either the outcome of its charge is unknown, or the charge never began and
/// must still be made, with `charge_with`.
///
/// The queue makes settling quick. The sweep makes it certain, so no error here changes the answer.
async fn leave_to_settle(
    office: &BoxOffice,
    settle_queue: &SettleQueue,
    booking: Booking,
    charge_with: Option<PaymentMethod>,
) -> BookingOutcome {
    let booking_id = booking.booking_id;
    let delivery = match charge_with {
        Some(_) => {
            tracing::info!("booking left pending: charge waits for its turn");
            Delivery::InTurn
        }
        None => {
            tracing::warn!("booking left pending: charge outcome unknown");
            Delivery::Delayed
        }
    };
    // Recorded before the message is sent: settling reads it.
    let recorded = record_accepted(&office.db, booking_id, charge_with).await;
    enqueue_settlement(settle_queue, &Unsettled::Booking { booking_id }, delivery).await;
    match recorded {
        Ok(Some(booking)) => BookingOutcome::of(booking),
        Ok(None) => BookingOutcome::Pending(booking),
        Err(error) => {
            tracing::warn!(
                error = telemetry::chain(&error),
                "pending answer not recorded"
            );
            BookingOutcome::Pending(booking)
        }
    }
}

/// Answers a repeated request as the first one with its key was answered, or with the outcome if that has become
/// known since.
fn replay(
    stored: StoredRequest,
    repeated: Option<&IdempotentRequest>,
) -> Result<Booked, BookError> {
    if repeated.is_none_or(|repeated| repeated.hash.as_str() != stored.request_hash) {
        return Err(BookError::KeyReused);
    }
    let status = stored.answer.ok_or(BookError::InProgress)?;
    Ok(Booked {
        outcome: BookingOutcome::of(Booking {
            status,
            ..stored.booking
        }),
        replayed: true,
    })
}

//! Holds: tickets that are kept for a buyer for a while. To pay, to give back, and what happens when the time is over.
//!
//! ```text
//! HELD ── pay ──▶ PENDING ── paid ──▶ CONFIRMED        declined: stays PENDING, and another card may follow
//!   └─ hold_until ─▶ EXPIRED ◀─ hold_until, void ─┘
//! ```
//!
//! A hold and an attempt to pay it are separate: a declined card leaves the hold as it is. All attempts are one payment
//! at the gateway, which succeeds once at most and never after it was cancelled.

use super::confirm::confirm;
use super::expire::end_hold;
use super::reserve::{caller, release};
use super::{Booking, BoxOffice, Status, booking_rows, read};
use crate::payments::{
    ChargeCallError, HoldCharge, InvokeError, PaymentMethod, PaymentStatus, Unsettled,
    enqueue_settlement,
};
use runtime::calls::CallError;
use runtime::faults::FailPoint;
use runtime::telemetry;
use stores::db::{self, Db};
use stores::settle_queue::{Delivery, SettleQueue};
use strum::{AsRefStr, EnumString};
use uuid::Uuid;
use values::idempotency::IdempotentRequest;
use values::ids::{BookingId, PaymentId, UserId};
use values::time::{self, Timestamp};

/// How many cards may be tried for one hold. A higher limit would invite card testing.
pub(super) const MAX_ATTEMPTS: i16 = 5;

/// How long an attempt may run, in seconds. This is the timeout of `pay-booking`, which also bounds the charge and
/// its one repeat.
const ATTEMPT_SECONDS: f64 = 25.0;

/// The least time that the first attempt leaves to pay, in seconds: enough for another card.
const TIME_TO_PAY_SECONDS: f64 = 600.0;

/// What became of paying a hold.
#[derive(Debug)]
pub enum HoldPaid {
    Confirmed(Booking),
    /// Not known yet.
    Pending(Booking),
    /// The owner of the card is asked, at the bank's page: see [`bank_page`].
    Asked(Booking),
}

/// Where the owner of a card says yes or no.
pub fn bank_page(booking: &Booking) -> String {
    format!("/bank/{}", PaymentId::of_booking(booking.booking_id))
}

/// Why a hold was not paid.
#[derive(Debug, thiserror::Error)]
pub enum PayHoldError {
    /// Also where it is another person's.
    #[error("there is no such booking")]
    NotFound,
    #[error("the card was declined")]
    Declined { hold_until: Option<Timestamp> },
    #[error("the hold's time is over")]
    Expired,
    #[error("another payment of the hold is running")]
    InProgress,
    #[error("the request is still running")]
    RequestInProgress,
    #[error("the request's key was used with another body")]
    KeyReused,
    #[error("too many cards were tried")]
    TooManyAttempts,
    #[error("the booking is {status:?}, not a hold")]
    NotHeld { status: Status },
    #[error("the charge function is busy")]
    Busy(#[source] ChargeCallError),
    #[error("the booking store")]
    Database(#[from] sqlx::Error),
}

/// Why a hold can't be given back.
#[derive(Debug, thiserror::Error)]
pub enum ReleaseError {
    /// Also where it is another person's.
    #[error("there is no such booking")]
    NotFound,
    #[error("a payment of the hold is running, or was made")]
    InProgress,
    #[error("the booking is {status:?}, not a hold")]
    NotHeld { status: Status },
    #[error("voiding the payment")]
    Payment(#[from] ChargeCallError),
    #[error("the booking store")]
    Database(#[from] sqlx::Error),
}

/// Tries a card for a hold of `user`. A declined card leaves the hold; another may follow.
pub(super) async fn try_card(
    office: &BoxOffice,
    settle_queue: &SettleQueue,
    user: UserId,
    booking_id: BookingId,
    method: PaymentMethod,
    idempotency: Option<&IdempotentRequest>,
) -> Result<HoldPaid, PayHoldError> {
    telemetry::note("booking_id", booking_id);
    telemetry::note("payment_id", PaymentId::of_booking(booking_id));
    let attempt = Uuid::now_v7();
    let begin = || begin_attempt(&office.db, user, booking_id, attempt, idempotency);
    let begun = match begin().await {
        // Either the first try of this statement stored the key but its answer was lost, and the repeat finds that
        // attempt. Or a concurrent request with the same key was quicker.
        Err(error) if db::violates(&error, "request_pkey") => begin().await,
        begun => begun,
    };
    let booking = match begun {
        Ok(Some(booking)) => booking,
        Ok(None) => return explain_not_begun(&office.db, user, booking_id).await,
        Err(error) if db::violates(&error, "request_pkey") => {
            return Err(PayHoldError::RequestInProgress);
        }
        Err(error) => return Err(error.into()),
    };
    telemetry::note("event_id", &booking.event_id);
    let charged = if booking.amount.is_zero() {
        Ok(HoldCharge::Decided(PaymentStatus::Success))
    } else {
        office.payments.charge_hold(booking.charge(), method).await
    };
    let finished = match charged {
        Ok(HoldCharge::Asked) => {
            // End the attempt, so that the buyer may choose another card instead. The payment is looked at when the
            // buyer returns from the bank, and by the booking's job.
            close_attempt(&office.db, booking_id, attempt, Card::Asked).await?;
            tracing::info!("the bank asks the owner of the card");
            return Ok(HoldPaid::Asked(booking));
        }
        Ok(HoldCharge::Decided(PaymentStatus::Success)) => {
            let announced = office.announce(&booking).await;
            confirm(&office.db, booking_id, announced).await
        }
        Ok(HoldCharge::Decided(PaymentStatus::Declined)) => {
            close_attempt(&office.db, booking_id, attempt, Card::Declined).await?;
            tracing::info!("card declined; the hold stays");
            let hold_until = booking.hold_until;
            return Err(PayHoldError::Declined { hold_until });
        }
        Ok(HoldCharge::Decided(PaymentStatus::Voided)) => {
            release(&office.db, booking_id, Status::Expired).await?;
            return Err(PayHoldError::Expired);
        }
        // It was not begun: the buyer may try again at once.
        Err(error @ CallError::Failed(InvokeError::Busy)) => {
            close_attempt(&office.db, booking_id, attempt, Card::NotTried).await?;
            return Err(PayHoldError::Busy(error));
        }
        Ok(HoldCharge::Decided(PaymentStatus::Pending | PaymentStatus::Refunded)) => Ok(None),
        Err(error) => {
            tracing::warn!(
                error = telemetry::chain(&error),
                "card attempt left open: charge outcome unknown"
            );
            Ok(None)
        }
    };
    match finished {
        Ok(Some(confirmed)) => return Ok(HoldPaid::Confirmed(confirmed)),
        Ok(None) => {}
        Err(error) => {
            tracing::error!(
                error = telemetry::chain(&error),
                "booking left pending: confirm failed"
            );
        }
    }
    if idempotency.is_some()
        && let Err(error) = record_pending(&office.db, attempt).await
    {
        let error = telemetry::chain(&error);
        tracing::warn!(error, "answer not recorded; a repeat may be told to wait");
    }
    // Paid or not, settling finds out; it may have been quicker.
    let unsettled = Unsettled::Booking { booking_id };
    enqueue_settlement(settle_queue, &unsettled, Delivery::Delayed).await;
    match read::by_id(&office.db, booking_id).await {
        Ok(Some(settled)) if settled.status == Status::Confirmed => {
            Ok(HoldPaid::Confirmed(settled))
        }
        _ => Ok(HoldPaid::Pending(booking)),
    }
}

/// The route of a request to pay, in the table of requests. It names the booking, so that a key belongs to one
/// booking.
pub(super) fn pay_route(booking_id: BookingId) -> String {
    format!("POST /bookings/{booking_id}/pay")
}

/// Begins an attempt to pay. The first attempt moves the hold from HELD to PENDING and leaves at least ten minutes to
/// pay; later ones find it PENDING. Returns `None` if the booking can't be paid now. If repeated, the statement finds
/// its own attempt.
///
/// When the attempt's time is over and its outcome is still unknown, the booking's job finds out what became of the
/// attempt.
///
/// The statement also stores the request's key. It replaces an earlier use of the key whose attempt ended without a
/// known outcome. A key whose card was declined violates `request_pkey`.
pub async fn begin_attempt(
    db: &Db,
    user: UserId,
    booking_id: BookingId,
    attempt: Uuid,
    idempotency: Option<&IdempotentRequest>,
) -> Result<Option<Booking>, sqlx::Error> {
    let begun = booking_rows!(
        r#"
        with begun as (
            update booking b
               set status = 'PENDING', updated_at = now(), attempt_id = $3,
                   hold_until = case when b.status = 'HELD'
                                     then greatest(b.hold_until, now() + make_interval(secs => $6)) else b.hold_until end,
                   attempt = b.attempt + (b.attempt_id is distinct from $3)::int,
                   attempt_until = now() + make_interval(secs => $5)
             where b.booking_id = $1 and b.user_id = $2 and b.hold_until > now() and b.status in ('HELD', 'PENDING')
               and (b.attempt_id = $3
                    or b.attempt < $4 and (b.attempt_until > now()) is not true)
            returning b.*
        ), unanswered as (
            delete from request r
             using begun
             where r.caller = $7 and r.route = $8 and r.idempotency_key = $9
               and (r.answer is null or r.answer = 'PENDING') and r.resource_id <> $3
            returning r.resource_id
        ), kept as (
            insert into request (caller, route, idempotency_key, request_hash, resource_id)
            select $7, $8, $9, $10, $3
              from begun
             where $9::text is not null and not exists (select from request where resource_id = $3)
               and (select count(*) from unanswered) >= 0
            returning resource_id
        ), unheld as (
            update job j
               set done_at = now()
              from begun
             where j.kind = 'EXPIRE' and j.key = begun.booking_id::text and j.done_at is null
               and (select count(*) from kept) >= 0
            returning j.job_id
        ), unsettled as (
            insert into job as j (kind, key, due_at, next_attempt_at)
            select 'SETTLE', booking_id::text, hold_until, attempt_until
              from begun
             where (select count(*) from unheld) >= 0
                on conflict (kind, key) do update set next_attempt_at = excluded.next_attempt_at
        )
        select "#,
        "from begun b",
        booking_id as BookingId,
        user as UserId,
        attempt,
        MAX_ATTEMPTS,
        ATTEMPT_SECONDS,
        TIME_TO_PAY_SECONDS,
        caller(user),
        pay_route(booking_id),
        idempotency.map(|idempotency| idempotency.key.as_str()),
        idempotency.map(|idempotency| idempotency.hash.as_str()),
    )
    .fetch_optional(db.idempotent(FailPoint("BeginAttempt")))
    .await?;
    begun.map(Booking::try_from).transpose()
}

/// What became of the card of an attempt that charged nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Card {
    Declined,
    /// Its owner is asked: a repeat of the request asks again.
    Asked,
    /// No charge began. The attempt does not count, and its request may be repeated.
    NotTried,
}

/// What a request to pay was told, until more is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq, AsRefStr, EnumString)]
#[strum(serialize_all = "UPPERCASE")]
pub(super) enum Said {
    Declined,
    Pending,
}

/// Ends an attempt that charged nothing: another may begin.
pub(super) async fn close_attempt(
    db: &Db,
    booking_id: BookingId,
    attempt: Uuid,
    card: Card,
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        r#"
        with closed as (
            update booking
               set attempt_until = null, attempt = attempt - $3::bool::int
             where booking_id = $1 and attempt_id = $2 and attempt_until is not null and status = 'PENDING'
            returning booking_id
        ), forgotten as (
            delete from request where resource_id = $2 and $3 and (select count(*) from closed) >= 0
        )
        update request
           set answer = $4
         where resource_id = $2 and $4::text is not null and answer is null and (select count(*) from closed) >= 0
        "#,
        booking_id as BookingId,
        attempt,
        card == Card::NotTried,
        (card == Card::Declined).then_some(Said::Declined.as_ref()),
    )
    .execute(db.idempotent(FailPoint("CloseAttempt")))
    .await?;
    Ok(())
}

/// Records that the request of an attempt was answered, though nobody knows yet what became of it.
pub(super) async fn record_pending(db: &Db, attempt: Uuid) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "update request set answer = $2 where resource_id = $1 and answer is null",
        attempt,
        Said::Pending.as_ref(),
    )
    .execute(db.idempotent(FailPoint("RecordHoldPending")))
    .await?;
    Ok(())
}

async fn explain_not_begun(
    db: &Db,
    user: UserId,
    booking_id: BookingId,
) -> Result<HoldPaid, PayHoldError> {
    let booking = read::of_user(db, user, booking_id).await?;
    let booking = booking.ok_or(PayHoldError::NotFound)?;
    let Some(hold_until) = booking.hold_until else {
        let status = booking.status;
        return Err(PayHoldError::NotHeld { status });
    };
    match booking.status {
        Status::Confirmed => Ok(HoldPaid::Confirmed(booking)),
        Status::Expired => Err(PayHoldError::Expired),
        Status::Held if hold_until <= time::now() => Err(PayHoldError::Expired),
        // Settling finds out whether a card was charged before the hold's time was over.
        Status::Pending if hold_until <= time::now() => Err(PayHoldError::InProgress),
        Status::Held | Status::Pending if attempts(db, booking_id).await? >= MAX_ATTEMPTS => {
            Err(PayHoldError::TooManyAttempts)
        }
        Status::Held | Status::Pending => Err(PayHoldError::InProgress),
        status @ (Status::Rejected | Status::Cancelled) => Err(PayHoldError::NotHeld { status }),
    }
}

async fn attempts(db: &Db, booking_id: BookingId) -> Result<i16, sqlx::Error> {
    let attempts = sqlx::query_scalar!(
        "select attempt from booking where booking_id = $1 and (attempt_until > now()) is not true",
        booking_id as BookingId,
    )
    .fetch_optional(db.idempotent(FailPoint("GetAttempts")))
    .await?;
    Ok(attempts.unwrap_or_default())
}

/// Whether a card is being tried.
pub(super) async fn is_attempted(db: &Db, booking_id: BookingId) -> Result<bool, sqlx::Error> {
    let attempted = sqlx::query_scalar!(
        r#"select (attempt_until > now()) is true as "attempted!" from booking where booking_id = $1"#,
        booking_id as BookingId,
    )
    .fetch_optional(db.idempotent(FailPoint("GetAttempt")))
    .await?;
    Ok(attempted.unwrap_or(false))
}

/// Gives the tickets of a hold of `user` back. If somebody tried to pay it, its payment is voided first, and the booking
/// follows that.
pub async fn release_hold(
    db: &Db,
    payments: &crate::payments::ChargeFunction,
    user: UserId,
    booking_id: BookingId,
) -> Result<Booking, ReleaseError> {
    telemetry::note("booking_id", booking_id);
    if let Some(released) = end_hold(db, booking_id, Some(user)).await? {
        tracing::info!("hold released");
        return Ok(released);
    }
    let booking = read::of_user(db, user, booking_id).await?;
    let booking = booking.ok_or(ReleaseError::NotFound)?;
    let status = booking.status;
    match (status, booking.hold_until) {
        (Status::Expired, Some(_)) => return Ok(booking),
        (Status::Pending, Some(_)) => {}
        _ => return Err(ReleaseError::NotHeld { status }),
    }
    // No attempt begins from now on, and none is running.
    if block_attempts(db, booking_id).await?.is_none() {
        return Err(ReleaseError::InProgress);
    }
    let payment = if booking.amount.is_zero() {
        PaymentStatus::Success
    } else {
        payments.void(booking.charge()).await?
    };
    match payment {
        PaymentStatus::Voided | PaymentStatus::Declined => {
            let released = release(db, booking_id, Status::Expired).await?;
            let settled = match released {
                Some(released) => Some(released),
                None => read::by_id(db, booking_id).await?,
            };
            settled.ok_or(ReleaseError::NotFound)
        }
        // It was paid after all. The sweep announces it.
        PaymentStatus::Success => {
            confirm(db, booking_id, false).await?;
            let status = Status::Confirmed;
            Err(ReleaseError::NotHeld { status })
        }
        PaymentStatus::Pending | PaymentStatus::Refunded => Err(ReleaseError::InProgress),
    }
}

/// Occupies the booking's only place for an attempt, so that none begins while the payment is voided. If the void is
/// never finished, the booking's job finds out what became of it.
async fn block_attempts(db: &Db, booking_id: BookingId) -> Result<Option<BookingId>, sqlx::Error> {
    let token = PaymentId::of_booking(booking_id);
    sqlx::query_scalar!(
        r#"
        with blocked as (
            update booking
               set attempt_id = $2, attempt_until = now() + make_interval(secs => $3)
             where booking_id = $1 and status = 'PENDING' and hold_until is not null
               and (attempt_id = $2 or (attempt_until > now()) is not true)
            returning booking_id, attempt_until
        ), woken as (
            update job j
               set next_attempt_at = attempt_until
              from blocked
             where j.kind = 'SETTLE' and j.key = blocked.booking_id::text and j.done_at is null
        )
        select booking_id as "booking_id!: BookingId" from blocked
        "#,
        booking_id as BookingId,
        token as PaymentId,
        ATTEMPT_SECONDS,
    )
    .fetch_optional(db.idempotent(FailPoint("BlockAttempts")))
    .await
}

/// Postpones the job of a hold that can still be paid. The job looks again in a minute, or a minute after the time of
/// a running attempt is over, but at the hold's end at the latest.
pub(super) async fn look_again(db: &Db, booking_id: BookingId) -> Result<(), sqlx::Error> {
    sqlx::query!(
        r#"
        update job j
           set next_attempt_at = least(greatest(b.hold_until, now()),
                                       greatest(coalesce(b.attempt_until, now()), now()) + interval '1 minute')
          from booking b
         where b.booking_id = $1 and j.kind = 'SETTLE' and j.key = $1::uuid::text and j.done_at is null
        "#,
        booking_id as BookingId,
    )
    .execute(db.idempotent(FailPoint("LookAgain")))
    .await?;
    Ok(())
}

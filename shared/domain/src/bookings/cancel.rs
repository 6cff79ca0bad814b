//! Cancelling: the tickets go back at once, the money soon after.

use super::settle::SettleError;
use super::stock::giving_back;
use super::{Booking, Status, read};
use crate::payments::{ChargeFunction, PaymentStatus};
use runtime::faults::FailPoint;
use runtime::telemetry;
use stores::db::Db;
use values::ids::{BookingId, EventId, PaymentId, UserId};

/// Why a booking can't be cancelled.
#[derive(Debug, thiserror::Error)]
pub enum CancelError {
    /// Also returned for another user's booking.
    #[error("there is no such booking")]
    NotFound,
    #[error("the event of the booking has begun")]
    Begun,
    #[error("a {status:?} booking can't be cancelled")]
    NotCancellable { status: Status },
    #[error("the booking store")]
    Database(#[from] sqlx::Error),
}

/// Cancels a booking of `user`. Repeating it gives the same answer and does nothing.
///
/// The same statement writes the refund's job. The refund is tried here at once, and by the sweep until
/// it is done.
pub async fn cancel(
    db: &Db,
    payments: &ChargeFunction,
    user: UserId,
    booking_id: BookingId,
) -> Result<Booking, CancelError> {
    telemetry::note("booking_id", booking_id);
    let booking = loop {
        if let Some(booking) = give_back(db, user, booking_id).await? {
            break booking;
        }
        if let Some(cancelled) = explain_not_cancelled(db, user, booking_id).await? {
            return Ok(cancelled);
        }
    };
    telemetry::note("event_id", &booking.event_id);
    tracing::info!("booking cancelled");
    if let Some(payment_id) = booking.payment_id
        && let Err(error) = refund(db, payments, booking_id, payment_id).await
    {
        tracing::warn!(
            error = telemetry::chain(&error),
            "refund failed; the sweep retries it"
        );
    }
    Ok(booking)
}

/// CONFIRMED → CANCELLED: the tickets go back, and the refund is due. Returns `None` where there is no such
/// booking, or where its event has begun.
pub(super) async fn give_back(
    db: &Db,
    user: UserId,
    booking_id: BookingId,
) -> Result<Option<Booking>, sqlx::Error> {
    let cancelled = giving_back!(
        r#"from booking b join event e using (event_id)
           where b.booking_id = $1 and b.user_id = $2 and b.status = 'CONFIRMED' and e.starts_at > now()"#,
        r#"update booking b
               set status = 'CANCELLED', took_quota = '{}', took_units = '{}', counted = 0, updated_at = now(),
                   refund_due_at = case when b.amount_minor > 0 then now() end, refund_owed_minor = b.amount_minor
              from held"#,
        r#"owed as (
            insert into refund (refund_id, booking_id, ticket_number, amount_minor)
            select gen_random_uuid(), booking_id, number, unit_minor
              from ended join valid using (booking_id)
             where unit_minor > 0
        ), refund_due as (
            insert into job (kind, key, next_attempt_at)
            select 'REFUND', booking_id::text, now() + interval '10 seconds'
              from ended
             where amount_minor > 0 and (select count(*) from given_back) >= 0
                on conflict do nothing
        )"#,
        booking_id as BookingId,
        user as UserId,
    )
    .fetch_optional(db.idempotent(FailPoint("Cancel")))
    .await?;
    cancelled.map(Booking::try_from).transpose()
}

/// Returns the booking if it is already cancelled, or `None` if it was confirmed in the meantime and can be cancelled
/// now.
pub(super) async fn explain_not_cancelled(
    db: &Db,
    user: UserId,
    booking_id: BookingId,
) -> Result<Option<Booking>, CancelError> {
    let booking = read::of_user(db, user, booking_id)
        .await?
        .ok_or(CancelError::NotFound)?;
    match booking.status {
        Status::Cancelled => Ok(Some(booking)),
        Status::Confirmed if has_begun(db, &booking.event_id).await? => Err(CancelError::Begun),
        Status::Confirmed => Ok(None),
        status => Err(CancelError::NotCancellable { status }),
    }
}

async fn has_begun(db: &Db, event_id: &EventId) -> Result<bool, sqlx::Error> {
    let begun = sqlx::query_scalar!(
        r#"select starts_at <= now() as "begun!" from event where event_id = $1"#,
        event_id as &EventId,
    );
    begun.fetch_one(db.idempotent(FailPoint("GetBegun"))).await
}

/// Gives the money of a cancelled booking back, and notes that it was given. Both halves are
/// safe to repeat: the payment is refunded once, whoever asks.
pub(super) async fn refund(
    db: &Db,
    payments: &ChargeFunction,
    booking_id: BookingId,
    payment_id: PaymentId,
) -> Result<(), SettleError> {
    telemetry::note("payment_id", payment_id);
    match payments.refund(payment_id).await? {
        PaymentStatus::Refunded => {}
        status => return Err(SettleError::Unsettled(status)),
    }
    mark_refunded(db, booking_id).await?;
    tracing::info!("booking refunded");
    Ok(())
}

pub(super) async fn mark_refunded(db: &Db, booking_id: BookingId) -> Result<(), sqlx::Error> {
    sqlx::query!(
        r#"
        with refunded as (
            update booking set refunded_at = now() where booking_id = $1 and refunded_at is null
            returning booking_id
        ), done as (
            update refund r
               set done_at = now()
              from refunded
             where r.booking_id = refunded.booking_id and r.done_at is null
            returning r.booking_id
        )
        update job
           set done_at = now()
         where kind = 'REFUND' and key = $1::uuid::text and done_at is null
           and (select count(*) from done) >= 0
        "#,
        booking_id as BookingId,
    )
    .execute(db.idempotent(FailPoint("MarkRefunded")))
    .await?;
    Ok(())
}

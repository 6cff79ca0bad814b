//! Confirms a paid booking. Also records that a request was told that its booking is pending.

use super::{Booking, BookingError, booking_rows};
use runtime::faults::FailPoint;
use stores::db::Db;
use values::ids::{BookingId, PaymentId};

/// PENDING → CONFIRMED, announced or not. `None` where the booking is not pending any more.
///
/// The payment's id is the booking's own; a free booking has none. What repeats of the request are told is
/// decided here, whoever confirms: a later cancel does not change it. If it was not announced, a job is added.
///
/// # Errors
/// The store's.
pub async fn confirm(
    db: &Db,
    booking_id: BookingId,
    announced: bool,
) -> Result<Option<Booking>, BookingError> {
    let confirmed = booking_rows!(
        r#"
        with confirmed as (
            update booking b
               set status = 'CONFIRMED', updated_at = now(),
                   payment_id = case when amount_minor > 0 then $2::uuid end,
                   announced_at = case when $3 then now() end
             where booking_id = $1 and status = 'PENDING'
            returning b.*
        ), answered as (
            update request r
               set answer = confirmed.status
              from confirmed
             where r.resource_id = confirmed.booking_id and (r.answer is null or r.answer = 'PENDING')
            returning r.resource_id
        ), settled as (
            update job j
               set done_at = now()
              from confirmed
             where j.kind = 'SETTLE' and j.key = confirmed.booking_id::text and j.done_at is null
               and (select count(*) from answered) >= 0
            returning j.job_id
        ), unannounced as (
            insert into job (kind, key)
            select 'ANNOUNCE', booking_id || '.confirmed'
              from confirmed
             where not $3 and (select count(*) from settled) >= 0
                on conflict do nothing
        )
        select "#,
        "from confirmed b",
        booking_id as BookingId,
        PaymentId::of_booking(booking_id) as PaymentId,
        announced,
    )
    .fetch_optional(db.idempotent(FailPoint("Confirm")))
    .await?;
    Ok(confirmed.map(Booking::try_from).transpose()?)
}

/// Notes that the broker has the booking's confirmation.
pub(super) async fn mark_announced(db: &Db, booking_id: BookingId) -> Result<(), sqlx::Error> {
    sqlx::query!(
        r#"
        with announced as (
            update booking set announced_at = now() where booking_id = $1 and announced_at is null
            returning booking_id
        )
        update job
           set done_at = now()
         where kind = 'ANNOUNCE' and key = $1::uuid::text || '.confirmed' and done_at is null
           and (select count(*) from announced) >= 0
        "#,
        booking_id as BookingId,
    )
    .execute(db.idempotent(FailPoint("MarkAnnounced")))
    .await?;
    Ok(())
}

/// Notes that the request was answered that it is pending, and so no longer runs. Returns the booking as
/// it was when that was noted.
pub(super) async fn record_accepted(
    db: &Db,
    booking_id: BookingId,
) -> Result<Option<Booking>, BookingError> {
    let marked = booking_rows!(
        r#"
        with answered as (
            update request set answer = 'PENDING' where resource_id = $1 and answer is null
        )
        select "#,
        "from booking b where booking_id = $1",
        booking_id as BookingId,
    )
    .fetch_optional(db.idempotent(FailPoint("RecordAccepted")))
    .await?;
    Ok(marked.map(Booking::try_from).transpose()?)
}

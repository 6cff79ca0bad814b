//! Ending holds that nobody has tried to pay: by their buyer, or because their time is over.

use super::Booking;
use super::stock::giving_back;
use runtime::faults::FailPoint;
use stores::db::Db;
use values::ids::{BookingId, EventId, UserId};

/// The most holds that are ended at once because their time is over.
const MAX_EXPIRED: i64 = 20;

/// HELD → EXPIRED, if the hold's time is over. Returns whether this ended the hold.
pub(super) async fn expire(db: &Db, booking_id: BookingId) -> Result<bool, sqlx::Error> {
    Ok(end_hold(db, booking_id, None).await?.is_some())
}

/// HELD → EXPIRED: the tickets go back. The `buyer` may end a hold at any time. Without a `buyer`, it ends only if
/// its time is over. There is no payment to void: paying moves a hold to PENDING first.
pub(super) async fn end_hold(
    db: &Db,
    booking_id: BookingId,
    buyer: Option<UserId>,
) -> Result<Option<Booking>, sqlx::Error> {
    let released = giving_back!(
        r#"from booking b
           where b.booking_id = $1 and b.status = 'HELD'
             and (b.user_id = $2 or $2::bigint is null and b.hold_until <= now())"#,
        r#"update booking b
               set status = 'EXPIRED', took_quota = '{}', took_units = '{}', counted = 0, updated_at = now()
              from held"#,
        r#"expired as (
            update job j
               set done_at = now()
              from ended
             where j.kind = 'EXPIRE' and j.key = ended.booking_id::text and j.done_at is null
               and (select count(*) from given_back) >= 0
        )"#,
        booking_id as BookingId,
        buyer as Option<UserId>,
    )
    .fetch_optional(db.idempotent(FailPoint("EndHold")))
    .await?;
    released.map(Booking::try_from).transpose()
}

/// A person's open hold of an event.
pub(super) struct OpenHold {
    pub booking_id: BookingId,
    /// Whether it is HELD and its time is over.
    pub due: bool,
}

pub(super) async fn open_of(
    db: &Db,
    user: UserId,
    event_id: &EventId,
) -> Result<Option<OpenHold>, sqlx::Error> {
    sqlx::query_as!(
        OpenHold,
        r#"
        select booking_id as "booking_id: BookingId", status = 'HELD' and hold_until <= now() as "due!"
          from booking
         where user_id = $1 and event_id = $2 and hold_until is not null and status in ('HELD', 'PENDING')
         order by created_at desc
         limit 1
        "#,
        user as UserId,
        event_id as &EventId,
    )
    .fetch_optional(db.idempotent(FailPoint("GetOpenHold")))
    .await
}

/// Ends up to `MAX_EXPIRED` overdue holds of an event, without waiting for the sweep. Returns whether there may be
/// more.
pub(super) async fn expire_due(db: &Db, event_id: &EventId) -> Result<bool, sqlx::Error> {
    let due = sqlx::query_scalar!(
        r#"
        select b.booking_id as "booking_id: BookingId"
          from job j
          join booking b on b.booking_id = j.key::uuid
         where j.kind = 'EXPIRE' and j.done_at is null and j.due_at <= now()
           and b.event_id = $1 and b.status = 'HELD' and b.hold_until <= now()
         order by j.due_at
         limit $2
        "#,
        event_id as &EventId,
        MAX_EXPIRED,
    )
    .fetch_all(db.idempotent(FailPoint("ListDueHolds")))
    .await?;
    for booking_id in &due {
        expire(db, *booking_id).await?;
    }
    Ok(i64::try_from(due.len()).is_ok_and(|ended| ended >= MAX_EXPIRED))
}

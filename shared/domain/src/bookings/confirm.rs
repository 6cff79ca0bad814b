//! Confirms a paid booking and issues its tickets. Also records that a request was told that its booking is pending.

use std::time::Duration;

use super::{Booking, booking_rows};
use crate::payments::PaymentMethod;
use runtime::faults::FailPoint;
use stores::db::{self, Db};
use values::ids::{BookingId, PaymentId};

/// How long a booking may wait for its turn to be charged. Then it is void. Fifty charges at once of 0.4 s each
/// serve 22,500 in this time.
const CHARGED_WITHIN: Duration = Duration::from_secs(180);

/// PENDING → CONFIRMED: issues the tickets, and adds a job to announce the booking unless it was `announced`. Returns
/// `None` if the booking is no longer pending.
///
/// The payment's id is derived from the booking's; a free booking has none. This also decides what repeats of the
/// request are told, whoever confirms. A later cancel does not change that.
pub async fn confirm(
    db: &Db,
    booking_id: BookingId,
    announced: bool,
) -> Result<Option<Booking>, sqlx::Error> {
    let confirmed = booking_rows!(
        r#"
        with confirmed as (
            update booking b
               set status = 'CONFIRMED', updated_at = now(),
                   payment_id = case when amount_minor > 0 then $2::uuid end,
                   announced_at = case when $3 then now() end
             where booking_id = $1 and status = 'PENDING'
            returning b.*
        ), issued as (
            insert into ticket (booking_id, number, unit, event_id, ticket_type_id, unit_minor, holder_user_id)
            select t.* from confirmed cross join lateral tickets_of(confirmed.booking_id) t
            returning number
        ), unheld as (
            update purchase p
               set open_holds = 0
              from confirmed
             where confirmed.hold_until is not null and (select count(*) from issued) >= 0
               and p.event_id = confirmed.event_id and p.user_id = confirmed.user_id
            returning p.user_id
        ), answered as (
            update request r
               set answer = confirmed.status
              from confirmed
             where r.resource_id = confirmed.booking_id and (r.answer is null or r.answer = 'PENDING')
               and (select count(*) from unheld) >= 0
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
    confirmed.map(Booking::try_from).transpose()
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

/// Records that the request was answered PENDING, and so no longer runs; and, if its charge never began, the payment
/// method to charge later. Returns the booking as it was when that was recorded.
pub(super) async fn record_accepted(
    db: &Db,
    booking_id: BookingId,
    charge_with: Option<PaymentMethod>,
) -> Result<Option<Booking>, sqlx::Error> {
    let marked = booking_rows!(
        r#"
        with answered as (
            update request set answer = 'PENDING' where resource_id = $1 and answer is null
            returning resource_id
        ), waiting as (
            update job
               set payload = jsonb_build_object('charge_with', $2::text)
             where kind = 'SETTLE' and key = $1::uuid::text and done_at is null and $2::text is not null
               and (select count(*) from answered) >= 0
        )
        select "#,
        "from booking b where booking_id = $1",
        booking_id as BookingId,
        charge_with.as_ref().map(PaymentMethod::as_ref),
    )
    .fetch_optional(db.idempotent(FailPoint("RecordAccepted")))
    .await?;
    marked.map(Booking::try_from).transpose()
}

/// The payment method of a pending booking that waits for its turn; `None` once [`CHARGED_WITHIN`] has passed.
pub(super) async fn charge_with(
    db: &Db,
    booking_id: BookingId,
) -> Result<Option<PaymentMethod>, sqlx::Error> {
    let method = sqlx::query_scalar!(
        r#"
        select j.payload ->> 'charge_with' as "method!"
          from job j
          join booking b on b.booking_id = $1
         where j.kind = 'SETTLE' and j.key = $1::uuid::text and j.done_at is null
           and j.payload ? 'charge_with'
           and b.created_at > now() - make_interval(secs => $2)
        "#,
        booking_id as BookingId,
        CHARGED_WITHIN.as_secs_f64(),
    )
    .fetch_optional(db.idempotent(FailPoint("ReadTurn")))
    .await?;
    let method = method.map(|method| db::column("charge_with", &method));
    method.transpose()
}

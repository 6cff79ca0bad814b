//! Stock: what is left of an event, split over rows.
//!
//! Updates of one row wait for each other's commit, and each commit waits for a flush of the disk. So an event's
//! tickets are split over up to 64 rows, its shards, which `reserve` sells from. This module has
//! how tickets go back, and what is left to do for the release before stock.

/// The statement that ends a booking and gives back what it holds, to any one shard of each quota.
///
/// `$held` selects the booking that may end, and `$ended` ends it. `$rest` are the CTEs that follow: they read
/// `ended`, and also `given_back`, so that they run after it. The statement also lowers what its buyer is counted to
/// have, and cancels the booking's tickets (`valid`), so that they no longer let anybody in. Nothing changes unless
/// everything that the booking holds goes back.
macro_rules! giving_back {
    ($held:tt, $ended:tt, $rest:tt $(, $parameter:expr)* $(,)?) => {
        $crate::bookings::booking_rows!(
            r#"
            with held as materialized (
                select b.booking_id, b.took_quota, b.took_units, b.event_id, b.user_id, b.counted,
                       (b.hold_until is not null and b.status in ('HELD', 'PENDING'))::int as open_hold "# + $held + r#"
                   for no key update of b
            ), valid as materialized (
                select t.booking_id, t.number, t.unit_minor, t.code_version
                  from held join ticket t using (booking_id)
                 where t.status = 'VALID'
                 order by t.number
                   for no key update of t
            ), shard as materialized (
                select s.quota_id, s.shard, s.free + took.units as free
                  from held
                  cross join unnest(took_quota, took_units) as took (quota_id, units)
                  cross join lateral (
                        select quota_id, shard, free
                          from stock
                         where stock.quota_id = took.quota_id
                         order by random()
                         limit 1
                           for no key update) s
                 where (select count(*) from valid) >= 0
            ), ended as ( "# + $ended + r#"
                 where b.booking_id = held.booking_id
                   and (select count(*) from shard) = cardinality(held.took_units)
                returning b.*
            ), voided as (
                update ticket t
                   set status = 'CANCELLED', code_version = valid.code_version + 1
                  from valid, ended
                 where t.booking_id = valid.booking_id and t.number = valid.number
            ), restocked as (
                update stock s
                   set free = shard.free
                  from shard, ended
                 where s.quota_id = shard.quota_id and s.shard = shard.shard
                returning s.shard
            ), buyer as materialized (
                select p.event_id, p.user_id, p.tickets - held.counted as tickets, p.open_holds - held.open_hold as open_holds
                  from held join purchase p using (event_id, user_id)
                 where held.counted > 0 and (select count(*) from shard) >= 0
                   for no key update of p
            ), given_back as (
                update purchase p
                   set tickets = buyer.tickets, open_holds = buyer.open_holds
                  from buyer, ended
                 where p.event_id = buyer.event_id and p.user_id = buyer.user_id
                   and (select count(*) from restocked) >= 0
                returning p.user_id
            ), "# + $rest + r#"
            select "#,
            "from ended b"
            $(, $parameter)*
        )
    };
}
pub(super) use giving_back;

use runtime::faults::FailPoint;
use stores::db::Db;
use values::ids::EventId;

/// Moves a part of `event.available`, where the release before this one keeps tickets, into the event's stock: a
/// tenth, but at least `wanted`. During a deployment both releases sell, and the older one sells what is left there.
pub(super) async fn move_in(db: &Db, event_id: &EventId, wanted: i32) -> Result<(), sqlx::Error> {
    sqlx::query!(
        r#"
        with held as materialized (
            select event_id, available, least(available, greatest($2, available / 10)) as part
              from event
             where event_id = $1 and available > 0
               for no key update
        ), locked as materialized (
            select s.quota_id, s.shard, s.free
              from stock s
             where s.quota_id in (select quota_id from held join quota using (event_id) where kind = 'ROOT')
             order by s.quota_id, s.shard
               for no key update
        ), lowered as (
            update event e
               set available = held.available - held.part
              from held
             where e.event_id = held.event_id and (select count(*) from locked) > 0
            returning e.event_id
        ), share as (
            select quota_id, shard, free, row_number() over (order by shard) as place, count(*) over () as shards
              from locked
        )
        update stock s
           set free = share.free + held.part / share.shards + (share.place <= held.part % share.shards)::int
          from share, held, lowered
         where s.quota_id = share.quota_id and s.shard = share.shard
        "#,
        event_id as &EventId,
        wanted,
    )
    .execute(db.idempotent(FailPoint("MoveStock")))
    .await?;
    Ok(())
}

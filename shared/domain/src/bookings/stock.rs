//! Stock: what is left of an event, split over rows.
//!
//! Updates of one row wait for each other's commit, and each commit waits for a flush of the disk. So an event's
//! tickets are split over up to 64 rows, its shards, which `reserve` sells from. This module holds only what
//! is left to do for the release before stock.

use runtime::faults::FailPoint;
use stores::db::Db;
use values::ids::EventId;

/// Moves a part of what the release before this one keeps in `event.available` into the event's stock: a tenth,
/// but at least `wanted`. During a deployment both releases sell, and that one sells what is left there.
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

//! Changing how much a quota has, while it is sold.

/// The statement that changes an organizer's event, and the capacity of some of its quotas.
///
/// `$quotas` selects those quotas from `held join quota q using (event_id)`, with the new capacity of each as
/// `wanted`, and its `name`. Added capacity is spread over the quota's shards and new ones; a cut is taken from the
/// shards that have it. `$rest` are the CTEs that follow: they read `able`, which has the event's row unless a quota
/// has given out more than its new capacity.
///
/// The first three parameters are the event, its organizer, and the version that the change was made from. Returns
/// `able`, whether the event has this version and could be changed. If a wanted capacity is too low, also returns
/// `least`, the lowest one that the quota can have.
macro_rules! resizing {
    ($quotas:tt, $rest:tt $(, $parameter:expr)* $(,)?) => {
        sqlx::query!(
            r#"
            with held as materialized (
                select event_id, available from event
                 where event_id = $1 and organizer_id = $2 and version = $3
                   for no key update
            ), own as materialized ( "# + $quotas + r#" for no key update of q
            ), locked as materialized (
                select s.quota_id, s.shard, s.free
                  from stock s
                 where s.quota_id in (select quota_id from own)
                 order by s.quota_id, s.shard
                   for no key update
            ), share as (
                select quota_id, shard, free, own.wanted - own.capacity as more,
                       row_number() over by_shard as place, count(*) over by_quota as old_shards,
                       greatest(count(*) over by_quota, least(64, own.wanted / 50)) as shards,
                       sum(free) over by_quota as total, coalesce(sum(free) over before, 0) as before
                  from locked join own using (quota_id)
                window by_quota as (partition by quota_id), by_shard as (partition by quota_id order by shard),
                       before as (by_shard rows between unbounded preceding and 1 preceding)
            ), missing as (
                -- Where the cut exceeds what is free in the shards: the rest, `outside`, must come from `event.available`,
                -- where the release before stock keeps tickets.
                select own.quota_id, own.capacity - share.total as given_out, own.capacity - share.total - own.wanted as outside,
                       case when q.kind = 'ROOT' then held.available else 0 end as available
                  from own join share using (quota_id) join quota q using (quota_id) cross join held
                 where share.place = 1 and own.wanted < own.capacity - share.total
            ), short as (
                select given_out - available as least from missing where outside > available
            ), able as (
                select event_id, available from held where not exists (select from short)
            ), resized as (
                update quota q
                   set capacity = own.wanted, name = own.name
                  from own, able
                 where q.quota_id = own.quota_id
                returning q.quota_id
            ), restocked as (
                update stock s
                   set free = case when share.more >= 0
                                   then share.free + share.more / share.shards
                                        + (share.place <= share.more % share.shards)::int
                                   else share.free - least(share.free, greatest(0, - share.more - share.before)) end
                  from share join resized using (quota_id)
                 where s.quota_id = share.quota_id and s.shard = share.shard
                returning s.shard
            ), widened as (
                insert into stock (quota_id, shard, free)
                select quota_id, new, share.more / share.shards + (new < share.more % share.shards)::int
                  from share join resized using (quota_id), generate_series(share.old_shards, share.shards - 1) as new
                 where share.place = 1 and share.more > 0
            ), "# + $rest + r#"
            select exists (select from able) as "able!", (select max(least) from short)::int as least
            "#
            $(, $parameter)*
        )
    };
}
pub(super) use resizing;

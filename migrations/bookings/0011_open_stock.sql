-- no-transaction
-- Quotas for the events, and what they hold for the bookings, that were there before the triggers of 0010.
-- Each batch is a transaction of its own, and safe to repeat.
do $$
declare
    batch text[];
    last uuid := '00000000-0000-0000-0000-000000000000';
    bookings uuid[];
begin
    loop
        select array_agg(event_id) into batch
          from (select event_id
                  from event e
                 where not exists (select from quota q where q.event_id = e.event_id and q.kind = 'ROOT')
                 limit 500) e;
        exit when batch is null;
        -- Wait for open sales of these events. Their bookings found no quota, so the second loop must see them.
        perform from event where event_id = any (batch) order by event_id for no key update;
        with root as (
            insert into quota (quota_id, event_id, name, kind, capacity)
            select gen_random_uuid(), event_id, 'Tickets', 'ROOT', capacity
              from event
             where event_id = any (batch)
                on conflict do nothing
            returning quota_id, capacity
        )
        insert into stock (quota_id, shard, free)
        select quota_id, shard, 0
          from root, generate_series(0, least(64, greatest(1, capacity / 50)) - 1) shard;
        commit;
    end loop;
    loop
        select array_agg(booking_id order by booking_id) into bookings
          from (select booking_id
                  from booking
                 where booking_id > last and took_quota is null and status in ('PENDING', 'CONFIRMED')
                 order by booking_id
                 limit 500) b;
        exit when bookings is null;
        last := bookings[cardinality(bookings)];
        update booking b
           set took_quota = array[q.quota_id], took_units = array[b.tickets]
          from quota q
         where b.booking_id = any (bookings) and b.status in ('PENDING', 'CONFIRMED') and b.took_quota is null
           and q.event_id = b.event_id and q.kind = 'ROOT';
        commit;
    end loop;
end
$$;

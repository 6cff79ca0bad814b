-- no-transaction
-- Writes jobs and requests for the bookings that were there before the triggers of 0008. Each batch is a
-- transaction of its own, and safe to repeat. A booking is locked while it is carried over: what the old
-- release does to it waits for a moment, and its trigger then finds the rows.
do $$
declare
    last uuid := '00000000-0000-0000-0000-000000000000';
    batch uuid[];
begin
    loop
        select array_agg(booking_id order by booking_id) into batch
          from (select booking_id
                  from booking
                 where booking_id > last
                   and (status = 'PENDING' or status = 'CONFIRMED' and announced_at is null
                        or refund_due_at is not null and refunded_at is null or idempotency_key is not null)
                 order by booking_id
                 limit 500) b;
        exit when batch is null;
        last := batch[cardinality(batch)];
        perform from booking where booking_id = any (batch) order by booking_id for no key update;
        insert into request (caller, route, idempotency_key, request_hash, resource_id, answer, created_at)
        select 'user:' || user_id, 'POST /bookings', idempotency_key, request_hash, booking_id,
               case when status = 'PENDING' and first_answer is null then null
                    when status = 'CANCELLED' then 'CONFIRMED' else status end,
               created_at
          from booking
         where booking_id = any (batch) and idempotency_key is not null
            on conflict do nothing;
        insert into job (kind, key, due_at, next_attempt_at)
        select 'SETTLE', booking_id::text, created_at + interval '1 minute', created_at + interval '1 minute'
          from booking
         where booking_id = any (batch) and status = 'PENDING'
            on conflict do nothing;
        insert into job (kind, key, due_at)
        select 'ANNOUNCE', booking_id || '.confirmed', updated_at
          from booking
         where booking_id = any (batch) and status = 'CONFIRMED' and announced_at is null
            on conflict do nothing;
        insert into job (kind, key, due_at)
        select 'REFUND', booking_id::text, refund_due_at
          from booking
         where booking_id = any (batch) and refund_due_at is not null and refunded_at is null
            on conflict do nothing;
        commit;
    end loop;
end
$$;

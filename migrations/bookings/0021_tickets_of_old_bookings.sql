-- no-transaction
-- Tickets and refunds of the bookings that were there before the triggers of 0020. Each batch is a transaction of its
-- own; a repeat goes on with what has no tickets. A booking is locked while its rows are written: what the old release does to it waits for
-- a moment. What is booked from now on is left to the triggers, or this would not end while many people book.
do $$
declare
    begun timestamptz := clock_timestamp();
    last uuid := '00000000-0000-0000-0000-000000000000';
    batch uuid[];
begin
    loop
        select array_agg(booking_id order by booking_id) into batch
          from (select booking_id
                  from booking
                 where booking_id > last and created_at < begun and status in ('CONFIRMED', 'CANCELLED')
                   and not exists (select from ticket t where t.booking_id = booking.booking_id)
                 order by booking_id
                 limit 500) b;
        exit when batch is null;
        last := batch[cardinality(batch)];
        perform from booking where booking_id = any (batch) order by booking_id for no key update;
        insert into ticket (booking_id, number, unit, event_id, ticket_type_id, unit_minor, holder_user_id, status,
                            code_version)
        select t.*, case when b.status = 'CANCELLED' then 'CANCELLED' else 'VALID' end, (b.status = 'CANCELLED')::int
          from booking b
         cross join lateral tickets_of(b.booking_id) t
         where b.booking_id = any (batch) and b.status in ('CONFIRMED', 'CANCELLED')
            on conflict do nothing;
        insert into refund (refund_id, booking_id, ticket_number, amount_minor, created_at, done_at)
        select gen_random_uuid(), b.booking_id, t.number, t.unit_minor, coalesce(b.refund_due_at, b.updated_at), b.refunded_at
          from booking b
          join ticket t using (booking_id)
         where b.booking_id = any (batch) and b.status = 'CANCELLED' and t.unit_minor > 0
            on conflict do nothing;
        update booking
           set refund_owed_minor = amount_minor
         where booking_id = any (batch) and status = 'CANCELLED' and refund_owed_minor <> amount_minor;
        commit;
    end loop;
end
$$;

-- no-transaction
-- Default types for the events that were there before the trigger of 0012. Each batch is a transaction of its
-- own, and safe to repeat. No sale waits for it: it locks no row of an event against sales.
do $$
declare
    batch text[];
begin
    loop
        select array_agg(event_id) into batch
          from (select event_id
                  from event e
                 where not exists (select from ticket_type t where t.event_id = e.event_id and is_default)
                 limit 500) e;
        exit when batch is null;
        with made as (
            insert into ticket_type (ticket_type_id, event_id, name, position, is_default, price_minor)
            select gen_random_uuid(), event_id, 'Ticket', 0, true, price_minor
              from event
             where event_id = any (batch)
                on conflict do nothing
            returning ticket_type_id, event_id
        )
        insert into ticket_type_quota (ticket_type_id, quota_id, units)
        select ticket_type_id, quota_id, 1
          from made join quota using (event_id)
         where kind = 'ROOT';
        commit;
    end loop;
end
$$;

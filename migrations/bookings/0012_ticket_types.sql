-- Fail after two seconds without a lock, rather than keep buyers waiting.
set local lock_timeout = '2s';

-- Ticket types: what an event sells. A type takes units of the event's ROOT quota, and of other quotas that it
-- shares with other types. Each event has one default type, which is what a booking without items buys.
-- `event.price_minor` is the default type's price and `event.capacity` that of ROOT, for clients of the first API.

alter table event add column time_zone text not null default 'UTC', add column ends_at timestamptz;

create table ticket_type (
    ticket_type_id uuid        primary key,
    event_id       text        not null constraint ticket_type_event references event,
    name           text        not null,
    description    text,
    position       smallint    not null,
    is_default     boolean     not null default false,
    -- In minor units of the event's currency.
    price_minor    bigint      not null constraint ticket_type_price check (price_minor >= 0),
    -- PUBLIC: on sale to everybody. CODE: to those with a code that unlocks it. HIDDEN: not by the API.
    access         text        not null default 'PUBLIC' constraint ticket_type_access check (access in ('PUBLIC', 'CODE', 'HIDDEN')),
    sale_from      timestamptz,
    sale_until     timestamptz,
    min_per_order  smallint    not null default 1 constraint ticket_type_min check (min_per_order > 0),
    -- Null: the event's `max_tickets_per_booking`.
    max_per_order  smallint    constraint ticket_type_max check (max_per_order >= min_per_order),
    -- How many people one unit lets in: 0 for parking, 2 for a pair.
    admits         smallint    not null default 1 constraint ticket_type_admits check (admits between 0 and 20),
    archived_at    timestamptz,
    constraint ticket_type_window check (sale_from < sale_until)
);
create index ticket_type_of_event on ticket_type (event_id, position);
create unique index ticket_type_default on ticket_type (event_id) where is_default;

create table ticket_type_quota (
    ticket_type_id uuid     not null constraint ticket_type_quota_type references ticket_type,
    quota_id       uuid     not null constraint ticket_type_quota_quota references quota,
    units          smallint not null constraint ticket_type_quota_units check (units > 0),
    primary key (ticket_type_id, quota_id)
);

-- What a booking with items is of. A booking without rows here is of the default type: that line is in its own
-- columns `tickets` and `amount_minor`, so that the usual booking writes no other row. No foreign key to
-- `ticket_type`: its lock on the row of a popular type would be shared by everybody who buys.
create table booking_item (
    booking_id     uuid     not null constraint booking_item_booking references booking on delete cascade,
    ticket_type_id uuid     not null,
    quantity       smallint not null constraint booking_item_quantity check (quantity > 0),
    unit_minor     bigint   not null constraint booking_item_unit check (unit_minor >= 0),
    primary key (booking_id, ticket_type_id)
);

grant select, insert on ticket_type, ticket_type_quota to admit_organizer;
grant select on ticket_type, ticket_type_quota to admit_reader, admit_office;
grant select on booking_item to admit_reader;
grant select, insert on booking_item to admit_office;

-- The release before this one makes events without types until the functions are replaced. This trigger gives
-- them their default type. A later release drops it. Its name comes after `open_stock`, so it runs after it.
create function open_type() returns trigger language plpgsql as $$
begin
    with made as (
        insert into ticket_type (ticket_type_id, event_id, name, position, is_default, price_minor)
        values (gen_random_uuid(), new.event_id, 'Ticket', 0, true, new.price_minor)
            on conflict do nothing
        returning ticket_type_id, event_id
    )
    insert into ticket_type_quota (ticket_type_id, quota_id, units)
    select ticket_type_id, quota_id, 1
      from made join quota using (event_id)
     where kind = 'ROOT';
    return null;
end
$$;
create trigger open_type after insert on event for each row execute function open_type();

-- Fail after two seconds without a lock, rather than keep buyers waiting.
set local lock_timeout = '2s';

-- What its buyer gets back: no more than was paid. 0022 validates the check.
alter table booking
    add column refund_owed_minor bigint not null default 0,
    add constraint booking_refund_within check (refund_owed_minor between 0 and amount_minor) not valid;

-- The tax rate that it was sold at.
alter table booking_item add column tax_rate_bp integer not null default 0;

-- The tickets of bookings that are paid. Never deleted: a cancelled one says so.
create table ticket (
    booking_id     uuid        not null constraint ticket_booking references booking,
    number         smallint    not null,
    -- What was bought as one: a family ticket is one unit of four tickets.
    unit           smallint    not null,
    event_id       text        not null,
    ticket_type_id uuid        not null,
    -- The unit's price on its first ticket, 0 on its others.
    unit_minor     bigint      not null,
    status         text        not null default 'VALID' constraint ticket_status check (status in ('VALID', 'CANCELLED')),
    -- Incremented whenever the ticket's code must no longer let anyone in.
    code_version   smallint    not null default 0,
    holder_user_id bigint      not null,
    holder_name    text,
    holder_email   text,
    admitted_at    timestamptz,
    admitted_by    uuid,
    primary key (booking_id, number),
    constraint ticket_admitted_valid check (admitted_at is null or status = 'VALID')
);

-- Money that goes back: a row for each ticket that had a price.
create table refund (
    refund_id     uuid        primary key,
    booking_id    uuid        not null constraint refund_booking references booking,
    -- Null: an amount that belongs to no ticket.
    ticket_number smallint,
    amount_minor  bigint      not null constraint refund_amount check (amount_minor > 0),
    reason        text,
    created_at    timestamptz not null default now(),
    done_at       timestamptz,
    constraint refund_once unique (booking_id, ticket_number)
);

-- The tickets that a booking gives right to, numbered over its items. In plpgsql, so that a connection plans it once;
-- never compiled, which PostgreSQL would do for each call, as it takes each series for a thousand rows.
create function tickets_of(paid uuid)
returns table (booking_id uuid, number smallint, unit smallint, event_id text, ticket_type_id uuid, unit_minor bigint,
               holder_user_id bigint)
language plpgsql stable rows 2 set jit = off as $$
begin
    return query
    with line as (
        select i.ticket_type_id, i.quantity, i.unit_minor from booking_item i where i.booking_id = paid
         union all
        select t.ticket_type_id, b.tickets, b.amount_minor / b.tickets
          from booking b
          join ticket_type t on t.event_id = b.event_id and t.is_default
         where b.booking_id = paid and not exists (select from booking_item i where i.booking_id = paid)
    ), sold as (
        select t.ticket_type_id, t.admits, line.unit_minor,
               row_number() over (order by t.position, t.ticket_type_id) as unit
          from line
          join ticket_type t on t.ticket_type_id = line.ticket_type_id
         cross join generate_series(1, line.quantity)
    )
    select b.booking_id, (row_number() over (order by sold.unit, person))::smallint, sold.unit::smallint, b.event_id,
           sold.ticket_type_id, case when person = 1 then sold.unit_minor else 0 end, b.user_id
      from booking b
     cross join sold
     cross join generate_series(1, greatest(sold.admits, 1)) as person
     where b.booking_id = paid;
end
$$;

grant insert on ticket, refund to admit_office;
grant select (booking_id, number, unit_minor, status, code_version), update (status, code_version) on ticket to admit_office;
grant select (booking_id, done_at), update (done_at) on refund to admit_office;

-- The release before this one confirms, cancels and refunds without these rows until the functions are replaced.
-- These triggers write them, and for the runbook too. A later release drops them.
create function owe_refund() returns trigger language plpgsql as $$
begin
    new.refund_owed_minor = new.amount_minor;
    return new;
end
$$;
create trigger owe_refund before update on booking for each row
    when (new.status = 'CANCELLED' and old.status <> 'CANCELLED')
    execute function owe_refund();

create function carry_over_tickets() returns trigger language plpgsql as $$
begin
    if new.status = 'CONFIRMED' and not exists (select from ticket where booking_id = new.booking_id) then
        insert into ticket (booking_id, number, unit, event_id, ticket_type_id, unit_minor, holder_user_id)
        select * from tickets_of(new.booking_id);
    elsif new.status = 'CANCELLED' then
        update ticket set status = 'CANCELLED', code_version = code_version + 1
         where booking_id = new.booking_id and status = 'VALID';
        insert into refund (refund_id, booking_id, ticket_number, amount_minor, done_at)
        select gen_random_uuid(), booking_id, number, unit_minor, new.refunded_at
          from ticket
         where booking_id = new.booking_id and unit_minor > 0
            on conflict do nothing;
        update refund set done_at = new.refunded_at
         where booking_id = new.booking_id and done_at is null and new.refunded_at is not null;
    end if;
    return null;
end
$$;
create trigger carry_over_tickets after update on booking for each row
    when (new.status is distinct from old.status or new.refunded_at is distinct from old.refunded_at)
    execute function carry_over_tickets();

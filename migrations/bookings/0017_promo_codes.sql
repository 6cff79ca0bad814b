-- Fail after two seconds without a lock, rather than keep buyers waiting. `event` before `booking`, as sellers do.
set local lock_timeout = '2s';

-- Incremented by every change of the event or of what it sells. A writer names the version that it read.
alter table event add column version integer not null default 1;

alter table booking
    -- The code that it was booked with.
    add column promo_code text,
    -- Whom to write to, where that is not the account's owner.
    add column contact_name text,
    add column contact_email text;

-- Codes that lower prices, or let people buy what is not for everybody. In upper case.
create table promo_code (
    event_id    text   not null constraint promo_code_event references event,
    code        text   not null constraint promo_code_upper check (code = upper(code)),
    -- PERCENT takes `value` percent off each ticket, FIXED that amount; PRICE is what each costs; NONE changes no price.
    kind        text   not null constraint promo_code_kind check (kind in ('PERCENT', 'FIXED', 'PRICE', 'NONE')),
    value       bigint not null default 0 constraint promo_code_value check (value >= 0),
    -- What uses up a use: an order, or each ticket that the code is good for.
    counts      text   not null default 'ORDERS' constraint promo_code_counts check (counts in ('ORDERS', 'TICKETS')),
    -- Its uses; null: any number.
    quota_id    uuid   constraint promo_code_quota references quota,
    valid_from  timestamptz,
    valid_until timestamptz,
    primary key (event_id, code),
    constraint promo_code_percent check (kind <> 'PERCENT' or value between 1 and 100),
    constraint promo_code_window check (valid_from < valid_until)
);

-- The types that a code is good for: without a row here, all of the event.
create table promo_code_type (
    event_id       text    not null,
    code           text    not null,
    ticket_type_id uuid    not null constraint promo_code_type_type references ticket_type,
    -- Whether it lets people buy a type whose access is CODE.
    unlocks        boolean not null default false,
    primary key (event_id, code, ticket_type_id),
    constraint promo_code_type_code foreign key (event_id, code) references promo_code
);

-- What one ticket costs with a code; without one, `kind` is null. A percentage is rounded half up to minor units.
create function price_with_code(price_minor bigint, kind text, value bigint) returns bigint language sql immutable as $$
    select case kind when 'PERCENT' then price_minor - (price_minor * value + 50) / 100
                     when 'FIXED' then greatest(price_minor - value, 0)
                     when 'PRICE' then value
                     else price_minor end
$$;

-- Each type that a code is good for right now.
create view promo_code_offer as
select c.event_id, c.code, t.ticket_type_id, coalesce(named.unlocks, false) as unlocks, c.kind, c.value, c.counts,
       c.quota_id
  from promo_code c
  join ticket_type t using (event_id)
  left join promo_code_type named
    on named.event_id = c.event_id and named.code = c.code and named.ticket_type_id = t.ticket_type_id
 where (c.valid_from <= now()) is not false and (now() < c.valid_until) is not false
   and (named.code is not null
        or not exists (select from promo_code_type other where other.event_id = c.event_id and other.code = c.code));

grant select on promo_code_offer to admit_reader, admit_office;
grant select on promo_code, promo_code_type to admit_reader;

-- The desk changes what an event is and sells. It sells nothing itself, and reads nothing of a person.
do $$
begin
    execute format('grant connect on database %I to admit_desk', current_database());
end
$$;
grant usage on schema public to admit_desk;
grant select on event, quota, stock, ticket_type, ticket_type_quota, promo_code, promo_code_type, promo_code_offer to admit_desk;
grant select (booking_id, event_id) on booking to admit_desk;
grant select (booking_id, ticket_type_id) on booking_item to admit_desk;
grant update (name, venue, starts_at, ends_at, time_zone, price_minor, capacity, available, max_tickets_per_booking, max_per_user,
              hold_seconds, version) on event to admit_desk;
grant insert, update (capacity, name) on quota to admit_desk;
grant insert, update (free) on stock to admit_desk;
grant insert, update on ticket_type to admit_desk;
grant insert, update, delete on ticket_type_quota to admit_desk;
grant insert, update on promo_code to admit_desk;
grant insert, update, delete on promo_code_type to admit_desk;
-- Who raises a limit raises it for those who have tickets too.
grant select (event_id, most), update (most) on purchase to admit_desk;

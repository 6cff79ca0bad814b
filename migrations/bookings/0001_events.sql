-- What can be booked. `available` is the count that sales are guarded by: a row's check makes
-- overselling an error of the database, whatever the code does.
create table event (
    event_id                text        primary key,
    -- A user of the user store; no foreign key can reach into another database.
    organizer_id            bigint      not null,
    name                    text        not null,
    venue                   text        not null,
    starts_at               timestamptz not null,
    -- In minor units of the currency: cents of USD.
    price_minor             bigint      not null constraint event_price check (price_minor >= 0),
    currency                text        not null,
    capacity                integer     not null constraint event_capacity check (capacity between 1 and 1000000),
    available               integer     not null,
    max_tickets_per_booking integer     not null
        constraint event_max_tickets check (max_tickets_per_booking between 1 and 100),
    created_at              timestamptz not null default now(),
    constraint event_never_oversold check (available between 0 and capacity)
)
-- Sales update `available` in place; room on the page keeps those updates off the index.
with (fillfactor = 50);

-- The list of events to come, soonest first.
create index event_soonest on event (starts_at, event_id);

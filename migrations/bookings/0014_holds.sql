-- Fail after two seconds without a lock, rather than keep buyers waiting. `event` before `booking`, as sellers do.
set local lock_timeout = '2s';

-- Holds: tickets that are kept for a buyer until `hold_until`, to be paid until then. Limits a person.
alter table event
    add column hold_seconds integer not null default 600 constraint event_hold_seconds check (hold_seconds between 60 and 86400),
    -- How many tickets of the event a person may have; null: any number.
    add column max_per_user integer constraint event_max_per_user check (max_per_user > 0);

alter table booking
    drop constraint booking_status,
    add constraint booking_status
        check (status in ('HELD', 'PENDING', 'CONFIRMED', 'REJECTED', 'EXPIRED', 'CANCELLED')) not valid,
    -- Null where it was booked and paid in one call.
    add column hold_until timestamptz,
    -- The payment attempts of a hold: how many there were, the last one's id, and until when that one may be running.
    add column attempt smallint not null default 0,
    add column attempt_id uuid,
    add column attempt_until timestamptz,
    -- How many of its tickets are counted in `purchase` now.
    add column counted integer not null default 0;

-- What a person has of an event that has a limit, or of which they hold tickets. The checks refuse a reservation
-- that is too much; the statement then takes no tickets either.
create table purchase (
    event_id   text     not null,
    user_id    bigint   not null,
    tickets    integer  not null,
    -- The event's limit when the row was made; the largest integer where it has none.
    most       integer  not null,
    open_holds smallint not null default 0,
    primary key (event_id, user_id),
    constraint purchase_within_limit check (tickets between 0 and most),
    constraint purchase_one_hold check (open_holds between 0 and 1)
)
with (fillfactor = 80);

grant select, insert, update on purchase to admit_office;

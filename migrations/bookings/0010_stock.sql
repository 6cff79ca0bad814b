-- Fail after two seconds without a lock, rather than keep buyers waiting.
set local lock_timeout = '2s';
-- Lock `event` before `booking`, as sellers do, to avoid a deadlock. EXCLUSIVE mode keeps new ones out.
lock table event in exclusive mode;

-- How many units an event may give out. Each event has one ROOT quota: its tickets. SHARED and USES are not used yet.
create table quota (
    quota_id uuid    primary key,
    event_id text    not null constraint quota_event references event,
    name     text    not null,
    kind     text    not null constraint quota_kind check (kind in ('ROOT', 'SHARED', 'USES')),
    capacity integer not null constraint quota_capacity check (capacity >= 0)
);
create unique index quota_root on quota (event_id) where kind = 'ROOT';

-- What is left of a quota, split over rows, its shards: updates of one row wait for each other's commit, and those
-- who want tickets of one event take different rows.
create table stock (
    quota_id uuid     not null constraint stock_quota references quota,
    shard    smallint not null,
    free     integer  not null constraint stock_never_oversold check (free >= 0),
    primary key (quota_id, shard)
)
-- Leave room on each page, so that sales are HOT updates and write no index entries.
with (fillfactor = 50);

-- What a booking holds now: nothing once it has ended.
alter table booking add column took_quota uuid[], add column took_units integer[];

grant select, insert on quota, stock to admit_organizer;
grant select on quota, stock to admit_reader, admit_office;
grant update (free) on stock to admit_office;

-- Drop the indexes that only the sweep before `job` used: they keep changes of the status from being HOT updates.
drop index booking_unsettled, booking_unannounced, booking_refund_due;

-- The release before this one sells from `event.available`, until the functions are replaced. A ticket is
-- there or in `stock`, never in both: this release moves what it finds there into `stock`. These triggers
-- give what the old release makes a quota, and say what its bookings hold. A later release drops them, with
-- `event.available`.

create function open_stock() returns trigger language plpgsql as $$
declare
    root uuid;
begin
    insert into quota (quota_id, event_id, name, kind, capacity)
    values (gen_random_uuid(), new.event_id, 'Tickets', 'ROOT', new.capacity)
        on conflict do nothing
    returning quota_id into root;
    insert into stock (quota_id, shard, free)
    select root, shard, 0
      from generate_series(0, least(64, greatest(1, new.capacity / 50)) - 1) shard
     where root is not null;
    return null;
end
$$;
create trigger open_stock after insert on event for each row when (new.available > 0) execute function open_stock();

create function hold_stock() returns trigger language plpgsql as $$
begin
    -- Without a quota yet, 0011 does it.
    update booking b
       set took_quota = array[q.quota_id], took_units = array[new.tickets]
      from quota q
     where b.booking_id = new.booking_id and q.event_id = new.event_id and q.kind = 'ROOT';
    return null;
end
$$;
create trigger hold_stock after insert on booking for each row when (new.took_quota is null) execute function hold_stock();

create function let_stock_go() returns trigger language plpgsql as $$
begin
    new.took_quota := '{}';
    new.took_units := '{}';
    return new;
end
$$;
create trigger let_stock_go before update on booking for each row
    when (new.status in ('REJECTED', 'EXPIRED', 'CANCELLED') and old.status in ('PENDING', 'CONFIRMED')
          and new.took_units is not distinct from old.took_units)
    execute function let_stock_go();

-- The triggers of 0008 are for releases before that, which know no stock either. For those after it they
-- would be the larger part of a sale's work.
drop trigger carry_over_made on booking;
create trigger carry_over_made after insert on booking for each row when (new.took_quota is null)
    execute function carry_over_made();
drop trigger carry_over_moved on booking;
create trigger carry_over_moved after update on booking for each row
    when ((new.first_answer is distinct from old.first_answer
           or new.idempotency_key is distinct from old.idempotency_key
           or new.announced_at is distinct from old.announced_at
           or new.refund_due_at is distinct from old.refund_due_at
           or new.refunded_at is distinct from old.refunded_at)
          -- Confirmed by a release that keeps its answers in `request`.
          and (new.status = old.status or new.first_answer is distinct from old.first_answer
               or new.refund_due_at is distinct from old.refund_due_at))
    execute function carry_over_moved();

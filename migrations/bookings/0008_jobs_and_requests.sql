-- A deploy that can't lock `booking` at once fails, rather than have its buyers wait.
set local lock_timeout = '2s';

-- Background work and idempotency keys, each in a table of its own. Both rows are written by the statement
-- that makes or moves the booking, as the last ones: see the lock order in ARCHITECTURE.md.

-- Work that is left. A row is written with the change that it follows from and done with the change that
-- finishes it, so neither can be forgotten. `key` is the booking's id for SETTLE and REFUND, and `<id>.confirmed`
-- for ANNOUNCE.
create table job (
    job_id          bigint      generated always as identity primary key,
    kind            text        not null,
    key             text        not null,
    payload         jsonb       not null default '{}',
    attempts        integer     not null default 0,
    due_at          timestamptz not null default now(),
    next_attempt_at timestamptz not null default now(),
    done_at         timestamptz,
    constraint job_once unique (kind, key)
)
with (fillfactor = 80);

create index job_due on job (kind, next_attempt_at) where done_at is null;
create index job_done on job (done_at) where done_at is not null;

-- What a request with an idempotency key made, and what it was told.
create table request (
    caller          text        not null, -- 'user:17'
    route           text        not null,
    idempotency_key text        not null,
    request_hash    text        not null,
    resource_id     uuid        not null,
    -- The booking's status that the client was told; null while the request runs, or if it broke off.
    answer          text,
    created_at      timestamptz not null default now(),
    constraint request_pkey primary key (caller, route, idempotency_key)
);

create index request_resource on request (resource_id);
create index request_age on request (created_at);

grant select, insert, update, delete on job, request to admit_office;

-- Compiling a statement takes PostgreSQL longer than running it takes, for every statement here.
do $$
begin
    execute format('alter database %I set jit = off', current_database());
end
$$;

-- The release before this one keeps work and keys in columns of `booking`, and runs until the functions are
-- replaced. These triggers carry over what it writes, in its own statement. A later release drops them, with
-- the columns `idempotency_key`, `request_hash`, `first_answer`, `announced_at`, `attempts`, `next_attempt_at`.

create function carry_over_made() returns trigger language plpgsql as $$
begin
    if new.idempotency_key is not null then
        begin
            insert into request (caller, route, idempotency_key, request_hash, resource_id)
            values ('user:' || new.user_id, 'POST /bookings', new.idempotency_key, new.request_hash, new.booking_id);
        exception when unique_violation then
            -- The new release has a request with this key, and answers its repeats.
            raise exception 'a newer release has this key' using errcode = 'serialization_failure';
        end;
    end if;
    insert into job (kind, key, due_at, next_attempt_at)
    values ('SETTLE', new.booking_id::text, new.created_at + interval '1 minute', new.created_at + interval '1 minute')
        on conflict do nothing;
    return null;
end
$$;
create trigger carry_over_made after insert on booking for each row execute function carry_over_made();

create function carry_over_moved() returns trigger language plpgsql as $$
begin
    -- Also of a booking that the new release made, whose key is not in this row.
    update request
       set answer = case when new.status = 'CANCELLED' then 'CONFIRMED' else new.status end
     where resource_id = new.booking_id and (answer is null or answer = 'PENDING');
    if old.idempotency_key is not null and new.idempotency_key is null then
        delete from request where resource_id = new.booking_id;
    end if;
    if new.status <> 'PENDING' then
        update job set done_at = now() where kind = 'SETTLE' and key = new.booking_id::text and done_at is null;
    end if;
    if new.status = 'CONFIRMED' and new.announced_at is null then
        insert into job (kind, key) values ('ANNOUNCE', new.booking_id || '.confirmed') on conflict do nothing;
    end if;
    if new.announced_at is not null then
        update job set done_at = now() where kind = 'ANNOUNCE' and key = new.booking_id || '.confirmed' and done_at is null;
    end if;
    if new.refund_due_at is not null then
        insert into job (kind, key, due_at) values ('REFUND', new.booking_id::text, new.refund_due_at) on conflict do nothing;
    end if;
    if new.refunded_at is not null then
        update job set done_at = now() where kind = 'REFUND' and key = new.booking_id::text and done_at is null;
    end if;
    return null;
end
$$;
create trigger carry_over_moved after update on booking for each row
    when (new.first_answer is distinct from old.first_answer
          or new.idempotency_key is distinct from old.idempotency_key
          or new.announced_at is distinct from old.announced_at
          or new.refund_due_at is distinct from old.refund_due_at
          or new.refunded_at is distinct from old.refunded_at)
    execute function carry_over_moved();

create function carry_over_taken_back() returns trigger language plpgsql as $$
begin
    delete from request where resource_id = old.booking_id;
    delete from job where kind = 'SETTLE' and key = old.booking_id::text;
    return null;
end
$$;
create trigger carry_over_taken_back after delete on booking for each row execute function carry_over_taken_back();

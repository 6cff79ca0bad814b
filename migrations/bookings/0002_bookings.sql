-- Bookings. A row is its own outbox and its own to-do list: what is left to do for it can be read
-- from it, by the partial indexes below, so no second write can be forgotten.
create table booking (
    booking_id      uuid        primary key,
    user_id         bigint      not null,
    event_id        text        not null constraint booking_event references event,
    tickets         integer     not null constraint booking_tickets check (tickets > 0),
    amount_minor    bigint      not null constraint booking_amount check (amount_minor >= 0),
    currency        text        not null,
    status          text        not null
        constraint booking_status check (status in ('PENDING', 'CONFIRMED', 'REJECTED', 'EXPIRED', 'CANCELLED')),
    payment_id      uuid,
    created_at      timestamptz not null default now(),
    updated_at      timestamptz not null default now(),
    -- The request that made it, if it may be repeated.
    idempotency_key text,
    request_hash    text,
    -- The status code that this request was answered with; null while it runs, or if it broke off.
    first_answer    smallint,
    -- When the confirmation was handed to the broker.
    announced_at    timestamptz,
    -- When the money was given back, once it is due.
    refund_due_at   timestamptz,
    refunded_at     timestamptz,
    constraint booking_repeatable check ((idempotency_key is null) = (request_hash is null)),
    constraint booking_paid check (status <> 'CONFIRMED' or amount_minor = 0 or payment_id is not null),
    constraint booking_refund check (refunded_at is null or refund_due_at is not null)
)
with (fillfactor = 80);

-- One booking for one request, however often it is sent.
create unique index booking_request on booking (user_id, idempotency_key) where idempotency_key is not null;

-- A person's bookings, newest first.
create index booking_newest on booking (user_id, created_at desc, booking_id desc);

-- The sweep's three lists; each is nearly empty.
create index booking_unsettled on booking (created_at) where status = 'PENDING';
create index booking_unannounced on booking (updated_at) where status = 'CONFIRMED' and announced_at is null;
create index booking_refund_due on booking (refund_due_at) where refund_due_at is not null and refunded_at is null;

//! Reserve and its undos, undo_reserve and release: the only places where a pending booking's tickets
//! move.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use super::{Booking, BookingError, BookingRequest, BookingRow, Status, booking_rows};
use runtime::faults::FailPoint;
use stores::db::{self, Db};
use values::idempotency::IdempotentRequest;
use values::ids::{BookingId, EventId, PaymentId, UserId};
use values::tickets::Tickets;

/// The result of [`reserve`].
pub(super) enum Reservation {
    /// Tickets: the booking is PENDING and holds them.
    New(Booking),
    /// What this same request made before.
    Replay(StoredRequest),
}

/// A request with an idempotency key, the booking that it made, and what it was told.
pub(super) struct StoredRequest {
    pub booking: Booking,
    pub request_hash: String,
    /// None while the request runs, or if it broke off.
    pub answer: Option<Status>,
}

/// The name of this route in the table of requests.
const ROUTE: &str = "POST /bookings";

/// How often to try when a reservation failed and the tickets then turn out to be available.
const MAX_ATTEMPTS: u32 = 3;

/// Takes the tickets, makes the booking and keeps the request's key. The booking's settling is due after
/// `sweep_after`, unless it ended before.
///
/// If the outcome is unknown, the reservation is taken back, so that the key is free again: nothing
/// is charged yet. If that fails too, the sweep does it.
pub(super) async fn reserve(
    db: &Db,
    sweep_after: Duration,
    request: &BookingRequest,
    idempotency: Option<&IdempotentRequest>,
) -> Result<Reservation, BookingError> {
    let booking_id = BookingId::generate();
    let sent = AtomicBool::new(false);
    for _ in 0..MAX_ATTEMPTS {
        match try_to_reserve(db, sweep_after, booking_id, request, idempotency, &sent).await {
            Ok(Some(reserved)) => return Ok(reserved),
            // Tickets have come back since.
            Ok(None) => {}
            Err(error) => {
                if let BookingError::Database(cause) = &error
                    && db::is_unavailable(cause)
                    && sent.load(Ordering::Relaxed)
                {
                    drop(undo_reserve(db, booking_id).await);
                }
                return Err(error);
            }
        }
    }
    Err(BookingError::Contended)
}

/// Reserves in one statement, or returns the reason why it can't. Returns `None` if enough tickets came
/// back meanwhile. Sets `sent` once it has a connection: before that, there is nothing to undo.
///
/// The guard on `available` is checked again under the row's lock, so of any number of requests
/// for the last ticket one gets it. Of requests with the same key one inserts; the unique index
/// fails the others whole, tickets included. The booking's id was chosen before, so that the
/// statement is safe to repeat: it finds what it made itself.
async fn try_to_reserve(
    db: &Db,
    sweep_after: Duration,
    booking_id: BookingId,
    request: &BookingRequest,
    idempotency: Option<&IdempotentRequest>,
    sent: &AtomicBool,
) -> Result<Option<Reservation>, BookingError> {
    let reserved = booking_rows!(
        r#"
        with taken as (
            update event
               set available = available - $4
             where event_id = $3
               and available >= $4
               and max_tickets_per_booking >= $4
               and starts_at > now()
               and not exists (select from request where caller = $5 and route = $6 and idempotency_key = $7)
            returning event_id, price_minor, currency
        ), made as (
            insert into booking (booking_id, user_id, event_id, tickets, amount_minor, currency, status)
            select $1, $2, event_id, $4, price_minor * $4, currency, 'PENDING'
              from taken
            returning *
        ), kept as (
            insert into request (caller, route, idempotency_key, request_hash, resource_id)
            select $5, $6, $7, $8, booking_id
              from made
             where $7::text is not null
            returning resource_id
        ), unsettled as (
            insert into job (kind, key, due_at, next_attempt_at)
            select 'SETTLE', booking_id::text, now() + make_interval(secs => $9), now() + make_interval(secs => $9)
              from made
             where (select count(*) from kept) >= 0
        )
        select "#,
        "from made b",
        booking_id as BookingId,
        request.user_id as UserId,
        &request.event_id as &EventId,
        request.tickets as _,
        caller(request.user_id),
        ROUTE,
        idempotency.map(|idempotency| idempotency.key.as_str()),
        idempotency.map(|idempotency| idempotency.hash.as_str()),
        sweep_after.as_secs_f64(),
    )
    .fetch_optional(db.idempotent(FailPoint("Reserve")).noting(sent))
    .await;
    match reserved {
        Ok(Some(row)) => Ok(Some(Reservation::New(row.try_into()?))),
        Ok(None) => explain(db, booking_id, request, idempotency).await,
        Err(error)
            if db::violates(&error, "request_pkey") || db::violates(&error, "booking_pkey") =>
        {
            explain(db, booking_id, request, idempotency).await
        }
        Err(error) => Err(error.into()),
    }
}

/// Finds out why nothing was reserved. Returns `None` if another try could succeed now.
async fn explain(
    db: &Db,
    booking_id: BookingId,
    request: &BookingRequest,
    idempotency: Option<&IdempotentRequest>,
) -> Result<Option<Reservation>, BookingError> {
    if let Some(made) = made_before(db, booking_id, request, idempotency).await? {
        return Ok(Some(made));
    }
    let event = sqlx::query!(
        r#"
        select available, max_tickets_per_booking as most, starts_at <= now() as "begun!"
          from event
         where event_id = $1
        "#,
        &request.event_id as &EventId,
    )
    .fetch_optional(db.idempotent(FailPoint("ExplainEvent")))
    .await?
    .ok_or(BookingError::EventNotFound)?;
    if event.begun {
        Err(BookingError::SalesClosed)
    } else if request.tickets.count() > event.most {
        Err(BookingError::TooManyTickets { most: event.most })
    } else if request.tickets.count() > event.available {
        Err(BookingError::SoldOut)
    } else {
        Ok(None)
    }
}

/// What this request reserved already, on a first try that was not answered or when it was sent before.
async fn made_before(
    db: &Db,
    booking_id: BookingId,
    request: &BookingRequest,
    idempotency: Option<&IdempotentRequest>,
) -> Result<Option<Reservation>, BookingError> {
    let before = sqlx::query!(
        r#"
        select b.booking_id as "booking_id: BookingId", b.user_id as "user_id: UserId",
               b.event_id as "event_id: EventId", b.tickets as "tickets: Tickets", b.amount_minor, b.currency,
               b.status, b.payment_id as "payment_id: PaymentId", b.created_at,
               r.request_hash as "request_hash?", r.answer
          from booking b
          left join request r on r.resource_id = b.booking_id
         where b.booking_id = $1
            or b.booking_id = (select resource_id from request
                                where caller = $2 and route = $3 and idempotency_key = $4)
        "#,
        booking_id as BookingId,
        caller(request.user_id),
        ROUTE,
        idempotency.map(|idempotency| idempotency.key.as_str()),
    )
    .fetch_optional(db.idempotent(FailPoint("ExplainRequest")))
    .await?;
    let Some(row) = before else { return Ok(None) };
    let booking = Booking::try_from(BookingRow {
        booking_id: row.booking_id,
        user_id: row.user_id,
        event_id: row.event_id,
        tickets: row.tickets,
        amount_minor: row.amount_minor,
        currency: row.currency,
        status: row.status,
        payment_id: row.payment_id,
        created_at: row.created_at,
    })?;
    Ok(Some(match row.request_hash {
        Some(request_hash) if booking.booking_id != booking_id => {
            let answer = row.answer.map(|answer| db::column("answer", &answer));
            Reservation::Replay(StoredRequest {
                booking,
                request_hash,
                answer: answer.transpose()?,
            })
        }
        _ => Reservation::New(booking),
    }))
}

/// A user, as a caller in the table of requests.
fn caller(user: UserId) -> String {
    format!("user:{user}")
}

/// Takes back a reservation whose charge was refused before it began, as if the request had never
/// been made: a repeat of it, also with the same key, tries again.
///
/// Locks the event's row before the booking's, as `reserve` does (see ARCHITECTURE.md). So does
/// `release`.
pub(super) async fn undo_reserve(db: &Db, booking_id: BookingId) -> Result<(), BookingError> {
    sqlx::query!(
        r#"
        with held as materialized (
            select event_id, available
              from event
             where event_id = (select event_id from booking where booking_id = $1 and status = 'PENDING')
               for no key update
        ), unreserved as (
            delete from booking b
             using held
             where b.booking_id = $1 and b.status = 'PENDING' and b.event_id = held.event_id
            returning b.booking_id, b.event_id, b.tickets
        ), forgotten as (
            delete from request r
             using unreserved
             where r.resource_id = unreserved.booking_id
            returning r.resource_id
        ), dropped as (
            delete from job j
             using unreserved
             where j.kind = 'SETTLE' and j.key = unreserved.booking_id::text
               and (select count(*) from forgotten) >= 0
        )
        update event e
           set available = held.available + unreserved.tickets
          from held join unreserved using (event_id)
         where e.event_id = held.event_id
        "#,
        booking_id as BookingId,
    )
    .execute(db.idempotent(FailPoint("Unreserve")))
    .await?;
    Ok(())
}

/// Moves an unpaid booking to the status `end` and returns its tickets. Safe to repeat: the tickets go back
/// once. Returns `None` if the booking is no longer pending.
pub(super) async fn release(
    db: &Db,
    booking_id: BookingId,
    end: Status,
) -> Result<Option<Booking>, BookingError> {
    let released = booking_rows!(
        r#"
        with held as materialized (
            select event_id, available
              from event
             where event_id = (select event_id from booking where booking_id = $1 and status = 'PENDING')
               for no key update
        ), released as (
            update booking b
               set status = $2, payment_id = $3, updated_at = now()
              from held
             where b.booking_id = $1 and b.status = 'PENDING' and b.event_id = held.event_id
            returning b.*
        ), given_back as (
            update event e
               set available = held.available + released.tickets
              from held join released using (event_id)
             where e.event_id = held.event_id
        ), answered as (
            update request r
               set answer = released.status
              from released
             where r.resource_id = released.booking_id and (r.answer is null or r.answer = 'PENDING')
            returning r.resource_id
        ), settled as (
            update job j
               set done_at = now()
              from released
             where j.kind = 'SETTLE' and j.key = released.booking_id::text and j.done_at is null
               and (select count(*) from answered) >= 0
        )
        select "#,
        "from released b",
        booking_id as BookingId,
        end.as_ref(),
        PaymentId::of_booking(booking_id) as PaymentId,
    )
    .fetch_optional(db.idempotent(FailPoint("Release")))
    .await?;
    Ok(released.map(Booking::try_from).transpose()?)
}

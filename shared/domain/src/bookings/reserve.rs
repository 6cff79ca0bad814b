//! Reserve and its undos, undo_reserve and release: the only places where a pending booking's tickets
//! move.

use std::sync::atomic::{AtomicBool, Ordering};

use super::{Booking, BookingError, BookingRequest, Status, StoredBooking, booking_rows};
use runtime::faults::FailPoint;
use stores::db::{self, Db};
use values::idempotency::IdempotentRequest;
use values::ids::{BookingId, EventId, PaymentId, UserId};

/// The result of [`reserve`].
pub(super) enum Reservation {
    /// Tickets: the booking is PENDING and holds them.
    New(Booking),
    /// The booking that this same request made before.
    Replay(StoredBooking),
}

/// How often to try when a reservation failed and the tickets then turn out to be available.
const MAX_ATTEMPTS: u32 = 3;

/// Takes the tickets, makes the booking and keeps the request's key.
///
/// If the outcome is unknown, the reservation is taken back, so that the key is free again: nothing
/// is charged yet. If that fails too, the sweep does it.
pub(super) async fn reserve(
    db: &Db,
    request: &BookingRequest,
    idempotency: Option<&IdempotentRequest>,
) -> Result<Reservation, BookingError> {
    let booking_id = BookingId::generate();
    let sent = AtomicBool::new(false);
    for _ in 0..MAX_ATTEMPTS {
        match try_to_reserve(db, booking_id, request, idempotency, &sent).await {
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
    booking_id: BookingId,
    request: &BookingRequest,
    idempotency: Option<&IdempotentRequest>,
    sent: &AtomicBool,
) -> Result<Option<Reservation>, BookingError> {
    let reserved = db
        .idempotent(FailPoint::Reserve, |connection| {
            sent.store(true, Ordering::Relaxed);
            let statement = booking_rows!(
                r#"
                with taken as (
                    update event
                       set available = available - $4
                     where event_id = $3
                       and available >= $4
                       and max_tickets_per_booking >= $4
                       and starts_at > now()
                       and not exists (select from booking where user_id = $2 and idempotency_key = $5)
                    returning event_id, price_minor, currency
                )
                insert into booking as b (booking_id, user_id, event_id, tickets, amount_minor, currency,
                                          status, idempotency_key, request_hash)
                select $1, $2, event_id, $4, price_minor * $4, currency, 'PENDING', $5, $6
                  from taken
                returning "#,
                "",
                booking_id as BookingId,
                request.user_id as UserId,
                &request.event_id as &EventId,
                request.tickets as _,
                idempotency.map(|idempotency| idempotency.key.as_str()),
                idempotency.map(|idempotency| idempotency.hash.as_str()),
            );
            Box::pin(statement.fetch_optional(connection))
        })
        .await;
    match reserved {
        Ok(Some(row)) => Ok(Some(Reservation::New(
            StoredBooking::try_from(row)?.booking,
        ))),
        Ok(None) => explain(db, booking_id, request, idempotency).await,
        Err(error)
            if db::violates(&error, "booking_request") || db::violates(&error, "booking_pkey") =>
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
    let before = db
        .idempotent(FailPoint::ExplainRequest, |connection| {
            let statement = booking_rows!(
                "select",
                "from booking b where booking_id = $1 or (user_id = $2 and idempotency_key = $3)",
                booking_id as BookingId,
                request.user_id as UserId,
                idempotency.map(|idempotency| idempotency.key.as_str()),
            );
            Box::pin(statement.fetch_optional(connection))
        })
        .await?;
    if let Some(row) = before {
        let stored = StoredBooking::try_from(row)?;
        return Ok(Some(if stored.booking.booking_id == booking_id {
            // Reserved by this very request, whose first try was not answered.
            Reservation::New(stored.booking)
        } else {
            Reservation::Replay(stored)
        }));
    }
    let event = db
        .idempotent(FailPoint::ExplainEvent, |connection| {
            let statement = sqlx::query!(
                r#"
                select available, max_tickets_per_booking as most, starts_at <= now() as "begun!"
                  from event
                 where event_id = $1
                "#,
                &request.event_id as &EventId,
            );
            Box::pin(statement.fetch_optional(connection))
        })
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

/// Takes back a reservation whose charge was refused before it began, as if the request had never
/// been made: a repeat of it, also with the same key, tries again.
///
/// Locks the event's row before the booking's, as `reserve` does (see ARCHITECTURE.md). So does
/// `release`.
pub(super) async fn undo_reserve(db: &Db, booking_id: BookingId) -> Result<(), BookingError> {
    db.idempotent(FailPoint::Unreserve, |connection| {
        let statement = sqlx::query!(
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
                returning b.event_id, b.tickets
            )
            update event e
               set available = held.available + unreserved.tickets
              from held join unreserved using (event_id)
             where e.event_id = held.event_id
            "#,
            booking_id as BookingId,
        );
        Box::pin(statement.execute(connection))
    })
    .await?;
    Ok(())
}

/// Moves an unpaid booking to the status `end` and returns its tickets. Safe to repeat: the tickets go back
/// once. Returns `None` if the booking is no longer pending.
pub(super) async fn release(
    db: &Db,
    booking_id: BookingId,
    end: Status,
) -> Result<Option<StoredBooking>, BookingError> {
    let released = db
        .idempotent(FailPoint::Release, |connection| {
            let statement = booking_rows!(
                r#"
                with held as materialized (
                    select event_id, available
                      from event
                     where event_id = (select event_id from booking where booking_id = $1 and status = 'PENDING')
                       for no key update
                ), released as (
                    update booking b
                       set status = $2, payment_id = $3, updated_at = now(), first_answer = 402
                      from held
                     where b.booking_id = $1 and b.status = 'PENDING' and b.event_id = held.event_id
                    returning b.*
                ), given_back as (
                    update event e
                       set available = held.available + released.tickets
                      from held join released using (event_id)
                     where e.event_id = held.event_id
                )
                select "#,
                "from released b",
                booking_id as BookingId,
                end.as_str(),
                PaymentId::of_booking(booking_id) as PaymentId,
            );
            Box::pin(statement.fetch_optional(connection))
        })
        .await?;
    Ok(released.map(StoredBooking::try_from).transpose()?)
}

//! Reserve and its undos, unreserve and release: the only places where a pending booking's tickets
//! move.

use super::{Booking, BookingError, BookingRequest, Status, Stored, booking_rows};
use crate::db::{self, Db};
use crate::faults::Point;
use crate::idempotency::Repeatable;
use crate::ids::{BookingId, EventId, PaymentId, UserId};

/// What a request for tickets found.
pub(super) enum Reserved {
    /// Tickets: the booking is PENDING and holds them.
    Tickets(Booking),
    /// The booking that this same request made before.
    Before(Stored),
}

/// Takes the tickets, makes the booking and keeps the request's key, in one statement.
///
/// The guard on `available` is checked again under the row's lock, so of any number of requests
/// for the last ticket one gets it. Of requests with the same key one inserts; the unique index
/// fails the others whole, tickets included. The booking's id is chosen here, so that the statement
/// is safe to repeat: it finds what it made itself.
pub(super) async fn reserve(
    db: &Db,
    request: &BookingRequest,
    repeatable: Option<&Repeatable>,
) -> Result<Reserved, BookingError> {
    let booking_id = BookingId::generate();
    let reserved = db
        .repeatable(Point::Reserve, |connection| {
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
                repeatable.map(|repeatable| repeatable.key.as_str()),
                repeatable.map(|repeatable| repeatable.hash.as_str()),
            );
            Box::pin(statement.fetch_optional(connection))
        })
        .await;
    match reserved {
        Ok(Some(row)) => Ok(Reserved::Tickets(Stored::try_from(row)?.booking)),
        Ok(None) => explain(db, booking_id, request, repeatable).await,
        Err(error)
            if db::violates(&error, "booking_request") || db::violates(&error, "booking_pkey") =>
        {
            explain(db, booking_id, request, repeatable).await
        }
        Err(error) => {
            if db::is_unavailable(&error) {
                // It may have been done all the same. Nothing is charged yet, so that it can be undone,
                // and the key be free again; what can't be undone now is swept.
                drop(unreserve(db, booking_id).await);
            }
            Err(error.into())
        }
    }
}

/// Why nothing was reserved.
async fn explain(
    db: &Db,
    booking_id: BookingId,
    request: &BookingRequest,
    repeatable: Option<&Repeatable>,
) -> Result<Reserved, BookingError> {
    let before = db
        .repeatable(Point::ExplainRequest, |connection| {
            let statement = booking_rows!(
                "select",
                "from booking b where booking_id = $1 or (user_id = $2 and idempotency_key = $3)",
                booking_id as BookingId,
                request.user_id as UserId,
                repeatable.map(|repeatable| repeatable.key.as_str()),
            );
            Box::pin(statement.fetch_optional(connection))
        })
        .await?;
    if let Some(row) = before {
        let stored = Stored::try_from(row)?;
        return Ok(if stored.booking.booking_id == booking_id {
            // Reserved by this very request, whose first try was not answered.
            Reserved::Tickets(stored.booking)
        } else {
            Reserved::Before(stored)
        });
    }
    let event = db
        .repeatable(Point::ExplainEvent, |connection| {
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
    } else if request.tickets.0 > event.most {
        Err(BookingError::TooManyTickets { most: event.most })
    } else if repeatable.is_some() && event.available >= request.tickets.0 {
        // Its twin had reserved, and took the reservation back meanwhile: a repeat finds how that ended.
        Err(BookingError::InProgress)
    } else {
        // Tickets that came back since are not what this request found.
        Err(BookingError::SoldOut {
            left: event.available.min(request.tickets.0 - 1),
        })
    }
}

/// Takes back a reservation whose charge was refused before it began, as if the request had never
/// been made: a repeat of it, also with the same key, tries again.
pub(super) async fn unreserve(db: &Db, booking_id: BookingId) -> Result<(), BookingError> {
    db.repeatable(Point::Unreserve, |connection| {
        let statement = sqlx::query!(
            r#"
            with unreserved as (
                delete from booking
                 where booking_id = $1 and status = 'PENDING'
                returning event_id, tickets
            )
            update event e
               set available = e.available + unreserved.tickets
              from unreserved
             where e.event_id = unreserved.event_id
            "#,
            booking_id as BookingId,
        );
        Box::pin(statement.execute(connection))
    })
    .await?;
    Ok(())
}

/// Ends a booking that is not paid, as `end` says, and gives its tickets back: once, however often
/// it is called. `None` where the booking is not pending any more.
pub(super) async fn release(
    db: &Db,
    booking_id: BookingId,
    end: Status,
    answer: Option<u16>,
) -> Result<Option<Booking>, BookingError> {
    let released = db
        .repeatable(Point::Release, |connection| {
            let statement = booking_rows!(
                r#"
                with released as (
                    update booking
                       set status = $2, payment_id = $3, updated_at = now(),
                           first_answer = coalesce(first_answer, $4)
                     where booking_id = $1 and status = 'PENDING'
                    returning *
                ), given_back as (
                    update event e
                       set available = e.available + released.tickets
                      from released
                     where e.event_id = released.event_id
                )
                select "#,
                "from released b",
                booking_id as BookingId,
                end.as_str(),
                PaymentId::of_booking(booking_id) as PaymentId,
                answer.map(|status| status as i16),
            );
            Box::pin(statement.fetch_optional(connection))
        })
        .await?;
    Ok(released
        .map(Stored::try_from)
        .transpose()?
        .map(|stored| stored.booking))
}

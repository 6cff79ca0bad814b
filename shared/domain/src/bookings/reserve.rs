//! Reserve and its undos, undo_reserve and release: the only places where a pending booking's tickets
//! move.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use super::stock::giving_back;
use super::{Booking, BookingRequest, BookingRow, Status, booking_rows, stock};
use runtime::faults::FailPoint;
use stores::db::{self, Db};
use values::idempotency::IdempotentRequest;
use values::ids::{BookingId, EventId, PaymentId, UserId};
use values::tickets::Tickets;

/// The result of [`reserve`].
#[derive(Debug)]
pub enum Reservation {
    /// Tickets: the booking is PENDING and holds them.
    New(Booking),
    /// What this same request made before.
    Replay(StoredRequest),
}

/// Why no tickets were reserved.
#[derive(Debug, thiserror::Error)]
pub enum ReserveError {
    #[error("there is no such event")]
    EventNotFound,
    #[error("the event has begun")]
    SalesClosed,
    #[error("at most {most} tickets a booking")]
    TooManyTickets { most: i32 },
    #[error("not enough tickets are left")]
    SoldOut,
    #[error("tickets kept being taken and returned: whether they are sold out is unknown")]
    Contended,
    #[error("the booking store")]
    Database(#[from] sqlx::Error),
}

/// A request with an idempotency key, the booking that it made, and what it was told.
#[derive(Debug)]
pub struct StoredRequest {
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
///
/// # Errors
/// Nothing was reserved.
pub async fn reserve(
    db: &Db,
    sweep_after: Duration,
    request: &BookingRequest,
    idempotency: Option<&IdempotentRequest>,
) -> Result<Reservation, ReserveError> {
    let sent = AtomicBool::new(false);
    let attempt = Attempt {
        db,
        sweep_after,
        booking_id: BookingId::generate(),
        request,
        idempotency,
        sent: &sent,
    };
    for _ in 0..MAX_ATTEMPTS {
        match attempt.reserve().await {
            Ok(Some(reserved)) => return Ok(reserved),
            // Tickets have come back since, or were moved in.
            Ok(None) => {}
            Err(error) => {
                if let ReserveError::Database(cause) = &error
                    && db::is_unavailable(cause)
                    && sent.load(Ordering::Relaxed)
                {
                    drop(undo_reserve(db, attempt.booking_id).await);
                }
                return Err(error);
            }
        }
    }
    Err(ReserveError::Contended)
}

/// A request for tickets. The booking's id is chosen before, so that each statement is safe to repeat: it
/// finds what it made itself.
struct Attempt<'r> {
    db: &'r Db,
    sweep_after: Duration,
    booking_id: BookingId,
    request: &'r BookingRequest,
    idempotency: Option<&'r IdempotentRequest>,
    /// Set once there is a connection: before that, there is nothing to undo.
    sent: &'r AtomicBool,
}

/// The statement that reserves. `$taken` holds the CTEs that take stock. They read `offer` and end in `taken`,
/// which returns the quota's id if all tickets were taken, else no row.
///
/// Of several requests with one key, one inserts. The unique index makes the other statements fail, so they
/// take no tickets.
macro_rules! reserve_by {
    ($attempt:expr, $point:expr, $taken:tt) => {{
        let Attempt { db, request, idempotency, .. } = $attempt;
        booking_rows!(
            r#"
            with offer as (
                select e.event_id, e.price_minor, e.currency, q.quota_id
                  from event e
                  join quota q on q.event_id = e.event_id and q.kind = 'ROOT'
                 where e.event_id = $3
                   and e.max_tickets_per_booking >= $4
                   and e.starts_at > now()
                   and not exists (select from request where caller = $5 and route = $6 and idempotency_key = $7)
            ), "# + $taken + r#", made as (
                insert into booking (booking_id, user_id, event_id, tickets, amount_minor, currency, status,
                                     took_quota, took_units)
                select $1, $2, event_id, $4, price_minor * $4, currency, 'PENDING', array[quota_id], array[$4]
                  from offer join taken using (quota_id)
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
            $attempt.booking_id as BookingId,
            request.user_id as UserId,
            &request.event_id as &EventId,
            request.tickets as _,
            caller(request.user_id),
            ROUTE,
            idempotency.map(|idempotency| idempotency.key.as_str()),
            idempotency.map(|idempotency| idempotency.hash.as_str()),
            $attempt.sweep_after.as_secs_f64(),
        )
        .fetch_optional(db.idempotent($point).noting($attempt.sent))
        .await
    }};
}

impl Attempt<'_> {
    /// Reserves, or returns the reason why it can't. Returns `None` if another try could succeed now.
    async fn reserve(&self) -> Result<Option<Reservation>, ReserveError> {
        if let Some(made) = self.or_explain(self.take_from_one().await).await? {
            return Ok(Some(made));
        }
        self.or_explain(self.take_from_all().await).await
    }

    /// Takes the tickets from one shard that nobody else holds and that has enough. This is how nearly
    /// all tickets are sold: nobody waits for anybody.
    async fn take_from_one(&self) -> Result<Option<BookingRow>, sqlx::Error> {
        reserve_by!(
            self,
            FailPoint("Reserve"),
            r#"locked as (
                select s.quota_id, s.shard, s.free
                  from offer
                  cross join lateral (
                        select quota_id, shard, free
                          from stock
                         where stock.quota_id = offer.quota_id and free >= $4
                         order by random()
                         limit 1
                           for no key update skip locked) s
            ), taken as (
                update stock s
                   set free = locked.free - $4
                  from locked
                 where s.quota_id = locked.quota_id and s.shard = locked.shard
                returning s.quota_id
            )"#
        )
    }

    /// Waits for all shards, in their order, and takes from as many as it needs: so nobody is told that tickets
    /// are sold out while others hold the rows with the rest, or while no row alone has enough.
    async fn take_from_all(&self) -> Result<Option<BookingRow>, sqlx::Error> {
        reserve_by!(
            self,
            FailPoint("ReserveFromAll"),
            r#"locked as materialized (
                select s.quota_id, s.shard, s.free
                  from stock s
                 where s.quota_id in (select quota_id from offer)
                 order by s.quota_id, s.shard
                   for no key update
            ), running as (
                select *, coalesce(sum(free) over (order by shard rows between unbounded preceding and 1 preceding), 0)::int as before
                  from locked
            ), enough as (
                select quota_id from locked group by quota_id having sum(free) >= $4
            ), lowered as (
                update stock s
                   set free = r.free - least(r.free, $4 - r.before)
                  from running r join enough using (quota_id)
                 where s.quota_id = r.quota_id and s.shard = r.shard and r.free > 0 and r.before < $4
                returning s.quota_id
            ), taken as (
                select distinct quota_id from lowered
            )"#
        )
    }

    /// What was reserved, or why nothing was. Returns `None` if another try could succeed now.
    async fn or_explain(
        &self,
        reserved: Result<Option<BookingRow>, sqlx::Error>,
    ) -> Result<Option<Reservation>, ReserveError> {
        match reserved {
            Ok(Some(row)) => Ok(Some(Reservation::New(row.try_into()?))),
            Ok(None) => explain(self.db, self.booking_id, self.request, self.idempotency).await,
            Err(error)
                if db::violates(&error, "request_pkey") || db::violates(&error, "booking_pkey") =>
            {
                explain(self.db, self.booking_id, self.request, self.idempotency).await
            }
            Err(error) => Err(error.into()),
        }
    }
}

/// Finds out why nothing was reserved. Returns `None` if another try could succeed now. If stock alone is too
/// small, it first moves in a part of `event.available`.
async fn explain(
    db: &Db,
    booking_id: BookingId,
    request: &BookingRequest,
    idempotency: Option<&IdempotentRequest>,
) -> Result<Option<Reservation>, ReserveError> {
    if let Some(made) = made_before(db, booking_id, request, idempotency).await? {
        return Ok(Some(made));
    }
    let event = sqlx::query!(
        r#"
        select max_tickets_per_booking as most, starts_at <= now() as "begun!", available as outside,
               (select coalesce(sum(free), 0)::int from quota join stock using (quota_id)
                 where quota.event_id = event.event_id and kind = 'ROOT') as "free!"
          from event
         where event_id = $1
        "#,
        &request.event_id as &EventId,
    )
    .fetch_optional(db.idempotent(FailPoint("ExplainEvent")))
    .await?
    .ok_or(ReserveError::EventNotFound)?;
    if event.begun {
        Err(ReserveError::SalesClosed)
    } else if request.tickets.count() > event.most {
        Err(ReserveError::TooManyTickets { most: event.most })
    } else if request.tickets.count() > event.outside + event.free {
        Err(ReserveError::SoldOut)
    } else {
        if request.tickets.count() > event.free {
            stock::move_in(db, &request.event_id, request.tickets.count()).await?;
        }
        Ok(None)
    }
}

/// What this request reserved already, on a first try that was not answered or when it was sent before.
async fn made_before(
    db: &Db,
    booking_id: BookingId,
    request: &BookingRequest,
    idempotency: Option<&IdempotentRequest>,
) -> Result<Option<Reservation>, sqlx::Error> {
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

/// Takes back a reservation that was not heard of, as if the request had never been made: a repeat of it, also with
/// the same key, tries again.
pub(super) async fn undo_reserve(db: &Db, booking_id: BookingId) -> Result<(), sqlx::Error> {
    giving_back!(
        "from booking b where b.booking_id = $1 and b.status = 'PENDING'",
        "delete from booking b using held",
        r#"forgotten as (
            delete from request r
             using ended
             where r.resource_id = ended.booking_id
               and (select count(*) from given_back) >= 0
            returning r.resource_id
        ), dropped as (
            delete from job j
             using ended
             where j.kind = 'SETTLE' and j.key = ended.booking_id::text
               and (select count(*) from forgotten) >= 0
        )"#,
        booking_id as BookingId,
    )
    .fetch_optional(db.idempotent(FailPoint("Unreserve")))
    .await?;
    Ok(())
}

/// Moves an unpaid booking to the status `end` and returns its tickets. Safe to repeat: the tickets go back
/// once. Returns `None` if the booking is no longer pending.
pub(super) async fn release(
    db: &Db,
    booking_id: BookingId,
    end: Status,
) -> Result<Option<Booking>, sqlx::Error> {
    let released = giving_back!(
        "from booking b where b.booking_id = $1 and b.status = 'PENDING'",
        r#"update booking b
               set status = $2, payment_id = $3, took_quota = '{}', took_units = '{}', updated_at = now()
              from held"#,
        r#"answered as (
            update request r
               set answer = ended.status
              from ended
             where r.resource_id = ended.booking_id and (r.answer is null or r.answer = 'PENDING')
               and (select count(*) from given_back) >= 0
            returning r.resource_id
        ), settled as (
            update job j
               set done_at = now()
              from ended
             where j.kind = 'SETTLE' and j.key = ended.booking_id::text and j.done_at is null
               and (select count(*) from answered) >= 0
        )"#,
        booking_id as BookingId,
        end.as_ref(),
        PaymentId::of_booking(booking_id) as PaymentId,
    )
    .fetch_optional(db.idempotent(FailPoint("Release")))
    .await?;
    released.map(Booking::try_from).transpose()
}

//! Reserve and its undos, undo_reserve and release: the only places where a pending booking's tickets
//! move.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use super::lines::{LineState, Lines};
use super::stock::giving_back;
use super::{Booking, BookingRequest, BookingRow, Status, booking_rows, expire, stock};
use crate::events::Label;
use crate::payments::MAX_AMOUNT;
use crate::users::Email;
use runtime::faults::FailPoint;
use runtime::telemetry;
use stores::db::{self, Db};
use values::idempotency::IdempotentRequest;
use values::ids::{BookingId, EventId, PaymentId, PromoCode, TicketTypeId, UserId};
use values::money::{Money, MoneyError};
use values::tickets::Tickets;

/// The result of [`reserve`].
#[derive(Debug)]
pub enum Reservation {
    /// The tickets are taken: the booking is PENDING, or HELD if it is a hold.
    New(Booking),
    /// What this same request made before.
    Replay(StoredRequest),
}

/// Why no tickets were reserved.
#[derive(Debug, thiserror::Error)]
pub enum ReserveError {
    #[error("there is no such event")]
    EventNotFound,
    /// Also returned for a type that is neither public nor unlocked by the request's code.
    #[error("the event has no such ticket type: item {item}")]
    TypeNotFound { item: usize },
    #[error("the event has begun")]
    SalesClosed,
    #[error("the type {ticket_type} is not on sale now")]
    NotOnSale { ticket_type: String },
    #[error("a type must be {least} to {most} tickets")]
    /// The item is `None` in a request without items.
    OutsideOrder {
        item: Option<usize>,
        least: i32,
        most: i32,
    },
    #[error("at most {most} tickets a booking")]
    TooManyTickets { most: i32, of_items: bool },
    /// The type is `None` where it is the default one, of a request without items.
    #[error("not enough tickets are left")]
    SoldOut {
        ticket_type: Option<(TicketTypeId, String)>,
    },
    #[error("the promo code is not valid for the event now")]
    PromoInvalid,
    #[error("the promo code does not apply to these tickets")]
    PromoForOthers,
    #[error("the promo code has not enough uses left")]
    PromoUsedUp,
    #[error("the tickets cost {amount}")]
    PriceChanged { amount: Money },
    #[error("the expected amount is none of the event's currency")]
    ExpectedAmount(#[from] MoneyError),
    #[error("at most {most} tickets a person, and this one has {have}")]
    PurchaseLimit { most: i32, have: i32 },
    /// A person has one open hold of an event at most.
    #[error("the person holds tickets of the event already")]
    HoldOpen { booking_id: BookingId },
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
const MAX_TRIES: u32 = 3;

/// Takes the tickets, makes the booking and keeps the request's key. The booking's settling is due after
/// `sweep_after`, unless it ended before.
///
/// If the outcome is unknown, the reservation is taken back, so that the key is free again: nothing
/// is charged yet. If that fails too, the sweep does it.
pub async fn reserve(
    db: &Db,
    sweep_after: Duration,
    request: &BookingRequest,
    idempotency: Option<&IdempotentRequest>,
) -> Result<Reservation, ReserveError> {
    let expected = expected_amount(db, request).await?;
    let sent = AtomicBool::new(false);
    let wanted = Wanted {
        expected_minor: expected.map(Money::minor),
        db,
        sweep_after,
        booking_id: BookingId::generate(),
        request,
        lines: &Lines::of(request),
        idempotency,
        sent: &sent,
    };
    for _ in 0..MAX_TRIES {
        match wanted.reserve().await {
            Ok(Some(reserved)) => return Ok(reserved),
            // Tickets have come back since, or were moved in.
            Ok(None) => {}
            Err(error) => {
                if let ReserveError::Database(cause) = &error
                    && db::is_unavailable(cause)
                    && sent.load(Ordering::Relaxed)
                    && let Err(error) = undo_reserve(db, wanted.booking_id).await
                {
                    let error = telemetry::chain(&error);
                    tracing::warn!(error, "reservation not undone; the sweep settles it");
                }
                return Err(error);
            }
        }
    }
    Err(ReserveError::Contended)
}

/// The amount that the client expects, in the event's currency.
async fn expected_amount(db: &Db, request: &BookingRequest) -> Result<Option<Money>, ReserveError> {
    let Some(expected) = request.expected_amount else {
        return Ok(None);
    };
    let currency = sqlx::query_scalar!(
        "select currency from event where event_id = $1",
        &request.event_id as &EventId,
    )
    .fetch_optional(db.idempotent(FailPoint("GetCurrency")))
    .await?
    .ok_or(ReserveError::EventNotFound)?;
    let currency = db::column("currency", &currency)?;
    Ok(Some(Money::new(expected, currency, MAX_AMOUNT)?))
}

/// A request for tickets. The booking's id is chosen before, so that each statement is safe to repeat: it
/// finds what it made itself.
struct Wanted<'r> {
    db: &'r Db,
    sweep_after: Duration,
    booking_id: BookingId,
    request: &'r BookingRequest,
    lines: &'r Lines,
    idempotency: Option<&'r IdempotentRequest>,
    expected_minor: Option<i64>,
    /// Set once there is a connection: before that, there is nothing to undo.
    sent: &'r AtomicBool,
}

/// The statement that reserves.
///
/// It finds the types of the basket's lines (`item`), and what they need of each quota (`want`). `want` is empty
/// unless every line can be bought now. `$taken` holds the CTEs that take stock: they read `want` and end in `taken`,
/// which has rows only if all of `want` was taken.
///
/// Of several requests with one key, one inserts it. The unique index makes the other statements fail, so they take
/// no tickets.
macro_rules! reserve_by {
    ($wanted:expr, $point:expr, $taken:tt) => {{
        let Wanted { db, request, lines, idempotency, .. } = $wanted;
        booking_rows!(
            r#"
            with basket as (
                select * from unnest($4::uuid[], $5::int[]) as line (ticket_type_id, quantity)
            ), sale as (
                select event_id, currency, max_tickets_per_booking as most, hold_seconds, max_per_user
                  from event
                 where event_id = $3
                   and status = 'ON_SALE' and starts_at > now()
                   and not exists (select from request where caller = $6 and route = $7 and idempotency_key = $8)
            ), item as (
                select t.ticket_type_id, basket.quantity, price_with_code(t.price_minor, o.kind, o.value) as unit_minor,
                       t.tax_rate_bp, o.code, o.counts, o.quota_id as code_quota
                  from sale
                  join ticket_type t using (event_id)
                  join basket on basket.ticket_type_id = t.ticket_type_id
                              or basket.ticket_type_id is null and t.is_default
                  left join promo_code_offer o
                         on o.event_id = t.event_id and o.code = $12 and o.ticket_type_id = t.ticket_type_id
                 where (t.access = 'PUBLIC' or t.access = 'CODE' and o.unlocks) and t.archived_at is null
                   and (t.sale_from <= now()) is not false and (now() < t.sale_until) is not false
                   and basket.quantity between t.min_per_order and coalesce(t.max_per_order, sale.most)
            ), want as (
                select quota_id, sum(need)::int as need
                  from (select quota_id, item.quantity * units as need
                          from item join ticket_type_quota using (ticket_type_id)
                         union all
                        select code_quota, case counts when 'ORDERS' then 1 else sum(quantity) end
                          from item
                         where code_quota is not null
                         group by code_quota, counts) part
                 where (select count(*) from item) = (select count(*) from basket)
                   and (select sum(quantity) from basket) <= (select most from sale)
                   and ($12::text is null or exists (select from item where code is not null))
                   and ($13::bigint is null or (select sum(quantity * unit_minor) from item) = $13)
                 group by quota_id
            ), "# + $taken + r#", counted as (
                insert into purchase as p (event_id, user_id, tickets, most, open_holds)
                select event_id, $2, (select sum(quantity) from basket), coalesce(max_per_user, 2147483647), $11::bool::int
                  from sale
                 where exists (select from taken) and ($11::bool or max_per_user is not null)
                    on conflict (event_id, user_id) do update
                   set tickets = p.tickets + excluded.tickets, open_holds = p.open_holds + excluded.open_holds,
                       -- The limit of today, but never below what the person has: so that it can be given back.
                       most = greatest(excluded.most, p.tickets)
                returning p.user_id
            ), made as (
                insert into booking (booking_id, user_id, event_id, tickets, amount_minor, currency, status,
                                     took_quota, took_units, hold_until, counted, promo_code, contact_name,
                                     contact_email)
                select $1, $2, event_id, (select sum(quantity) from basket),
                       (select sum(quantity * unit_minor) from item), currency,
                       case when $11::bool then 'HELD' else 'PENDING' end,
                       (select array_agg(quota_id order by quota_id) from want),
                       (select array_agg(need order by quota_id) from want),
                       case when $11::bool then now() + make_interval(secs => hold_seconds) end,
                       case when exists (select from counted) then (select sum(quantity) from basket) else 0 end,
                       $12, $14, $15
                  from sale
                 where exists (select from taken)
                returning *
            ), items as (
                insert into booking_item (booking_id, ticket_type_id, quantity, unit_minor, tax_rate_bp)
                select made.booking_id, ticket_type_id, quantity, unit_minor, tax_rate_bp
                  from made, item
                 where tax_rate_bp > 0 or not exists (select from basket where basket.ticket_type_id is null)
            ), kept as (
                insert into request (caller, route, idempotency_key, request_hash, resource_id, answer)
                select $6, $7, $8, $9, booking_id, case when $11::bool then 'HELD' end
                  from made
                 where $8::text is not null
                returning resource_id
            ), unsettled as (
                insert into job (kind, key, due_at, next_attempt_at)
                select case when $11::bool then 'EXPIRE' else 'SETTLE' end, booking_id::text, due, due
                  from made, coalesce(hold_until, now() + make_interval(secs => $10)) as due
                 where (select count(*) from kept) >= 0
            )
            select "#,
            "from made b",
            $wanted.booking_id as BookingId,
            request.user_id as UserId,
            &request.event_id as &EventId,
            &lines.types as &[Option<TicketTypeId>],
            &lines.quantities,
            caller(request.user_id),
            ROUTE,
            idempotency.map(|idempotency| idempotency.key.as_str()),
            idempotency.map(|idempotency| idempotency.hash.as_str()),
            $wanted.sweep_after.as_secs_f64(),
            request.hold.unwrap_or_default(),
            request.promo_code.as_ref() as Option<&PromoCode>,
            $wanted.expected_minor,
            request.contact.name.as_ref() as Option<&Label>,
            request.contact.email.as_ref() as Option<&Email>,
        )
        .fetch_optional(db.idempotent($point).noting($wanted.sent))
        .await
    }};
}

impl Wanted<'_> {
    /// Reserves, or returns the reason why it can't. Returns `None` if another try could succeed now.
    async fn reserve(&self) -> Result<Option<Reservation>, ReserveError> {
        if let Some(made) = self.or_explain(self.take_from_one().await).await? {
            return Ok(Some(made));
        }
        self.or_explain(self.take_from_all().await).await
    }

    /// Takes the tickets from one shard of each quota that nobody else holds and that has enough. This is how nearly
    /// all tickets are sold: nobody waits for anybody.
    async fn take_from_one(&self) -> Result<Option<BookingRow>, sqlx::Error> {
        reserve_by!(
            self,
            FailPoint("Reserve"),
            r#"locked as materialized (
                select want.quota_id, want.need, s.shard, s.free
                  from want
                  cross join lateral (
                        select shard, free
                          from stock
                         where stock.quota_id = want.quota_id and free >= want.need
                         order by random()
                         limit 1
                           for no key update skip locked) s
            ), taken as (
                update stock s
                   set free = locked.free - locked.need
                  from locked
                 where s.quota_id = locked.quota_id and s.shard = locked.shard
                   and (select count(*) from locked) = (select count(*) from want)
                returning s.quota_id
            )"#
        )
    }

    /// Locks all shards in order, waits for those that others have locked, and takes from as many as it needs. So
    /// nobody is told that tickets are sold out while others have the remaining rows locked, or while no single row
    /// has enough.
    async fn take_from_all(&self) -> Result<Option<BookingRow>, sqlx::Error> {
        reserve_by!(
            self,
            FailPoint("ReserveFromAll"),
            r#"locked as materialized (
                select s.quota_id, s.shard, s.free
                  from stock s
                 where s.quota_id in (select quota_id from want)
                 order by s.quota_id, s.shard
                   for no key update
            ), running as (
                select locked.*, want.need,
                       coalesce(sum(free) over (partition by quota_id order by shard
                                                rows between unbounded preceding and 1 preceding), 0)::int as before
                  from locked join want using (quota_id)
            ), enough as (
                select quota_id from running group by quota_id, need having sum(free) >= need
            ), taken as (
                update stock s
                   set free = r.free - least(r.free, r.need - r.before)
                  from running r
                 where s.quota_id = r.quota_id and s.shard = r.shard and r.free > 0 and r.before < r.need
                   and (select count(*) from enough) = (select count(*) from want)
                returning s.quota_id
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
            Ok(None) => self.explain().await,
            Err(error)
                if db::violates(&error, "request_pkey") || db::violates(&error, "booking_pkey") =>
            {
                self.explain().await
            }
            Err(error)
                if db::violates(&error, "purchase_within_limit")
                    || db::violates(&error, "purchase_one_hold") =>
            {
                self.explain_purchase(db::violates(&error, "purchase_one_hold"))
                    .await
            }
            Err(error) => Err(error.into()),
        }
    }

    /// Finds out why the person can't have these tickets in addition to what they have. Returns `None` if another try
    /// could succeed now, or the reservation if this same request has already made it.
    async fn explain_purchase(&self, one_hold: bool) -> Result<Option<Reservation>, ReserveError> {
        let Self { db, request, .. } = self;
        let before = made_before(db, self.booking_id, request, self.idempotency).await?;
        if let Some(made) = before {
            return Ok(Some(made));
        }
        let open = expire::open_of(db, request.user_id, &request.event_id).await?;
        if let Some(open) = open.as_ref().filter(|open| open.due) {
            expire::expire(db, open.booking_id).await?;
            return Ok(None);
        }
        if let Some(open) = open.filter(|_| one_hold) {
            let booking_id = open.booking_id;
            return Err(ReserveError::HoldOpen { booking_id });
        }
        let limit = sqlx::query!(
            r#"
            select max_per_user, coalesce(tickets, 0) as "have!"
              from event e
              left join purchase p on p.event_id = e.event_id and p.user_id = $2
             where e.event_id = $1
            "#,
            &request.event_id as &EventId,
            request.user_id as UserId,
        )
        .fetch_optional(db.idempotent(FailPoint("GetPurchase")))
        .await?;
        let wanted: i32 = self.lines.quantities.iter().sum();
        match limit.and_then(|limit| Some((limit.max_per_user?, limit.have))) {
            Some((most, have)) if !one_hold && wanted > most - have => {
                Err(ReserveError::PurchaseLimit { most, have })
            }
            // What stood in the way has gone back since: try again.
            _ => Ok(None),
        }
    }

    /// The current state of each line. Ends overdue holds first, so that they keep no tickets from anybody. Before it
    /// reports anything as sold out, it ends all of them.
    async fn state_without_due_holds(&self) -> Result<Vec<LineState>, sqlx::Error> {
        let Self {
            db, request, lines, ..
        } = self;
        loop {
            let more = expire::expire_due(db, &request.event_id).await?;
            let code = request.promo_code.as_ref();
            let lines = lines.state(db, &request.event_id, code).await?;
            if !more || !lines.iter().any(|line| line.sold_out || line.code_used_up) {
                return Ok(lines);
            }
        }
    }

    /// Finds out why nothing was reserved. Returns `None` if another try could succeed now. If stock alone is too
    /// small, it first moves in a part of `event.available`.
    async fn explain(&self) -> Result<Option<Reservation>, ReserveError> {
        let before = made_before(self.db, self.booking_id, self.request, self.idempotency).await?;
        if let Some(made) = before {
            return Ok(Some(made));
        }
        let lines = self.state_without_due_holds().await?;
        let first = lines.first().ok_or(ReserveError::EventNotFound)?;
        if first.closed {
            return Err(ReserveError::SalesClosed);
        }
        let total: i32 = self.lines.quantities.iter().sum();
        if self.request.promo_code.is_some() && !first.code_is_valid {
            return Err(ReserveError::PromoInvalid);
        }
        let too_many = ReserveError::TooManyTickets {
            most: first.most,
            of_items: self.request.tickets.is_none(),
        };
        if self.request.tickets.is_some() && total > first.most {
            return Err(too_many);
        }
        for (item, line) in lines.iter().enumerate() {
            let name = line.name.as_ref();
            let name = name.ok_or(ReserveError::TypeNotFound { item })?;
            if !line.on_sale {
                let ticket_type = name.clone();
                return Err(ReserveError::NotOnSale { ticket_type });
            }
            let (least, most) = (line.least, line.most_of_type);
            if !(least..=most).contains(&line.quantity) {
                let item = self.request.tickets.is_none().then_some(item);
                return Err(ReserveError::OutsideOrder { item, least, most });
            }
        }
        if total > first.most {
            return Err(too_many);
        }
        if self.request.promo_code.is_some() && !lines.iter().any(|line| line.with_code) {
            return Err(ReserveError::PromoForOthers);
        }
        let amount = lines
            .iter()
            .map(|line| i64::from(line.quantity) * line.unit_minor);
        let amount: i64 = amount.sum();
        if self
            .expected_minor
            .is_some_and(|expected| expected != amount)
        {
            let currency = db::column("currency", &first.currency)?;
            let amount = Money::from_minor(amount, currency);
            return Err(ReserveError::PriceChanged { amount });
        }
        let mut wanted = self.lines.types.iter().zip(&lines);
        if let Some((id, line)) = wanted.find(|(_, line)| line.sold_out) {
            let ticket_type = (*id).zip(line.name.clone());
            return Err(ReserveError::SoldOut { ticket_type });
        }
        if first.code_used_up {
            return Err(ReserveError::PromoUsedUp);
        }
        if let Some(wanted) = first.to_move_in {
            stock::move_in(self.db, &self.request.event_id, wanted).await?;
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
               -- As it was at first: the first attempt to pay may have put it off.
               coalesce((select due_at from job where kind = 'EXPIRE' and key = b.booking_id::text), b.hold_until)
                   as hold_until,
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
        hold_until: row.hold_until,
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
pub(super) fn caller(user: UserId) -> String {
    format!("user:{user}")
}

/// Undoes a reservation whose outcome is unknown, as if the request had never been made. A repeat of the request,
/// even with the same key, tries again.
///
/// Holds are never undone here: the buyer may have found the hold in the meantime, and paid it. A hold ends by
/// itself.
pub(super) async fn undo_reserve(db: &Db, booking_id: BookingId) -> Result<(), sqlx::Error> {
    giving_back!(
        "from booking b where b.booking_id = $1 and b.status = 'PENDING' and b.hold_until is null",
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
    .fetch_optional(db.idempotent(FailPoint("UndoReserve")))
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
               set status = $2, payment_id = $3, took_quota = '{}', took_units = '{}', counted = 0, updated_at = now()
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

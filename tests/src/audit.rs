//! The audit: reads every store and every customer's history, and says which promise is broken.
//!
//! The promises, each under the name by which a breach of it is reported:
//! - `oversold`: capacity − available tickets are taken, never more than the capacity. Other quotas add up as well.
//! - `charged`: a booking has at most one charge, of its exact amount, and only if it is confirmed or was cancelled.
//!   The charge of a cancelled booking is refunded once and in full.
//! - `unpaid`: every confirmed booking has its charge.
//! - `notified`: every booking that was ever confirmed, even if it was cancelled later, has exactly one notification,
//!   which says what was booked. No other booking has one.
//! - `unsettled`: nothing stays pending, due or unannounced, and no job is open. Repeats of a request get the
//!   booking's final answer.
//! - `told`: what a customer was told is what is stored, and repeats of a request were told the same.
//! - `order`: some order of the requests explains the answers.
//! - `rest`: what is settled does not change any more.

mod order;

use std::collections::{BTreeMap, HashMap, HashSet};
use std::fmt;
use std::fs;
use std::time::{Duration, SystemTime};

use chrono::{DateTime, Utc};
use futures_util::TryStreamExt;
use mongodb::bson::{Document, doc};
use serde_json::Value;
use sqlx::Row;
use tokio::time::{Instant, sleep};

use crate::customer::{Heard, Payment, Purchase};
use crate::stack::folder;
use crate::{TestApp, queues};

/// A promise that does not hold.
#[derive(Debug, Clone)]
pub struct Breach {
    pub promise: &'static str,
    /// The booking or the event.
    pub of: String,
    pub what: String,
}

impl fmt::Display for Breach {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {} {}", self.promise, self.of, self.what)
    }
}

/// What was asked for by those who are audited.
#[derive(Debug, Default)]
pub struct Asked {
    pub users: Vec<i64>,
    pub events: Vec<String>,
    pub purchases: Vec<Purchase>,
    /// Payments of no booking.
    pub payments: Vec<Payment>,
}

/// A booking's row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BookingRow {
    pub id: String,
    pub user: i64,
    pub event: String,
    pub tickets: i64,
    /// What its tickets take of the event's root quota.
    pub units: i64,
    /// What its items are, all together, where it has some: tickets and amount.
    pub items: Option<(i64, i64)>,
    pub amount: i64,
    pub currency: String,
    pub status: String,
    pub key: Option<String>,
    /// What repeats of its request are told.
    pub answer: Option<String>,
    /// The kinds of its jobs that are not done.
    pub jobs: Vec<String>,
    /// Whether it began as a hold, whether a card was tried for that hold, and whether the hold's time is over.
    pub held: bool,
    pub tried: bool,
    pub over: bool,
    /// What its promo code takes off, in percent.
    pub percent: i64,
    pub refund_due: bool,
    pub refunded: bool,
    pub created: SystemTime,
    pub updated: SystemTime,
}

impl BookingRow {
    fn holds(&self) -> bool {
        matches!(self.status.as_str(), "HELD" | "PENDING" | "CONFIRMED")
    }

    /// Whether it is a hold that nobody has tried to pay, or was one to its end.
    fn never_paid(&self) -> bool {
        self.held && !self.tried
    }

    fn payment(&self) -> String {
        self.id.replace("bk_", "pay_")
    }
}

#[derive(Debug, PartialEq, Eq)]
struct EventRow {
    capacity: i64,
    available: i64,
    /// What its bookings say that they hold.
    held: i64,
    /// Whatever else does not add up: other quotas whose capacity is not what is left plus what bookings hold, and
    /// users and bookings whose counts, limits, tickets or refunds are wrong.
    wrong: Vec<String>,
    /// In minor units.
    price: i64,
    currency: String,
}

/// What all stores say of some users and events.
#[derive(Debug, PartialEq)]
pub struct Books {
    events: BTreeMap<String, EventRow>,
    pub bookings: Vec<BookingRow>,
    /// The payment records by their ids.
    payments: HashMap<String, Document>,
    /// The gateway's entries by their keys.
    gateway: HashMap<String, Document>,
    /// The payments of all users.
    known_payments: HashSet<String>,
    /// The notifications that were stored.
    notifications: Vec<Document>,
}

impl Books {
    /// Reads the stores.
    ///
    /// # Errors
    /// One of them can't be read now.
    pub async fn read(
        app: &TestApp,
        users: &[i64],
        events: &[String],
    ) -> Result<Self, Box<dyn std::error::Error>> {
        let bookings = sqlx::query(
            r#"
            select 'bk_' || replace(booking_id::text, '-', '') as id, user_id, event_id, tickets::int8,
                   (select coalesce(sum(coalesce(i.quantity, tickets) * d.units), 0)
                      from ticket_type t
                      join ticket_type_quota d using (ticket_type_id)
                      join quota q on q.quota_id = d.quota_id and q.kind = 'ROOT'
                      left join booking_item i on i.booking_id = booking.booking_id
                     where t.event_id = booking.event_id
                       and (t.ticket_type_id = i.ticket_type_id or i.ticket_type_id is null and t.is_default)) as units,
                   (select sum(quantity) from booking_item i where i.booking_id = booking.booking_id) as item_tickets,
                   (select sum(quantity * unit_minor)::int8 from booking_item i
                     where i.booking_id = booking.booking_id) as item_amount,
                   amount_minor, currency, status, r.idempotency_key, r.answer,
                   array(select kind from job
                          where key in (booking_id::text, booking_id || '.confirmed') and done_at is null) as jobs,
                   hold_until is not null as held, attempt_id is not null as tried, coalesce(hold_until < now(), false) as over,
                   coalesce((select value from promo_code c where c.event_id = booking.event_id
                                and c.code = booking.promo_code and c.kind = 'PERCENT'), 0) as percent, refund_due_at is not null as due, refunded_at is not null as refunded,
                   booking.created_at, updated_at
              from booking
              left join request r on r.resource_id = booking_id
             where event_id = any($1)
             order by booking_id
            "#,
        );
        let bookings = bookings.bind(events).fetch_all(&app.bookings).await?;
        let bookings = bookings.iter().map(booking).collect::<Result<_, _>>()?;
        let rows = sqlx::query(
            "select event_id, capacity::int8, price_minor, currency,
                    available + (select coalesce(sum(free), 0) from quota join stock using (quota_id)
                                  where quota.event_id = event.event_id and kind = 'ROOT'),
                    (select coalesce(sum(t.units), 0)
                       from booking, unnest(took_quota, took_units) as t (quota_id, units) join quota using (quota_id)
                      where booking.event_id = event.event_id and kind = 'ROOT'),
                    array(select 'user ' || p.user_id
                            from purchase p
                            cross join lateral (
                                 select coalesce(sum(counted), 0)::int as tickets,
                                        (count(*) filter (where hold_until is not null and status in ('HELD', 'PENDING')))::int
                                        as open_holds
                                   from booking b
                                  where b.event_id = p.event_id and b.user_id = p.user_id) has
                           where p.event_id = event.event_id
                             and (p.tickets, p.open_holds) is distinct from (has.tickets, has.open_holds))
                    || array(select 'booking ' || booking_id from booking
                              where booking.event_id = event.event_id
                                and case when status in ('REJECTED', 'EXPIRED', 'CANCELLED') then counted > 0
                                         else max_per_user is not null and counted <> tickets end)
                    || array(select 'limit of ' || user_id from booking
                              where booking.event_id = event.event_id and status in ('HELD', 'PENDING', 'CONFIRMED')
                              group by user_id having sum(tickets) > max_per_user)
                    || array(select 'tickets of ' || booking_id from booking b
                              cross join lateral (
                                   select count(distinct unit) as units, coalesce(sum(unit_minor), 0) as paid,
                                          count(*) filter (where t.status <> 'CANCELLED') as valid, count(*) as people
                                     from ticket t where t.booking_id = b.booking_id) has
                              where b.event_id = event.event_id
                                and (units, paid, valid) is distinct from
                                    (case when b.status in ('CONFIRMED', 'CANCELLED') then b.tickets else 0 end,
                                     case when b.status in ('CONFIRMED', 'CANCELLED') then b.amount_minor else 0 end,
                                     case when b.status = 'CONFIRMED' then people else 0 end))
                    || array(select 'refunds of ' || booking_id from booking b
                              cross join lateral (
                                   select coalesce(sum(amount_minor), 0) as owed, count(*) > count(done_at) as open
                                     from refund r where r.booking_id = b.booking_id) back
                              where b.event_id = event.event_id
                                and (owed, refund_owed_minor, open) is distinct from
                                    (case when b.status = 'CANCELLED' then amount_minor else 0 end, owed,
                                     refund_due_at is not null and refunded_at is null))
                    || array(select q.name from quota q
                           where q.event_id = event.event_id and kind <> 'ROOT'
                             and capacity <> (select sum(free) from stock where stock.quota_id = q.quota_id)
                                 + (select coalesce(sum(t.units), 0)
                                      from booking, unnest(took_quota, took_units) as t (quota_id, units)
                                     where t.quota_id = q.quota_id))
               from event where event_id = any($1)",
        );
        let rows = rows.bind(events).fetch_all(&app.bookings).await?;
        let events = rows
            .iter()
            .map(|row| {
                let event = EventRow {
                    capacity: row.try_get(1)?,
                    price: row.try_get(2)?,
                    currency: row.try_get(3)?,
                    available: row.try_get(4)?,
                    held: row.try_get(5)?,
                    wrong: row.try_get(6)?,
                };
                Ok((row.try_get(0)?, event))
            })
            .collect::<Result<_, sqlx::Error>>()?;
        // The gateway knows no users: read all its entries. Read them first, so that each of them has its record.
        let gateway = by_id(app, "payment_db", "gateway_charges", doc! {}).await?;
        let mut payments = by_id(app, "payment_db", "payments", doc! {}).await?;
        let known_payments = payments.keys().cloned().collect();
        payments.retain(|_, payment| users.contains(&number(payment, "user_id")));
        let notifications = doc! {"user_id": {"$in": users}};
        let notifications = by_id(app, "notification_db", "notifications", notifications).await?;
        let notifications: BTreeMap<_, _> = notifications.into_iter().collect();
        Ok(Self {
            events,
            bookings,
            payments,
            gateway,
            known_payments,
            notifications: notifications.into_values().collect(),
        })
    }

    fn notifications_of<'a>(&'a self, booking: &'a str) -> impl Iterator<Item = &'a Document> {
        let notifications = self.notifications.iter();
        notifications.filter(move |stored| text(stored, "booking_id") == Some(booking))
    }

    /// What is still on its way.
    pub fn unsettled(&self) -> Vec<Breach> {
        let breach = |of: &str, what: &str| Breach {
            promise: "unsettled",
            of: of.to_owned(),
            what: what.to_owned(),
        };
        let mut unsettled = Vec::new();
        for booking in &self.bookings {
            if booking.status == "PENDING" {
                unsettled.push(breach(&booking.id, "is still pending"));
            }
            if booking.status == "HELD" && booking.over {
                unsettled.push(breach(&booking.id, "is still held, beyond its time"));
            }
            // The EXPIRE job of a hold stays open while the hold waits for its buyer.
            let open = booking
                .jobs
                .iter()
                .filter(|kind| booking.status != "HELD" || *kind != "EXPIRE");
            for kind in open {
                unsettled.push(breach(&booking.id, &format!("has an open job {kind}")));
            }
            let confirmed = matches!(booking.status.as_str(), "CONFIRMED" | "CANCELLED");
            let last = if booking.held {
                "HELD"
            } else if confirmed {
                "CONFIRMED"
            } else {
                &booking.status
            };
            if booking.key.is_some() && booking.answer.as_deref() != Some(last) {
                let what = format!(
                    "is {}, and repeats are told {:?}",
                    booking.status, booking.answer
                );
                unsettled.push(breach(&booking.id, &what));
            }
            if confirmed && self.notifications_of(&booking.id).next().is_none() {
                unsettled.push(breach(&booking.id, "is not notified"));
            }
            if booking.refund_due && !booking.refunded {
                unsettled.push(breach(&booking.id, "is not refunded"));
            }
        }
        for (id, payment) in &self.payments {
            if text(payment, "status") == Some("PENDING") {
                unsettled.push(breach(id, "is still pending"));
            }
        }
        unsettled
    }

    /// The promises that are broken, once all is settled.
    pub fn breaches(&self, asked: &Asked) -> Vec<Breach> {
        let mut breaches = self.unsettled();
        let mut check = |holds: bool, promise: &'static str, of: &str, what: &str| {
            if !holds {
                breaches.push(Breach {
                    promise,
                    of: of.to_owned(),
                    what: what.to_owned(),
                });
            }
        };
        self.check_stock(&mut check);
        self.check_money(&mut check);
        self.check_payments(&asked.payments, &mut check);
        self.check_notifications(&mut check);
        self.check_answers(&asked.purchases, &mut check);
        self.check_order(&asked.purchases, &mut check);
        breaches
    }

    fn check_stock(&self, check: &mut impl FnMut(bool, &'static str, &str, &str)) {
        for (event, row) in &self.events {
            let EventRow {
                capacity,
                available,
                held,
                wrong,
                ..
            } = row;
            let bookings = self
                .bookings
                .iter()
                .filter(|booking| &booking.event == event);
            let taken: i64 = bookings
                .filter(|booking| booking.holds())
                .map(|booking| booking.units)
                .sum();
            let what =
                format!("has {capacity} tickets, {taken} taken, {held} held and {available} left");
            let sound = taken + available == *capacity && taken <= *capacity && taken == *held;
            check(sound, "oversold", event, &what);
            let what = format!("has other quotas that don't add up: {wrong:?}");
            check(wrong.is_empty(), "oversold", event, &what);
        }
        for booking in &self.bookings {
            let whole = (booking.tickets, booking.amount);
            let what = format!("is {whole:?}, and its items are {:?}", booking.items);
            let sound = booking.items.is_none_or(|items| items == whole);
            check(sound, "charged", &booking.id, &what);
        }
    }

    fn check_money(&self, check: &mut impl FnMut(bool, &'static str, &str, &str)) {
        let charged = |payment: &str| {
            let entry = self.gateway.get(payment)?;
            (text(entry, "verdict") == Some("CHARGED")).then_some(entry)
        };
        for booking in &self.bookings {
            let payment = self.payments.get(&booking.payment());
            let state = payment.and_then(|payment| text(payment, "status"));
            let entry = charged(&booking.payment());
            let refunds = entry.map_or(0, |entry| number(entry, "refunds"));
            let what = format!(
                "is {} for {}, its payment {state:?}, the gateway's entry {:?}, {refunds} refunds",
                booking.status,
                booking.amount,
                self.gateway
                    .get(&booking.payment())
                    .map(ToString::to_string),
            );
            let expected = match booking.status.as_str() {
                _ if booking.amount == 0 || booking.never_paid() => (None, false, 0),
                "CONFIRMED" => (Some("SUCCESS"), true, 0),
                "CANCELLED" => (Some("REFUNDED"), true, 1),
                "REJECTED" => (Some("DECLINED"), false, 0),
                _ => (Some("VOIDED"), false, 0),
            };
            let promise = if booking.status == "CONFIRMED" {
                "unpaid"
            } else {
                "charged"
            };
            check(
                (state, entry.is_some(), refunds) == expected,
                promise,
                &booking.id,
                &what,
            );
            let due = (booking.amount, booking.currency.as_str());
            for (whose, document) in [("the gateway's entry", entry), ("the record", payment)] {
                let Some(document) = document else { continue };
                let taken = (
                    number(document, "amount_minor"),
                    text(document, "currency").unwrap_or_default(),
                );
                let what = format!("costs {due:?}, and {whose} has {taken:?}");
                check(taken == due, "charged", &booking.id, &what);
            }
        }
        for (id, payment) in &self.payments {
            let of = text(payment, "booking_id");
            let what = format!("belongs to no booking: {payment}");
            let mut bookings = self.bookings.iter();
            let known = of.is_none_or(|of| {
                bookings.any(|booking| booking.id == of && &booking.payment() == id)
            });
            let known = known || charged(id).is_none();
            check(known, "charged", id, &what);
            let state = text(payment, "status");
            let should_be = matches!(state, Some("SUCCESS" | "REFUNDED"));
            let what = format!(
                "is {state:?}, and the gateway's entry is {:?}",
                self.gateway.get(id)
            );
            check(charged(id).is_some() == should_be, "charged", id, &what);
        }
        for (key, entry) in &self.gateway {
            let known = self.known_payments.contains(key);
            let what = "is in the gateway's books and in none of ours";
            check(known, "charged", key, what);
            let refunds = number(entry, "refunds");
            check(
                refunds <= 1,
                "charged",
                key,
                &format!("was refunded {refunds} times"),
            );
        }
    }

    /// Payments of no booking: each that was asked for once at most, and none that wasn't.
    fn check_payments(
        &self,
        asked: &[Payment],
        check: &mut impl FnMut(bool, &'static str, &str, &str),
    ) {
        let of_no_booking = |payment: &&Document| text(payment, "booking_id").is_none();
        let made: Vec<_> = self.payments.values().filter(of_no_booking).collect();
        for record in &made {
            let id = text(record, "_id").unwrap_or_default();
            let request = text(record, "request_id");
            let wanted = asked.iter().find(|payment| {
                Some(format!("{}:{}", payment.user.id, payment.key).as_str()) == request
            });
            let what = format!("was asked for by nobody: {record}");
            check(wanted.is_some(), "charged", id, &what);
            let Some(wanted) = wanted else { continue };
            let due = (wanted.user.id, wanted.amount, "USD");
            let taken = (
                number(record, "user_id"),
                number(record, "amount_minor"),
                text(record, "currency").unwrap_or_default(),
            );
            check(
                taken == due,
                "charged",
                id,
                &format!("is {taken:?}, not {due:?}"),
            );
            let entry = self.gateway.get(id);
            let entered = entry.filter(|entry| text(entry, "verdict") == Some("CHARGED"));
            let exact = entered.is_none_or(|entry| {
                (number(entry, "amount_minor"), text(entry, "currency")) == (due.1, Some(due.2))
            });
            check(
                exact,
                "charged",
                id,
                &format!("{due:?} was charged as {entry:?}"),
            );
            let state = text(record, "status").unwrap_or_default();
            for heard in &wanted.heard {
                let sound = match (heard.asked, heard.status) {
                    ("pay", Some(201)) => {
                        state == "SUCCESS" && heard.state.as_deref() == Some("SUCCESS")
                    }
                    ("pay", Some(402)) => matches!(state, "DECLINED" | "VOIDED"),
                    ("look", Some(200)) => {
                        matches!(heard.state.as_deref(), Some(told) if told == "PENDING" || told == state)
                    }
                    _ => true,
                };
                let what = format!(
                    "is {state}, and was told {} {heard} {:?}",
                    heard.asked, heard.state
                );
                check(sound, "told", id, &what);
                if let Some(shown) = &heard.shown {
                    let told = (
                        shown["user_id"].as_i64(),
                        minor(&shown["amount"]),
                        shown["currency"].as_str(),
                    );
                    let what = format!("was shown as {shown}");
                    let same = shown["payment_id"] == id
                        && told == (Some(due.0), Some(due.1), Some(due.2));
                    check(same, "told", id, &what);
                }
            }
            check_same_body(id, &wanted.heard, "pay", check);
        }
        for payment in asked {
            let told = payment
                .heard
                .iter()
                .any(|heard| matches!(heard.status, Some(201 | 202 | 402)) && heard.asked == "pay");
            let request = format!("{}:{}", payment.user.id, payment.key);
            let there = made
                .iter()
                .any(|record| text(record, "request_id") == Some(&request));
            check(
                !told || there,
                "told",
                &payment.key,
                "was told of a payment that there is none of",
            );
        }
    }

    fn check_notifications(&self, check: &mut impl FnMut(bool, &'static str, &str, &str)) {
        for booking in &self.bookings {
            let count = self.notifications_of(&booking.id).count();
            for stored in self.notifications_of(&booking.id) {
                let noun = if booking.tickets == 1 {
                    "ticket"
                } else {
                    "tickets"
                };
                let message = format!(
                    "Your booking {} is confirmed: {} {noun} for event {}.",
                    booking.id, booking.tickets, booking.event
                );
                let told = (
                    text(stored, "_id").unwrap_or_default(),
                    number(stored, "user_id"),
                    text(stored, "event_id").unwrap_or_default(),
                    text(stored, "type").unwrap_or_default(),
                    text(stored, "message").unwrap_or_default(),
                );
                let id = format!("{}.confirmed", booking.id);
                let wanted = (
                    id.as_str(),
                    booking.user,
                    booking.event.as_str(),
                    "BOOKING_CONFIRMED",
                    message.as_str(),
                );
                check(
                    told == wanted,
                    "notified",
                    &booking.id,
                    &format!("by {stored}"),
                );
            }
            let sound = match booking.status.as_str() {
                // Cancelled or not: it was confirmed.
                "CONFIRMED" | "CANCELLED" => count == 1,
                _ => count == 0,
            };
            let what = format!("is {} and has {count} notifications", booking.status);
            check(sound, "notified", &booking.id, &what);
        }
        for stored in &self.notifications {
            let id = text(stored, "booking_id").unwrap_or_default();
            let known = self.bookings.iter().any(|booking| booking.id == id);
            check(known, "notified", id, "was notified and does not exist");
        }
    }

    fn check_answers(
        &self,
        purchases: &[Purchase],
        check: &mut impl FnMut(bool, &'static str, &str, &str),
    ) {
        for purchase in purchases {
            let mine = |booking: &&BookingRow| is_of(booking, purchase);
            let rows: Vec<_> = self.bookings.iter().filter(mine).collect();
            let key = &purchase.key;
            check(
                rows.len() <= 1,
                "told",
                key,
                &format!("made {} bookings", rows.len()),
            );
            let row = rows.first();
            check_same_body(key, &purchase.heard, "book", check);
            let mut last: Option<u16> = None;
            for heard in &purchase.heard {
                if let (Some(told), Some(row)) = (&heard.booking, row) {
                    let what = format!("made {}, and was told {told}", row.id);
                    check(*told == row.id, "told", key, &what);
                }
                self.check_answer(heard, purchase, row.copied(), check);
                let sold_out = heard.problem.as_deref() == Some("sold-out");
                let known = last.is_some()
                    && purchase.heard.iter().any(|before| {
                        matches!(before.status, Some(201 | 402)) && before.to <= heard.from
                    });
                let what = format!("was answered {last:?}, then sold-out");
                check(!(sold_out && known), "told", key, &what);
                if heard.asked == "book"
                    && let Some(status @ (201 | 402)) = heard.status
                {
                    let what = format!("was answered {last:?}, then {status}");
                    check(last.is_none_or(|last| last == status), "told", key, &what);
                    last = Some(status);
                }
            }
        }
        for booking in &self.bookings {
            let wanted = purchases.iter().any(|purchase| {
                let unheard = purchase.keyless && purchase.booking().is_none();
                let same = (booking.user, booking.tickets) == (purchase.user.id, purchase.tickets);
                let here = same && booking.event == purchase.event;
                here && (is_of(booking, purchase) || (unheard && booking.key.is_none()))
            });
            let what = "was made for nobody's request, or not as it asked";
            check(wanted, "told", &booking.id, what);
            let due = self.events.get(&booking.event);
            let due = due.map(|event| {
                // Rounded half up.
                let off = (event.price * booking.percent + 50) / 100;
                let amount = (event.price - off) * booking.tickets;
                (amount, event.currency.as_str())
            });
            let costs = (booking.amount, booking.currency.as_str());
            let what = format!("costs {costs:?}, not {due:?}");
            check(due == Some(costs), "charged", &booking.id, &what);
        }
    }

    /// Whether one answer is true of what is stored in the end.
    fn check_answer(
        &self,
        heard: &Heard,
        purchase: &Purchase,
        row: Option<&BookingRow>,
        check: &mut impl FnMut(bool, &'static str, &str, &str),
    ) {
        let state = row.map_or("nothing", |row| row.status.as_str());
        let sound = match (heard.asked, heard.status, heard.problem.as_deref()) {
            ("book", Some(201), _) if purchase.hold => state != "nothing",
            // The customer has another open hold.
            ("book", Some(409), Some("hold-open")) => purchase.hold,
            ("pay", Some(200), _) => matches!(state, "CONFIRMED" | "CANCELLED"),
            ("pay", Some(202 | 402), _) => state != "nothing",
            ("pay", Some(409), Some("hold-expired")) | ("release", Some(200), _) => {
                state == "EXPIRED"
            }
            ("release", Some(409), Some("not-held")) => {
                matches!(state, "CONFIRMED" | "CANCELLED")
            }
            ("pay" | "release", Some(409), Some("payment-in-progress")) => true,
            // Five cards were tried.
            ("pay", Some(429), _) => state != "nothing",
            ("book", Some(201), _) => {
                state == "CONFIRMED" || (state == "CANCELLED" && purchase.cancelled)
            }
            ("book", Some(202), _) => state != "nothing",
            ("book", Some(402), _) => matches!(state, "REJECTED" | "EXPIRED"),
            // Nothing was booked then. But a repeat or a twin also tries, and may find tickets that came back.
            ("book", Some(409), Some("sold-out" | "promo-used-up" | "purchase-limit")) => {
                let mut others = purchase
                    .heard
                    .iter()
                    .filter(|other| !std::ptr::eq(*other, heard));
                state == "nothing"
                    || others.any(|other| other.asked == "book" && other.to >= heard.from)
            }
            ("cancel", Some(200), _) => state == "CANCELLED",
            ("look", Some(200), _) => match heard.state.as_deref() {
                Some("PENDING") => true,
                Some("CONFIRMED") => state == "CONFIRMED" || state == "CANCELLED",
                told => told == Some(state),
            },
            ("book", Some(409), Some("request-in-progress")) => is_running(heard, purchase),
            ("cancel", Some(409), Some("not-cancellable")) => match row {
                Some(row) if row.held && heard.from < row.updated => true,
                // Before it was settled, or where there is nothing to cancel.
                Some(row) if heard.retry_after => {
                    row.status != "CONFIRMED" || heard.from < row.updated
                }
                Some(row) => matches!(row.status.as_str(), "REJECTED" | "EXPIRED"),
                None => false,
            },
            // Lambda itself may fail with 500; the history decides what it did. That no function of ours
            // says it is checked in the log.
            (_, None | Some(500 | 503), _) => true,
            _ => false,
        };
        if let (Some(shown), Some(row)) = (&heard.shown, row) {
            let told = (
                shown["user_id"].as_i64(),
                shown["event_id"].as_str(),
                shown["tickets"].as_i64(),
                minor(&shown["amount"]),
                shown["currency"].as_str(),
            );
            let stored = (
                Some(row.user),
                Some(row.event.as_str()),
                Some(row.tickets),
                Some(row.amount),
                Some(row.currency.as_str()),
            );
            check(
                told == stored,
                "told",
                &purchase.key,
                &format!("was shown {shown}, and is {row:?}"),
            );
            let paid = match (heard.state.as_deref(), row.amount) {
                (Some("CONFIRMED" | "CANCELLED"), 1..) => shown["payment_id"] == row.payment(),
                (Some("HELD" | "PENDING" | "CONFIRMED" | "CANCELLED"), _) => {
                    shown["payment_id"].is_null()
                }
                _ => true,
            };
            check(
                paid,
                "told",
                &purchase.key,
                &format!("was shown the payment {}", shown["payment_id"]),
            );
        }
        let what = format!("was told {} {heard}, and is {state}", heard.asked);
        check(sound, "told", &purchase.key, &what);
        let cancelled = state != "CANCELLED" || purchase.cancelled;
        check(cancelled, "told", &purchase.key, "was cancelled by nobody");
    }
}

/// Whether a booking was made for this purchase.
fn is_of(booking: &BookingRow, purchase: &Purchase) -> bool {
    booking.user == purchase.user.id
        && match &booking.key {
            Some(key) => *key == purchase.key,
            None => purchase.keyless && purchase.booking().as_ref() == Some(&booking.id),
        }
}

/// Whether "request in progress" can have been true: another request with the same key may have been running, and
/// none had a final answer before.
fn is_running(heard: &Heard, purchase: &Purchase) -> bool {
    let others = purchase
        .heard
        .iter()
        .filter(|other| !std::ptr::eq(*other, heard));
    // A request that was answered no longer runs. A 202 is different: storing that answer may have failed.
    let may_run = |other: &&Heard| {
        other.from <= heard.to
            && (other.to >= heard.from || matches!(other.status, None | Some(202 | 500..)))
    };
    let mut asked = others.filter(|other| other.asked == "book" && may_run(other));
    let mut final_before = purchase.heard.iter().filter(|other| {
        other.asked == "book" && other.to <= heard.from && matches!(other.status, Some(201 | 402))
    });
    asked.next().is_some() && final_before.next().is_none()
}

/// Checks that all 201 answers to the same request have the same body.
fn check_same_body(
    of: &str,
    heard: &[Heard],
    asked: &str,
    check: &mut impl FnMut(bool, &'static str, &str, &str),
) {
    let made = |heard: &&Heard| heard.asked == asked && heard.status == Some(201);
    let mut answers = heard
        .iter()
        .filter(made)
        .filter_map(|heard| heard.shown.as_ref());
    if let Some(first) = answers.next() {
        for other in answers {
            check(
                other == first,
                "told",
                of,
                &format!("was told {first}, then {other}"),
            );
        }
    }
}

/// An amount of JSON in cents.
fn minor(amount: &Value) -> Option<i64> {
    let cents = amount.as_f64()? * 100.0;
    #[expect(
        clippy::cast_possible_truncation,
        reason = "amounts of tests are small"
    )]
    let whole = cents.round() as i64;
    Some(whole)
}

/// Waits until all is settled, for so long at most, and audits; with the time it took.
pub async fn audit(app: &TestApp, asked: &Asked, patience: Duration) -> (Vec<Breach>, Duration) {
    let began = Instant::now();
    let read = || Books::read(app, &asked.users, &asked.events);
    loop {
        let over = began.elapsed() > patience;
        match read().await {
            Ok(settled) if settled.unsettled().is_empty() || over => {
                let time = began.elapsed();
                // A second notification, or one of what must not be notified, could still be on its way.
                queues::flush(app).await;
                let books = read()
                    .await
                    .unwrap_or_else(|error| panic!("the stores can't be read: {error}"));
                let mut breaches = books.breaches(asked);
                breaches.extend(answers_of_500(&asked.users));
                if let Some(what) = settled.changed(&books).filter(|_| !over) {
                    breaches.push(Breach {
                        promise: "rest",
                        of: "a settled world".to_owned(),
                        what,
                    });
                }
                return (breaches, time);
            }
            Err(error) if over => panic!("the stores can't be read: {error}"),
            _ => sleep(Duration::from_millis(100)).await,
        }
    }
}

impl Books {
    /// What has changed, if anything has.
    pub fn changed(&self, later: &Self) -> Option<String> {
        let bookings = self.bookings.iter().zip(&later.bookings);
        let booking = bookings.into_iter().find(|(before, after)| before != after);
        let payments = self
            .payments
            .iter()
            .find(|(id, payment)| later.payments.get(*id) != Some(payment));
        let told = |what: String| Some(format!("changed: {what}"));
        if let Some((before, after)) = booking {
            return told(format!("{before:?} to {after:?}"));
        }
        if let Some((id, payment)) = payments {
            return told(format!("{payment} to {:?}", later.payments.get(id)));
        }
        let entry = self
            .payments
            .keys()
            .find(|id| self.gateway.get(*id) != later.gateway.get(*id));
        if let Some(id) = entry {
            return told(format!(
                "{:?} to {:?}",
                self.gateway.get(id),
                later.gateway.get(id)
            ));
        }
        let same = self.events == later.events
            && self.bookings.len() == later.bookings.len()
            && self.payments.len() == later.payments.len()
            && self.notifications == later.notifications;
        (!same).then(|| format!("changed: {self:?} to {later:?}"))
    }
}

/// What functions answered with 500 to these users: a fault of ours, whatever went wrong around it.
fn answers_of_500(users: &[i64]) -> Vec<Breach> {
    let log = fs::read_to_string(folder().join("log/event-sources.log")).unwrap();
    let lines = log.lines().filter(|line| line.contains(r#""status":500"#));
    let lines = lines.filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let theirs = lines.filter(|line| {
        let user = line["user_id"].as_i64();
        user.is_some_and(|user| users.contains(&user))
    });
    let breach = |line: Value| Breach {
        promise: "told",
        of: line["request_id"].to_string(),
        what: format!("was answered with 500 by {}", line["function"]),
    };
    theirs.map(breach).collect()
}

fn booking(row: &sqlx::postgres::PgRow) -> Result<BookingRow, sqlx::Error> {
    let time = |name: &str| row.try_get::<DateTime<Utc>, _>(name).map(SystemTime::from);
    Ok(BookingRow {
        id: row.try_get("id")?,
        user: row.try_get("user_id")?,
        event: row.try_get("event_id")?,
        tickets: row.try_get("tickets")?,
        units: row.try_get("units")?,
        held: row.try_get("held")?,
        over: row.try_get("over")?,
        percent: row.try_get("percent")?,
        tried: row.try_get("tried")?,
        items: row
            .try_get::<Option<i64>, _>("item_tickets")?
            .zip(row.try_get("item_amount")?),
        amount: row.try_get("amount_minor")?,
        currency: row.try_get("currency")?,
        status: row.try_get("status")?,
        key: row.try_get("idempotency_key")?,
        answer: row.try_get("answer")?,
        jobs: row.try_get("jobs")?,
        refund_due: row.try_get("due")?,
        refunded: row.try_get("refunded")?,
        created: time("created_at")?,
        updated: time("updated_at")?,
    })
}

async fn by_id(
    app: &TestApp,
    database: &str,
    collection: &str,
    filter: Document,
) -> mongodb::error::Result<HashMap<String, Document>> {
    let documents: Vec<Document> = app
        .documents
        .database(database)
        .collection::<Document>(collection)
        .find(filter)
        .await?
        .try_collect()
        .await?;
    let with_id = documents.into_iter().filter_map(|document| {
        let id = text(&document, "_id")?.to_owned();
        Some((id, document))
    });
    Ok(with_id.collect())
}

fn number(document: &Document, name: &str) -> i64 {
    let short = || document.get_i32(name).map(i64::from);
    document
        .get_i64(name)
        .or_else(|_| short())
        .unwrap_or_default()
}

fn text<'a>(document: &'a Document, name: &str) -> Option<&'a str> {
    document.get_str(name).ok()
}

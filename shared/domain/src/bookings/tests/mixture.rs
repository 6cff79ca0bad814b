//! Everything at once: many processes reserve, hold, pay, are declined, give back, let lapse and cancel, while the organizer
//! changes capacities. `ADMIT_OPERATIONS=100000 make steps STEPS=mixture` for more of it.

use std::env;
use std::time::Duration;

use fastrand::Rng;
use futures_util::future::join_all;
use uuid::Uuid;

use super::baskets::{basket, fair, ids, value};
use super::holds::WRONG;
use crate::bookings::cancel::give_back;
use crate::bookings::confirm::confirm;
use crate::bookings::expire::{end_hold, expire};
use crate::bookings::hold::{Card, begin_attempt, close_attempt};
use crate::bookings::reserve::{Reservation, ReserveError, release, reserve, undo_reserve};
use crate::bookings::{Booking, BookingRequest, Status};
use crate::events::{
    self, EditError, EventChange, NewPromoCode, PromoCodeAmount, PromoCodeCounts, PromoCodeKind,
};
use crate::testing::Database;
use stores::db::Db;
use values::ids::{EventId, TicketTypeId, UserId};

const PROCESSES: u64 = 16;
const USERS: i64 = 24;
/// Events beside the hot one, each with a limit a person.
const QUIET: usize = 12;
const SWEEP_AFTER: Duration = Duration::from_secs(60);

/// Bookings that cost something else than their items, and events whose quota is not their capacity.
const WRONG_SUMS: &str = "
    select (select count(*) from booking b
             where amount_minor <> (select coalesce(sum(quantity * unit_minor), b.amount_minor)
                                      from booking_item i where i.booking_id = b.booking_id))
         + (select count(*) from event e join quota q using (event_id)
             where q.kind = 'ROOT' and q.capacity <> e.capacity)
         + (select count(*) from stock where free < 0)";

/// One process of a function, and the bookings that it made.
struct Process<'w> {
    db: Db,
    database: &'w Database,
    rng: Rng,
    events: &'w [EventId],
    types: &'w [TicketTypeId],
    open: Vec<Booking>,
    refused: usize,
}

impl Process<'_> {
    async fn operate(&mut self) {
        match self.rng.u8(..16) {
            0..=6 => self.reserve().await,
            7 => self.change().await,
            _ => {
                let Some(place) = self.rng.usize(..).checked_rem(self.open.len()) else {
                    return self.reserve().await;
                };
                let booking = self.open.swap_remove(place);
                if let Some(open) = self.go_on(booking).await {
                    self.open.push(open);
                }
            }
        }
    }

    async fn reserve(&mut self) {
        let user = self.rng.i64(1..=USERS);
        let hot = self.rng.bool();
        let request = BookingRequest {
            hold: Some(self.rng.u8(..3) == 0),
            ..if hot {
                self.basket(user)
            } else {
                let event = &self.events[self.rng.usize(..self.events.len())];
                BookingRequest {
                    event_id: event.clone(),
                    tickets: Some(value(&self.rng.u8(1..=3).to_string())),
                    items: Vec::new(),
                    ..basket(user, &[])
                }
            }
        };
        match reserve(&self.db, SWEEP_AFTER, &request, None).await {
            Ok(Reservation::New(booking)) => self.open.push(booking),
            Ok(Reservation::Replay(_)) => panic!("it has no key"),
            Err(
                ReserveError::SoldOut { .. }
                | ReserveError::PurchaseLimit { .. }
                | ReserveError::HoldOpen { .. }
                | ReserveError::PromoUsedUp
                | ReserveError::Contended,
            ) => self.refused += 1,
            Err(error) => panic!("{error:?}"),
        }
    }

    /// Some types of the hot event, and sometimes its code.
    fn basket(&mut self, user: i64) -> BookingRequest {
        let mut items = Vec::new();
        for ticket_type in self.types {
            if self.rng.bool() {
                items.push((*ticket_type, self.rng.i32(1..=3)));
            }
        }
        if items.is_empty() {
            items.push((self.types[0], 1));
        }
        BookingRequest {
            promo_code: self.rng.bool().then(|| "TENTH".parse().unwrap()),
            ..basket(user, &items)
        }
    }

    /// Does what comes next with a booking, chosen at random. Returns `None` if that was its end.
    async fn go_on(&mut self, booking: Booking) -> Option<Booking> {
        let (db, id, user) = (&self.db, booking.booking_id, booking.user_id);
        match booking.status {
            Status::Held => match self.rng.u8(..6) {
                0 => drop(end_hold(db, id, Some(user)).await.unwrap()),
                1 => {
                    let lapse = format!(
                        "update booking set hold_until = now() - interval '1 second' where booking_id = '{}'",
                        values::ids::PaymentId::of_booking(id)
                            .to_string()
                            .replace("pay_", "")
                    );
                    self.database.execute(lapse).await;
                    let _ended = expire(db, id).await.unwrap();
                }
                _ => return self.try_card(booking).await,
            },
            Status::Pending if booking.hold_until.is_some() => return self.try_card(booking).await,
            Status::Pending => match self.rng.u8(..8) {
                0 => undo_reserve(db, id).await.unwrap(),
                1 | 2 => drop(release(db, id, Status::Rejected).await.unwrap()),
                _ => return confirm(db, id, true).await.unwrap(),
            },
            Status::Confirmed if self.rng.bool() => drop(give_back(db, user, id).await.unwrap()),
            _ => {}
        }
        None
    }

    async fn try_card(&mut self, booking: Booking) -> Option<Booking> {
        let (db, id) = (&self.db, booking.booking_id);
        let attempt = Uuid::now_v7();
        let begun = begin_attempt(db, booking.user_id, id, attempt, None)
            .await
            .unwrap();
        let Some(begun) = begun else {
            // Its cards were all tried: its time runs out.
            drop(release(db, id, Status::Expired).await.unwrap());
            return None;
        };
        if self.rng.bool() {
            return confirm(db, id, true).await.unwrap();
        }
        close_attempt(db, id, attempt, Card::Declined)
            .await
            .unwrap();
        Some(begun)
    }

    /// The organizer changes how much there is.
    async fn change(&mut self) {
        let hot = self.rng.u8(..4) == 0;
        let capacity = if hot {
            self.rng.u8(40..=120)
        } else {
            self.rng.u8(20..=60)
        };
        let event = if hot {
            "fair".parse().unwrap()
        } else {
            self.events[self.rng.usize(..self.events.len())].clone()
        };
        let change = EventChange {
            capacity: Some(value(&capacity.to_string())),
            ..EventChange::default()
        };
        let own = events::own(&self.db, UserId::from(1), &event, None).await;
        match events::change_event(&self.db, &own.unwrap(), &change).await {
            Ok(_) | Err(EditError::BelowSold { .. } | EditError::Contended) => {}
            Err(error) => panic!("{error:?}"),
        }
    }
}

/// Events of one price and few tickets, with a limit a person.
async fn quiet_events(db: &Db) -> Vec<EventId> {
    let mut events = Vec::new();
    for _ in 0..QUIET {
        let event = events::NewEvent {
            event_id: None,
            name: value("\"Quiet\""),
            venue: value("\"Hall\""),
            starts_at: chrono::Utc::now() + Duration::from_secs(86_400),
            ends_at: None,
            time_zone: None,
            price: values::money::Money::from_minor(1000, values::money::Currency::default()),
            currency: None,
            capacity: value("40"),
            max_tickets_per_booking: None,
            max_per_user: Some(value("5")),
            hold_seconds: None,
            quotas: Vec::new(),
            ticket_types: Vec::new(),
        };
        let made = events::create(db, UserId::from(1), event).await.unwrap();
        events.push(made.event.event_id);
    }
    events
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whatever_many_processes_do_at_once_all_adds_up_and_nothing_deadlocks() {
    let operations = env::var("ADMIT_OPERATIONS").map_or(4000, |number| number.parse().unwrap());
    let (database, db, event) = fair().await;
    let quiet = quiet_events(&db).await;
    let tenth = NewPromoCode {
        code: "TENTH".parse().unwrap(),
        kind: PromoCodeKind::Percent,
        value: PromoCodeAmount::Percent(10),
        uses: Some(value("9")),
        counts: PromoCodeCounts::Orders,
        valid_from: None,
        valid_until: None,
        ticket_types: Vec::new(),
    };
    let own = events::own(&db, UserId::from(1), &"fair".parse().unwrap(), None).await;
    events::create_code(&db, &own.unwrap(), tenth)
        .await
        .unwrap();
    let types = ids(&event);
    let processes = (0..PROCESSES).map(|seed| {
        let mut process = Process {
            db: database.process(),
            database: &database,
            rng: Rng::with_seed(seed),
            events: &quiet,
            types: &types,
            open: Vec::new(),
            refused: 0,
        };
        async move {
            for _ in 0..operations / PROCESSES {
                process.operate().await;
            }
            process.refused
        }
    });
    let refused: usize = join_all(processes).await.into_iter().sum();
    assert_eq!(database.count(WRONG).await, 0);
    assert_eq!(database.count(WRONG_SUMS).await, 0);
    let made = database.count("select count(*) from booking").await;
    println!("{operations} operations: {made} bookings, {refused} refused");
    assert!(refused > 0, "nothing ever sold out");
    // PostgreSQL counts a deadlock when its session ends, so wait for all sessions to end.
    drop(db);
    let sessions = "select count(*) from pg_stat_activity where datname = current_database() and pid <> pg_backend_pid()";
    while database.count(sessions).await > 0 {
        tokio::task::yield_now().await;
    }
    let deadlocks = "select deadlocks from pg_stat_database where datname = current_database()";
    assert_eq!(database.count(deadlocks).await, 0);
}

//! The work of a booking without the API and the local Lambda: through our code, by a bare loop of the same
//! drivers that sends the same statements, record and message with no code around them, and by pgbench.

use std::collections::BTreeMap;
use std::fs;
use std::pin::Pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use domain::bookings::{BookingRequest, Reservation, confirm, reserve};
use domain::notifications::Announcement;
use domain::payments::{Charge, PaymentMethod, PaymentStatus, Payments};
use lapin::options::{BasicPublishOptions, ConfirmSelectOptions};
use lapin::{BasicProperties, Channel};
use mongodb::bson::{Document, doc};
use shared::broker::{Broker, EXCHANGE, Message};
use shared::config::Config;
use shared::db::Db;
use shared::docdb::DocumentStore;
use shared::ids::{BookingId, PaymentId, UserId};
use shared::tickets::Tickets;
use shared::{FromConfig, broker, docdb};
use sqlx::postgres::PgConnection;
use sqlx::{AssertSqlSafe, Connection};
use tests::{secrets, stack};
use uuid::Uuid;

use crate::figures::{self, Figure, row};
use crate::{pgbench, rounds};

pub const TIME: Duration = Duration::from_secs(5);
const SWEEP_AFTER: Duration = Duration::from_secs(60);

/// What one environment has, through our code.
struct Ours {
    db: Db,
    payments: Payments,
    broker: Broker,
}

/// What it has without.
pub struct Bare {
    connection: PgConnection,
    documents: mongodb::Client,
    channel: Channel,
    _broker: lapin::Connection,
    statements: Arc<Statements>,
}

/// Our own, as they are prepared for the compiler's checks.
pub struct Statements {
    pub reserve: String,
    pub confirm: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Work {
    /// Reserve and confirm: two commits.
    Database,
    /// Also the charge's document and the message.
    Whole,
}

/// Measures both, with so many environments, on so many events.
pub async fn measure(events: &[String]) {
    let statements = Arc::new(Statements::read());
    let loads = [(1, 1000), (8, 1000), (8, 1), (16, 1000), (16, 1)];
    let mut all = BTreeMap::<_, [Figure; 3]>::new();
    for round in 0..rounds() {
        for work in [Work::Database, Work::Whole] {
            for (environments, many) in loads {
                let events = &events[..many];
                let (mut ours, mut bare) = (Vec::new(), Vec::new());
                for _ in 0..environments {
                    ours.push(Ours::connect().await);
                    bare.push(Bare::connect(Arc::clone(&statements)).await);
                }
                let figures = all.entry((work, environments, many)).or_default();
                let [by_us, by_hand, by_pgbench] = figures;
                // Each is as often first, as the tables grow.
                if round % 2 == 0 {
                    by_us.add(race(ours, events, work).await);
                    by_hand.add(race(bare, events, work).await);
                } else {
                    by_hand.add(race(bare, events, work).await);
                    by_us.add(race(ours, events, work).await);
                }
                if work == Work::Database {
                    by_pgbench.add(pgbench::race(&statements, events, environments).await);
                }
            }
        }
    }
    let mut text = row(&[
        "",
        "through our code, a second",
        "bare loop, a second",
        "ours / bare",
        "pgbench, a second",
        "ours / pgbench",
    ]
    .map(str::to_owned));
    text += "| --- | ---: | ---: | ---: | ---: | ---: |\n";
    for ((work, environments, many), [ours, bare, pgbench]) in all {
        let what = match work {
            Work::Database => "reserve, confirm",
            Work::Whole => "reserve, charge, announce, confirm",
        };
        text += &row(&[
            format!("{what}; {environments} environments, {many} events"),
            ours.to_string(),
            bare.to_string(),
            ours.over(&bare),
            pgbench.to_string(),
            ours.over(&pgbench),
        ]);
    }
    figures::write("steps", &text).unwrap();
}

/// Boxed: the nested futures are too deep for the compiler to compute their layout.
type Booking<'b> = Pin<Box<dyn Future<Output = ()> + Send + 'b>>;

/// Somebody who books.
trait Booker: Send + 'static {
    fn book<'b>(&'b mut self, event: &'b str, work: Work) -> Booking<'b>;
}

/// Bookings a second of all together.
async fn race<B: Booker>(bookers: Vec<B>, events: &[String], work: Work) -> f64 {
    // Each connects.
    let mut bookers = bookers;
    for booker in &mut bookers {
        booker.book(&events[0], work).await;
    }
    let began = Instant::now();
    let tasks: Vec<_> = bookers
        .into_iter()
        .enumerate()
        .map(|(number, mut booker)| {
            let events = events.to_vec();
            tokio::spawn(async move {
                let mut booked = 0_usize;
                while began.elapsed() < TIME {
                    booker
                        .book(&events[(number * 61 + booked) % events.len()], work)
                        .await;
                    booked += 1;
                }
                booked
            })
        })
        .collect();
    let mut booked = 0;
    for task in tasks {
        booked += task.await.unwrap();
    }
    booked as f64 / began.elapsed().as_secs_f64()
}

impl Ours {
    async fn connect() -> Self {
        let config = Config::from_env().unwrap();
        let documents = DocumentStore::new(&config.documents_secret, config.concurrency)
            .await
            .unwrap();
        Self {
            db: Db::from_config(&config).await.unwrap(),
            payments: Payments::new(&documents),
            broker: Broker::from_config(&config).await.unwrap(),
        }
    }
}

impl Booker for Ours {
    fn book<'b>(&'b mut self, event: &'b str, work: Work) -> Booking<'b> {
        Box::pin(self.once(event, work))
    }
}

impl Ours {
    async fn once(&mut self, event: &str, work: Work) {
        let request = BookingRequest {
            user_id: UserId::from(1),
            event_id: event.parse().unwrap(),
            tickets: Some(Tickets::ONE),
            items: Vec::new(),
            payment_method: None,
            hold: None,
            promo_code: None,
            expected_amount: None,
            contact: Default::default(),
        };
        let reserving = reserve(&self.db, SWEEP_AFTER, &request, None);
        let Ok(Reservation::New(booking)) = Box::pin(reserving).await else {
            panic!("nothing was reserved")
        };
        let id = booking.booking_id;
        if work == Work::Whole {
            let charge = Charge {
                payment_id: PaymentId::of_booking(id),
                booking_id: Some(id),
                user_id: booking.user_id,
                amount_minor: booking.amount.minor(),
                currency: booking.currency,
            };
            let charged = self
                .payments
                .charge(&charge, PaymentMethod::default())
                .await;
            assert_eq!(charged.unwrap(), PaymentStatus::Success);
            let announcement = announcement(id, booking.user_id, event);
            let (id, kind) = (announcement.id(), announcement.event_type());
            let message = Message::cloud_event(id, kind, &announcement).unwrap();
            Box::pin(self.broker.publish(&message)).await.unwrap();
        }
        let confirmed = Box::pin(confirm(&self.db, id, true)).await;
        assert!(confirmed.unwrap().is_some());
    }
}

fn announcement(id: BookingId, user: UserId, event: &str) -> Announcement {
    let tickets = serde_json::from_str("1").unwrap();
    Announcement::confirmed(id, user, event.parse().unwrap(), tickets)
}

impl Statements {
    pub fn read() -> Self {
        let files = fs::read_dir(stack::in_project(".sqlx")).unwrap();
        let texts: Vec<String> = files
            .map(|file| {
                let file = fs::read(file.unwrap().path()).unwrap();
                let query: serde_json::Value = serde_json::from_slice(&file).unwrap();
                query["query"].as_str().unwrap().to_owned()
            })
            .collect();
        let find = |words: [&str; 2]| {
            let found = texts
                .iter()
                .find(|text| words.iter().all(|word| text.contains(word)));
            found
                .unwrap_or_else(|| panic!("no statement has {words:?}"))
                .clone()
        };
        Self {
            reserve: find(["insert into booking", "skip locked"]),
            confirm: find(["update booking", "set status = 'CONFIRMED'"]),
        }
    }
}

impl Bare {
    pub async fn connect(statements: Arc<Statements>) -> Self {
        let office = secrets::account("office").await;
        let options = secrets::database(&office, "booking_db");
        let broker = broker::connect(secrets::account("broker").await)
            .await
            .unwrap();
        let channel = broker.create_channel().await.unwrap();
        channel
            .confirm_select(ConfirmSelectOptions::default())
            .await
            .unwrap();
        Self {
            connection: PgConnection::connect_with(&options).await.unwrap(),
            documents: docdb::connect(&secrets::account("payments").await, 2).unwrap(),
            channel,
            _broker: broker,
            statements,
        }
    }
}

impl Booker for Bare {
    fn book<'b>(&'b mut self, event: &'b str, work: Work) -> Booking<'b> {
        Box::pin(self.once(event, work))
    }
}

impl Bare {
    async fn once(&mut self, event: &str, work: Work) {
        let id = Uuid::now_v7();
        self.reserve(id, event).await;
        if work == Work::Whole {
            self.record(id).await;
            self.publish(id, event).await;
        }
        self.confirm(id).await;
    }

    pub async fn reserve(&mut self, id: Uuid, event: &str) {
        let statements = Arc::clone(&self.statements);
        let reserving = sqlx::query(AssertSqlSafe(statements.reserve.as_str()))
            .bind(id)
            .bind(1_i64)
            .bind(event)
            .bind(1_i32)
            .bind("user:1")
            .bind("POST /bookings")
            .bind(None::<String>)
            .bind(None::<String>)
            .bind(SWEEP_AFTER.as_secs_f64());
        reserving.fetch_one(&mut self.connection).await.unwrap();
    }

    /// Stores the payment's record.
    pub async fn record(&self, id: Uuid) {
        let payment = format!("pay_{}", id.simple());
        let now = mongodb::bson::DateTime::now();
        let record = doc! {
            "_id": &payment, "request_id": &payment, "request_hash": null, "answer": null,
            "booking_id": format!("bk_{}", id.simple()), "user_id": 1_i64, "amount_minor": 5000_i64,
            "currency": "USD", "status": "SUCCESS", "attempts": 0, "created_at": now, "updated_at": now,
        };
        let payments = self.documents.database("payment_db");
        let payments = payments.collection::<Document>("payments");
        payments.insert_one(record).await.unwrap();
    }

    pub async fn publish(&self, id: Uuid, event: &str) {
        let id = BookingId::of_uuid(&id.to_string()).unwrap();
        let announcement = announcement(id, UserId::from(1), event);
        let body = serde_json::to_vec(&announcement).unwrap();
        let options = BasicPublishOptions {
            mandatory: true,
            ..Default::default()
        };
        let properties = BasicProperties::default()
            .with_message_id(announcement.id().into())
            .with_delivery_mode(2);
        let kind = announcement.event_type();
        let sent =
            self.channel
                .basic_publish(EXCHANGE.into(), kind.into(), options, &body, properties);
        sent.await.unwrap().await.unwrap();
    }

    pub async fn confirm(&mut self, id: Uuid) {
        let statements = Arc::clone(&self.statements);
        let confirming = sqlx::query(AssertSqlSafe(statements.confirm.as_str()))
            .bind(id)
            .bind(id)
            .bind(true);
        confirming.fetch_one(&mut self.connection).await.unwrap();
    }
}

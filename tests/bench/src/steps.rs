//! The work of a booking without the API and the local Lambda, done in three ways: by our code; by a bare loop that
//! sends the same statements, record and message through the same drivers; and by pgbench.

use std::collections::BTreeMap;
use std::fs;
use std::pin::Pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use domain::bookings::{BookingRequest, Item, Reservation, begin_attempt, confirm, reserve};
use domain::notifications::Announcement;
use domain::payments::{self, Charge, PaymentMethod, PaymentStatus, Payments};
use lapin::options::{BasicPublishOptions, ConfirmSelectOptions};
use lapin::{BasicProperties, Channel};
use mongodb::bson::{Document, doc};
use serde_json::json;
use shared::broker::{Broker, EXCHANGE, Message};
use shared::config::Config;
use shared::db::Db;
use shared::docdb::DocumentStore;
use shared::ids::{BookingId, PaymentId, TicketTypeId, UserId};
use shared::tickets::Tickets;
use shared::{FromConfig, broker, docdb};
use sqlx::postgres::PgConnection;
use sqlx::{AssertSqlSafe, Connection};
use tests::{TestApp, secrets, stack};
use uuid::Uuid;

use crate::bookings::Shop;
use crate::figures::{self, Figure, count, row};
use crate::{pgbench, rounds};

pub const TIME: Duration = Duration::from_secs(5);
const SWEEP_AFTER: Duration = Duration::from_secs(60);

/// What is booked: a ticket of an event's default type, or of this type.
#[derive(Debug, Clone)]
pub struct Target {
    pub event: String,
    pub kind: Option<TicketTypeId>,
}

/// What one environment has, through our code.
struct Ours {
    user: i64,
    db: Db,
    payments: Payments,
    broker: Broker,
}

/// What it has without.
pub struct Bare {
    user: i64,
    connection: PgConnection,
    documents: mongodb::Client,
    channel: Channel,
    _broker: lapin::Connection,
    statements: Arc<Statements>,
}

/// Our own, as they are prepared for the compiler's checks.
pub struct Statements {
    pub reserve: String,
    pub begin: String,
    pub confirm: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Work {
    /// Reserve and confirm: two commits.
    Database,
    /// The same for a ticket of a type that takes of one quota, and of three.
    OneQuota,
    ThreeQuotas,
    /// Hold, begin to pay, confirm: three commits.
    Hold,
    /// Reserve and confirm, the charge's document and the message.
    Whole,
}

/// The loads: what is done, by so many environments, on so many events.
const LOADS: [(Work, usize, usize); 15] = [
    (Work::Database, 1, 1000),
    (Work::Database, 8, 1000),
    (Work::Database, 8, 1),
    (Work::Database, 16, 1000),
    (Work::Database, 16, 1),
    (Work::OneQuota, 8, EVENTS_WITH_QUOTAS),
    (Work::ThreeQuotas, 8, EVENTS_WITH_QUOTAS),
    (Work::Hold, 1, 1000),
    (Work::Hold, 8, 1000),
    (Work::Hold, 8, 1),
    (Work::Whole, 1, 1000),
    (Work::Whole, 8, 1000),
    (Work::Whole, 8, 1),
    (Work::Whole, 16, 1000),
    (Work::Whole, 16, 1),
];
const EVENTS_WITH_QUOTAS: usize = 100;

/// What can be booked by each kind of work.
struct Targets {
    usual: Vec<Target>,
    one_quota: Vec<Target>,
    three_quotas: Vec<Target>,
}

impl Targets {
    async fn make(app: &TestApp, shop: &Shop) -> Self {
        let usual = shop.events.iter().map(|event| Target {
            event: event.clone(),
            kind: None,
        });
        let mut targets = Self {
            usual: usual.collect(),
            one_quota: Vec::new(),
            three_quotas: Vec::new(),
        };
        let many = 1_000_000;
        for _ in 0..EVENTS_WITH_QUOTAS {
            let body = json!({
                "name": "Fair", "venue": "Hall", "starts_at": "2040-05-01T17:00:00Z", "capacity": many,
                "quotas": [{"name": "Chairs", "capacity": many}, {"name": "Meals", "capacity": many}],
                "ticket_types": [{"name": "Standing", "price": 50},
                                 {"name": "Dinner", "price": 50, "quotas": [{"name": "Chairs"}, {"name": "Meals"}]}],
            });
            let made = app.post(&shop.users[0], "/events", body).await;
            let target = |place: usize| Target {
                event: made.text("event_id"),
                kind: Some(kind_of(&made.body["ticket_types"][place])),
            };
            targets.one_quota.push(target(0));
            targets.three_quotas.push(target(1));
        }
        targets
    }

    fn of(&self, work: Work, many: usize) -> &[Target] {
        let all = match work {
            Work::OneQuota => &self.one_quota,
            Work::ThreeQuotas => &self.three_quotas,
            Work::Database | Work::Hold | Work::Whole => &self.usual,
        };
        &all[..many]
    }
}

fn kind_of(shown: &serde_json::Value) -> TicketTypeId {
    shown["ticket_type_id"].as_str().unwrap().parse().unwrap()
}

/// Measures each load once a round.
pub async fn measure(app: &TestApp, shop: &Shop) {
    let targets = Targets::make(app, shop).await;
    let statements = Arc::new(Statements::read());
    let mut all = BTreeMap::<_, [Figure; 3]>::new();
    for round in 0..rounds() {
        for (work, environments, many) in LOADS {
            let targets = targets.of(work, many);
            let (mut ours, mut bare) = (Vec::new(), Vec::new());
            for user in (1..).take(environments) {
                ours.push(Ours::connect(user).await);
                bare.push(Bare::connect(user, Arc::clone(&statements)).await);
            }
            let figures = all.entry((work, environments, many)).or_default();
            let [by_us, by_hand, by_pgbench] = figures;
            // The tables grow, so let each of the two go first equally often.
            if round % 2 == 0 {
                by_us.add(race(ours, targets, work).await);
                by_hand.add(race(bare, targets, work).await);
            } else {
                by_hand.add(race(bare, targets, work).await);
                by_us.add(race(ours, targets, work).await);
            }
            if work != Work::Whole {
                by_pgbench.add(pgbench::race(&statements, targets, work, environments).await);
            }
        }
    }
    figures::write("steps", &table(&all)).unwrap();
}

fn table(all: &BTreeMap<(Work, usize, usize), [Figure; 3]>) -> String {
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
            Work::OneQuota => "reserve, confirm, an item of one quota",
            Work::ThreeQuotas => "reserve, confirm, an item of three quotas",
            Work::Hold => "hold, begin to pay, confirm",
            Work::Whole => "reserve, charge, announce, confirm",
        };
        text += &row(&[
            format!(
                "{what}; {}, {}",
                count(*environments, "environment"),
                count(*many, "event")
            ),
            ours.to_string(),
            bare.to_string(),
            ours.over(bare),
            pgbench.to_string(),
            ours.over(pgbench),
        ]);
    }
    text
}

/// Boxed: the nested futures are too deep for the compiler to compute their layout.
type Booking<'b> = Pin<Box<dyn Future<Output = ()> + Send + 'b>>;

/// Somebody who books.
trait Booker: Send + 'static {
    fn book<'b>(&'b mut self, target: &'b Target, work: Work) -> Booking<'b>;
}

/// Bookings a second of all together.
async fn race<B: Booker>(bookers: Vec<B>, targets: &[Target], work: Work) -> f64 {
    // Each connects.
    let mut bookers = bookers;
    for booker in &mut bookers {
        booker.book(&targets[0], work).await;
    }
    let began = Instant::now();
    let tasks: Vec<_> = bookers
        .into_iter()
        .enumerate()
        .map(|(number, mut booker)| {
            let targets = targets.to_vec();
            tokio::spawn(async move {
                let mut booked = 0_usize;
                while began.elapsed() < TIME {
                    booker
                        .book(&targets[(number * 61 + booked) % targets.len()], work)
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
    async fn connect(user: i64) -> Self {
        let config = Config::from_env().unwrap();
        let documents = DocumentStore::new(&config.documents_secret, config.concurrency)
            .await
            .unwrap();
        Self {
            user,
            db: Db::from_config(&config).await.unwrap(),
            payments: Payments::new(&documents),
            broker: Broker::from_config(&config).await.unwrap(),
        }
    }
}

impl Booker for Ours {
    fn book<'b>(&'b mut self, target: &'b Target, work: Work) -> Booking<'b> {
        Box::pin(self.once(target, work))
    }
}

impl Ours {
    async fn once(&mut self, target: &Target, work: Work) {
        let item = |ticket_type_id| Item {
            ticket_type_id,
            quantity: Tickets::ONE,
        };
        let request = BookingRequest {
            user_id: UserId::from(self.user),
            event_id: target.event.parse().unwrap(),
            tickets: target.kind.is_none().then_some(Tickets::ONE),
            items: target.kind.map(item).into_iter().collect(),
            payment_method: None,
            hold: Some(work == Work::Hold),
            promo_code: None,
            expected_amount: None,
            contact: Default::default(),
        };
        let reserving = reserve(&self.db, SWEEP_AFTER, &request, None);
        let Ok(Reservation::New(booking)) = Box::pin(reserving).await else {
            panic!("nothing was reserved")
        };
        let id = booking.booking_id;
        if work == Work::Hold {
            let begun = Box::pin(begin_attempt(
                &self.db,
                booking.user_id,
                id,
                Uuid::now_v7(),
                None,
            ))
            .await;
            assert!(begun.unwrap().is_some());
        }
        if work == Work::Whole {
            let charge = Charge {
                payment_id: PaymentId::of_booking(id),
                booking_id: Some(id),
                user_id: booking.user_id,
                amount_minor: booking.amount.minor(),
                currency: booking.currency,
            };
            let charged = payments::charge(&self.payments, &charge, PaymentMethod::default()).await;
            assert_eq!(charged.unwrap(), PaymentStatus::Success);
            let announcement = announcement(id, booking.user_id, &target.event);
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
            let has_all = |text: &&String| words.iter().all(|word| text.contains(word));
            let found: Vec<_> = texts.iter().filter(has_all).collect();
            match found.as_slice() {
                [only] => (*only).clone(),
                others => panic!("{} statements have {words:?}", others.len()),
            }
        };
        Self {
            reserve: find(["insert into booking", "skip locked"]),
            begin: find(["update booking", "set status = 'PENDING'"]),
            confirm: find(["update booking", "set status = 'CONFIRMED'"]),
        }
    }
}

impl Bare {
    pub async fn connect(user: i64, statements: Arc<Statements>) -> Self {
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
            user,
            connection: PgConnection::connect_with(&options).await.unwrap(),
            documents: docdb::connect(&secrets::account("payments").await, 2).unwrap(),
            channel,
            _broker: broker,
            statements,
        }
    }
}

impl Booker for Bare {
    fn book<'b>(&'b mut self, target: &'b Target, work: Work) -> Booking<'b> {
        Box::pin(self.once(target, work))
    }
}

impl Bare {
    async fn once(&mut self, target: &Target, work: Work) {
        let id = Uuid::now_v7();
        self.reserve(id, target, work == Work::Hold).await;
        if work == Work::Hold {
            self.begin(id).await;
        }
        if work == Work::Whole {
            self.record(id).await;
            self.publish(id, &target.event).await;
        }
        self.confirm(id).await;
    }

    pub async fn reserve(&mut self, id: Uuid, target: &Target, hold: bool) {
        let statements = Arc::clone(&self.statements);
        let reserving = sqlx::query(AssertSqlSafe(statements.reserve.as_str()))
            .bind(id)
            .bind(self.user)
            .bind(&target.event)
            .bind(vec![target.kind.map(TicketTypeId::uuid)])
            .bind(vec![1_i32])
            .bind(format!("user:{}", self.user))
            .bind("POST /bookings")
            .bind(None::<String>)
            .bind(None::<String>)
            .bind(SWEEP_AFTER.as_secs_f64())
            .bind(hold)
            .bind(None::<String>)
            .bind(None::<i64>)
            .bind(None::<String>)
            .bind(None::<String>);
        reserving.fetch_one(&mut self.connection).await.unwrap();
    }

    async fn begin(&mut self, id: Uuid) {
        let statements = Arc::clone(&self.statements);
        let beginning = sqlx::query(AssertSqlSafe(statements.begin.as_str()))
            .bind(id)
            .bind(self.user)
            .bind(Uuid::now_v7())
            .bind(5_i16)
            .bind(25_f64)
            .bind(600_f64)
            .bind(format!("user:{}", self.user))
            .bind("POST /pay")
            .bind(None::<String>)
            .bind(None::<String>);
        beginning.fetch_one(&mut self.connection).await.unwrap();
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

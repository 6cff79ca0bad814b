//! The document store does not slow down with every payment: each query of ours takes as long in a
//! large collection as in a small one.
//!
//! The test runs the code's own queries in this process, against the running store. The store's indexes come
//! from the same list as DocumentDB's, so a query without an index shows up here. Nothing else runs beside this
//! test, and it compares only what it measured in one run.
#![expect(
    clippy::unwrap_used,
    reason = "a helper that fails is a test that fails"
)]

use std::sync::Arc;
use std::time::{Duration, Instant};

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use mongodb::bson::{Binary, DateTime, Document, doc, spec::BinarySubtype};
use serde_json::{Value, json};
use shared::FromConfig;
use shared::config::Config;
use shared::docdb::DocumentStore;
use shared::ids::{PaymentId, UserId};
use shared::notifications::{self, Batch, Notifications};
use shared::page::Page;
use shared::payments::{self, Charge, PaymentMethod, PaymentSweeper, Payments};
use shared::time::now;
use tests::TestApp;
use uuid::Uuid;

const SMALL: usize = 200;
const LARGE: usize = 20_000;
/// How often each is done, of which the median counts.
const TIMES: usize = 15;
/// A query may take this many times as long in the large collection as in the small one.
const MAX_GROWTH: u32 = 2;
/// Below this a difference is the machine's.
const NOISE: Duration = Duration::from_millis(3);
/// The owner of the documents that fill the collections. No such user exists.
const OF_NOBODY: i64 = 888_888_888;
const READER: i64 = 777_777_777;

struct Stores {
    app: TestApp,
    payments: Payments,
    sweeper: PaymentSweeper,
    notifications: Notifications,
}

impl Stores {
    async fn open() -> Self {
        let config = Config::from_env().unwrap();
        let store: Arc<DocumentStore> =
            DocumentStore::new(&config.documents_secret, config.concurrency)
                .await
                .unwrap();
        Self {
            app: TestApp::start().await,
            payments: Payments::new(&store),
            sweeper: PaymentSweeper::from_config(&config).await.unwrap(),
            notifications: Notifications::new(&store),
        }
    }

    fn collection(&self, name: &str) -> mongodb::Collection<Document> {
        let database = match name {
            "payments" | "gateway_charges" => "payment_db",
            _ => "notification_db",
        };
        self.app.documents.database(database).collection(name)
    }

    /// Adds documents of nobody's, up to so many in each collection.
    async fn grow(&self, to: usize) {
        for name in COLLECTIONS {
            let collection = self.collection(name);
            let filter = doc! {"user_id": OF_NOBODY};
            let there = collection.count_documents(filter).await.unwrap();
            let mut missing = to.saturating_sub(usize::try_from(there).unwrap());
            while missing > 0 {
                let batch = missing.min(1000);
                let documents = (0..batch).map(|_| document(name));
                collection.insert_many(documents).await.unwrap();
                missing -= batch;
            }
        }
    }

    async fn shrink(&self) {
        for name in COLLECTIONS {
            let of_ours = doc! {"user_id": {"$in": [OF_NOBODY, READER]}};
            self.collection(name).delete_many(of_ours).await.unwrap();
        }
    }

    /// The median time of each query, by its name.
    async fn measure(&self) -> Vec<(&'static str, Duration)> {
        let mut times: Vec<(&'static str, Vec<Duration>)> = Vec::new();
        for _ in 0..TIMES {
            let took = self.go_round().await;
            for (number, (name, took)) in took.into_iter().enumerate() {
                match times.get_mut(number) {
                    Some((_, times)) => times.push(took),
                    None => times.push((name, vec![took])),
                }
            }
        }
        times
            .into_iter()
            .map(|(name, mut times)| {
                times.sort();
                (name, times[times.len() / 2])
            })
            .collect()
    }

    /// Each query once, with the time that it took.
    async fn go_round(&self) -> Vec<(&'static str, Duration)> {
        let mut took = Vec::new();
        let charge = charge();
        let user = UserId::from(READER);
        macro_rules! time {
            ($name:literal, $query:expr) => {{
                let began = Instant::now();
                let outcome = $query.await.unwrap();
                took.push(($name, began.elapsed()));
                outcome
            }};
        }
        let card = PaymentMethod::Visa;
        time!(
            "open a record, enter it at the gateway, advance it",
            payments::charge(&self.payments, &charge, card)
        );
        time!(
            "open a record that is there",
            payments::charge(&self.payments, &charge, card)
        );
        time!(
            "read a record",
            payments::get(&self.payments, user, charge.payment_id)
        );
        time!(
            "refund",
            payments::refund(&self.payments, charge.payment_id)
        );
        time!(
            "look for pending payments and for old keys",
            payments::sweep(&self.sweeper)
        );
        let batch: Batch = serde_json::from_value(batch()).unwrap();
        time!(
            "store a notification",
            notifications::deliver(&self.notifications, batch.into_messages())
        );
        let page = Page::parse("l", Some("20"), None).unwrap();
        let first = time!(
            "list notifications",
            notifications::list(&self.notifications, user, &page)
        );
        let cursor = serde_json::to_value(&first).unwrap()["next_cursor"].clone();
        let page = Page::parse("l", Some("20"), cursor.as_str()).unwrap();
        time!(
            "list the next page",
            notifications::list(&self.notifications, user, &page)
        );
        time!(
            "look for what is old",
            notifications::forget_old(&self.notifications)
        );
        took
    }
}

const COLLECTIONS: [&str; 4] = ["payments", "gateway_charges", "notifications", "quarantine"];

fn charge() -> Charge {
    serde_json::from_value(json!({
        "payment_id": PaymentId::generate().to_string(), "booking_id": null, "user_id": READER,
        "amount_minor": 100, "currency": "USD",
    }))
    .unwrap()
}

fn batch() -> Value {
    let booking = format!("bk_{}", Uuid::now_v7().simple());
    let message = json!({
        "specversion": "1.0", "id": format!("{booking}.confirmed"), "source": "/bookings",
        "type": "admit.booking.confirmed", "time": now(),
        "data": {"booking_id": booking, "user_id": READER, "event_id": "E", "tickets": 1},
    });
    let data = BASE64_STANDARD.encode(message.to_string());
    json!({"eventSource": "aws:rmq", "rmqMessagesByQueue": {"q::/": [{"data": data}]}})
}

/// A document as it is usual in a collection.
fn document(collection: &str) -> Document {
    let id = Uuid::now_v7().simple().to_string();
    let now = DateTime::from_millis(now().timestamp_millis());
    match collection {
        "payments" => doc! {
            "_id": format!("pay_{id}"), "request_id": format!("{OF_NOBODY}:{id}"), "request_hash": "0",
            "key_until": DateTime::from_millis(now.timestamp_millis() + 86_400_000), "answer": "SUCCESS",
            "booking_id": format!("bk_{id}"), "user_id": OF_NOBODY, "amount_minor": 100_i64, "currency": "USD",
            "status": "SUCCESS", "attempts": 0, "created_at": now, "updated_at": now,
        },
        "gateway_charges" => doc! {
            "_id": format!("pay_{id}"), "user_id": OF_NOBODY, "verdict": "DECLINED", "amount_minor": 100_i64,
            "currency": "USD", "entered_at": now,
        },
        "notifications" => doc! {
            "_id": format!("bk_{id}.confirmed"), "user_id": OF_NOBODY, "type": "BOOKING_CONFIRMED",
            "booking_id": format!("bk_{id}"), "event_id": "E", "message": "A message.", "created_at": now,
        },
        _ => doc! {
            "_id": id, "user_id": OF_NOBODY, "queue": "q", "reason": "a test", "quarantined_at": now,
            "bytes": Binary { subtype: BinarySubtype::Generic, bytes: b"none".to_vec() },
        },
    }
}

#[tokio::test]
async fn no_query_of_the_document_store_takes_longer_in_a_large_collection() {
    let stores = Stores::open().await;
    stores.shrink().await;
    // Notifications of the one who lists them: the same number before and after.
    for _ in 0..60 {
        let batch: Batch = serde_json::from_value(batch()).unwrap();
        notifications::deliver(&stores.notifications, batch.into_messages())
            .await
            .unwrap();
    }
    stores.grow(SMALL).await;
    drop(stores.measure().await); // a warm-up: the first round takes longer
    let small = stores.measure().await;
    stores.grow(LARGE).await;
    let mut slower = Vec::new();
    // Measure again if the machine was busy at the wrong moment.
    for _ in 0..3 {
        let large = stores.measure().await;
        let both = small.iter().zip(&large);
        slower = both
            .filter(|((_, small), (_, large))| *large > *small * MAX_GROWTH + NOISE)
            .map(|((name, small), (_, large))| format!("{name}: {small:?}, then {large:?}"))
            .collect();
        for ((name, small), (_, large)) in small.iter().zip(&large) {
            println!("{name}: {small:?} among {SMALL} documents, {large:?} among {LARGE}");
        }
        if slower.is_empty() {
            break;
        }
    }
    stores.shrink().await;
    assert!(slower.is_empty(), "{slower:#?}");
}

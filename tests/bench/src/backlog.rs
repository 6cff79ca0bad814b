//! A backlog of notifications: one invocation beside the document store's own bulk insert, and a queue that one
//! invocation at a time works off.

use std::time::{Duration, Instant};

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use mongodb::bson::{DateTime, Document, doc};
use mongodb::{Collection, IndexModel};
use serde_json::{Value, json};
use shared::time::now;
use tests::stack::{local, start_event_sources};
use tests::{TestApp, queues};
use tokio::time::sleep;
use uuid::Uuid;

use crate::figures::{self, Figure, row};
use crate::rounds;

/// As many messages as fit into the 6 MB of one invocation, or nearly.
const BATCH: usize = 7_000;
const BACKLOG: usize = 100_000;
/// The owner of the stored notifications. No such user exists.
const USER: i64 = 888_888_888;

/// Measures both.
pub async fn measure(app: &TestApp) {
    let stored = app
        .documents
        .database("notification_db")
        .collection("notifications");
    let raw = app
        .documents
        .database("bench_db")
        .collection("notifications");
    for keys in [
        doc! {"user_id": 1, "created_at": -1, "_id": -1},
        doc! {"created_at": 1},
    ] {
        let index = IndexModel::builder().keys(keys).build();
        raw.create_index(index).await.unwrap();
    }
    let (mut ours, mut bare) = (Figure::default(), Figure::default());
    for _ in 0..rounds() {
        let event = batch(BATCH);
        let began = Instant::now();
        let answer = app.invoke("send-notification", &event).await.unwrap();
        ours.add(BATCH as f64 / began.elapsed().as_secs_f64());
        assert_eq!(answer["stored"], BATCH);
        let documents: Vec<_> = (0..BATCH).map(|_| document()).collect();
        let began = Instant::now();
        raw.insert_many(documents).ordered(false).await.unwrap();
        bare.add(BATCH as f64 / began.elapsed().as_secs_f64());
        stored.delete_many(doc! {"user_id": USER}).await.unwrap();
        raw.delete_many(doc! {}).await.unwrap();
    }
    let drained = drain(&stored).await;
    let mut text =
        "| notifications stored | a second | of the bulk insert |\n| --- | ---: | ---: |\n"
            .to_owned();
    text += &row(&[
        "the store's own bulk insert".to_owned(),
        bare.to_string(),
        String::new(),
    ]);
    let one = format!("one invocation with {BATCH} messages");
    text += &row(&[one, ours.to_string(), ours.over(&bare)]);
    let all = format!("a queue with {BACKLOG} messages, one invocation at a time");
    let share = format!("{:.2}", drained / bare.median());
    text += &row(&[all, format!("{drained:.0}"), share]);
    figures::write("backlog", &text).unwrap();
}

/// How many a second are stored, from the first to the last.
async fn drain(stored: &Collection<Document>) -> f64 {
    local(&["stop", "event-sources", "--kill"]).await;
    let bodies: Vec<_> = (0..BACKLOG)
        .map(|_| message().to_string().into_bytes())
        .collect();
    queues::publish("admit.events", "admit.booking.confirmed", &bodies).await;
    start_event_sources(&[]).await;
    let count = async || {
        stored
            .count_documents(doc! {"user_id": USER})
            .await
            .unwrap()
    };
    while count().await == 0 {
        sleep(Duration::from_millis(10)).await;
    }
    let began = Instant::now();
    // Ask the broker first, because counting documents takes the store's time.
    queues::empty("admit.notifications").await;
    while count().await < BACKLOG as u64 {
        sleep(Duration::from_millis(50)).await;
    }
    BACKLOG as f64 / began.elapsed().as_secs_f64()
}

fn batch(messages: usize) -> Value {
    let message = || {
        let data = BASE64_STANDARD.encode(message().to_string());
        let properties = json!({
            "contentType": "application/cloudevents+json", "contentEncoding": null, "headers": {}, "deliveryMode": 2,
            "priority": null, "correlationId": null, "replyTo": null, "expiration": null, "messageId": Uuid::now_v7(),
            "timestamp": null, "type": null, "userId": null, "appId": null, "clusterId": null, "bodySize": 250,
        });
        json!({"basicProperties": properties, "redelivered": false, "data": data})
    };
    let messages: Vec<_> = (0..messages).map(|_| message()).collect();
    json!({"eventSource": "aws:rmq", "rmqMessagesByQueue": {"admit.notifications::/": messages}})
}

fn message() -> Value {
    let booking = format!("bk_{}", Uuid::now_v7().simple());
    json!({
        "specversion": "1.0", "id": format!("{booking}.confirmed"), "source": "/bookings",
        "type": "admit.booking.confirmed", "time": now(),
        "data": {"booking_id": booking, "user_id": USER, "event_id": "E", "tickets": 1},
    })
}

/// What a message becomes.
fn document() -> Document {
    let booking = format!("bk_{}", Uuid::now_v7().simple());
    doc! {
        "_id": format!("{booking}.confirmed"), "user_id": USER, "type": "BOOKING_CONFIRMED",
        "booking_id": booking, "event_id": "E", "message": "Your booking of 1 ticket for E is confirmed.",
        "created_at": DateTime::from_millis(now().timestamp_millis()),
    }
}

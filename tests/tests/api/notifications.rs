//! Notifications: each once, whatever else is in the queue.

use std::collections::BTreeSet;
use std::time::Duration;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use mongodb::bson::{Document, doc};
use serde_json::{Value, json};
use tests::queues::{publish, quarantined};
use tests::{TestApp, User, eventually};
use uuid::Uuid;

fn announcement(user: &User, booking: &str) -> Value {
    json!({
        "specversion": "1.0", "id": format!("{booking}.confirmed"), "source": "/bookings",
        "type": "admit.booking.confirmed", "time": shared::time::now(), "datacontenttype": "application/json",
        "data": {"booking_id": booking, "user_id": user.id, "event_id": "E123", "tickets": 1},
    })
}

fn batch(messages: &[Vec<u8>]) -> Value {
    let messages: Vec<_> = messages
        .iter()
        .map(|bytes| json!({"data": BASE64_STANDARD.encode(bytes)}))
        .collect();
    json!({"eventSource": "aws:rmq", "rmqMessagesByQueue": {"admit.notifications::/": messages}})
}

async fn stored(app: &TestApp, booking: &str) -> u64 {
    let notifications = app
        .documents
        .database("notification_db")
        .collection::<Document>("notifications");
    notifications
        .count_documents(doc! {"booking_id": booking})
        .await
        .unwrap()
}

#[tokio::test]
async fn a_batch_with_unreadable_messages_stores_the_rest_and_quarantines_them_once() {
    let app = TestApp::start().await;
    let user = app.user().await;
    let booking = format!("bk_{}", Uuid::now_v7().simple());
    let good = announcement(&user, &booking).to_string().into_bytes();
    let garbage = [&b"\xff\x00 no json "[..], Uuid::now_v7().as_bytes()].concat();
    let mut forged = announcement(&user, &format!("bk_{}", Uuid::now_v7().simple()));
    forged["id"] = json!("another.confirmed");
    let forged = forged.to_string().into_bytes();
    let event = batch(&[garbage.clone(), good.clone(), forged.clone(), good]);
    for _ in 0..2 {
        let delivered = app.invoke("send-notification", &event).await.unwrap();
        assert_eq!(delivered, json!({"stored": 2, "quarantined": 2}));
    }
    assert_eq!(stored(&app, &booking).await, 1);
    assert_eq!(quarantined(&app, &garbage).await, 1);
    assert_eq!(quarantined(&app, &forged).await, 1);
    let page = app.get(&user, "/notifications").await;
    assert_eq!(page.body["items"].as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn a_batch_with_a_known_notification_stores_the_new_ones() {
    let app = TestApp::start().await;
    let user = app.user().await;
    let bookings: Vec<_> = (0..3)
        .map(|_| format!("bk_{}", Uuid::now_v7().simple()))
        .collect();
    let messages: Vec<_> = bookings
        .iter()
        .map(|booking| announcement(&user, booking).to_string().into_bytes())
        .collect();
    app.invoke("send-notification", &batch(&messages[..1]))
        .await
        .unwrap();
    app.invoke("send-notification", &batch(&messages))
        .await
        .unwrap();
    for booking in &bookings {
        assert_eq!(stored(&app, booking).await, 1, "{booking}");
    }
}

#[tokio::test]
async fn a_message_without_properties_is_stored_and_poison_does_not_hold_it_up() {
    let app = TestApp::start().await;
    let user = app.user().await;
    let booking = format!("bk_{}", Uuid::now_v7().simple());
    let poison = format!("poison {booking}").into_bytes();
    let readable = announcement(&user, &booking).to_string().into_bytes();
    publish("", "admit.notifications", &[poison.clone(), readable]).await;
    app.await_notification(&user, &booking).await;
    eventually("the poison is quarantined", async || {
        (quarantined(&app, &poison).await == 1).then_some(())
    })
    .await;
}

#[tokio::test]
async fn notifications_are_listed_newest_first_in_pages() {
    let app = TestApp::start().await;
    let user = app.user().await;
    let day = shared::time::ago(Duration::from_secs(24 * 60 * 60));
    // Two of the four have the same time. With one item per page, they are on different pages.
    let times: Vec<_> = [1, 2, 2, 3]
        .map(|minute| day + Duration::from_secs(60 * minute))
        .into();
    let bodies: Vec<_> = times
        .iter()
        .map(|time| {
            let mut message = announcement(&user, &format!("bk_{}", Uuid::now_v7().simple()));
            message["time"] = json!(time);
            message.to_string().into_bytes()
        })
        .collect();
    app.invoke("send-notification", &batch(&bodies))
        .await
        .unwrap();
    let (mut listed, mut ids) = (Vec::new(), BTreeSet::new());
    let mut path = "/notifications?limit=1".to_owned();
    loop {
        let page = app.get(&user, &path).await;
        for item in page.body["items"].as_array().unwrap() {
            listed.push(item["created_at"].clone());
            ids.insert(item["notification_id"].to_string());
        }
        let Some(cursor) = page.body["next_cursor"].as_str() else {
            break;
        };
        path = format!("/notifications?limit=1&cursor={cursor}");
    }
    let expected: Vec<_> = times.iter().rev().map(|time| json!(time)).collect();
    assert_eq!(listed, expected);
    assert_eq!(ids.len(), 4, "each is on one page");
}

#[tokio::test]
async fn what_cloudevents_leaves_to_the_sender_may_be_missing() {
    let app = TestApp::start().await;
    let user = app.user().await;
    let booking = format!("bk_{}", Uuid::now_v7().simple());
    let mut bare = announcement(&user, &booking);
    for name in ["time", "datacontenttype"] {
        bare.as_object_mut().unwrap().remove(name);
    }
    let event = batch(&[bare.to_string().into_bytes()]);
    for _ in 0..2 {
        let delivered = app.invoke("send-notification", &event).await.unwrap();
        assert_eq!(delivered, json!({"stored": 1, "quarantined": 0}));
    }
    assert_eq!(stored(&app, &booking).await, 1);
    let listed = app.get(&user, "/notifications").await;
    let created = listed.body["items"][0]["created_at"].as_str().unwrap();
    let created: chrono::DateTime<chrono::Utc> = created.parse().unwrap();
    assert!(
        (shared::time::now() - created).num_seconds().abs() < 60,
        "{created}"
    );
}

#[tokio::test]
async fn an_announcement_of_a_year_that_can_not_be_written_is_quarantined_whole() {
    let app = TestApp::start().await;
    let user = app.user().await;
    for time in [
        "0000-12-31T23:59:59Z",
        "+10000-01-01T00:00:00Z",
        "-0001-01-01T00:00:00Z",
        "yesterday",
    ] {
        let booking = format!("bk_{}", Uuid::now_v7().simple());
        let mut message = announcement(&user, &booking);
        message["time"] = json!(time);
        message["padding"] = json!("x".repeat(5000));
        let bytes = message.to_string().into_bytes();
        let delivered = app
            .invoke("send-notification", &batch(std::slice::from_ref(&bytes)))
            .await
            .unwrap();
        assert_eq!(delivered, json!({"stored": 0, "quarantined": 1}), "{time}");
        assert_eq!(
            (
                stored(&app, &booking).await,
                quarantined(&app, &bytes).await
            ),
            (0, 1),
            "{time}"
        );
    }
    // The edges are times like any other, and their cursors are taken back.
    let mut bodies = Vec::new();
    for time in ["0001-01-01T00:00:00Z", "9999-12-31T23:59:59.999Z"] {
        let mut message = announcement(&user, &format!("bk_{}", Uuid::now_v7().simple()));
        message["time"] = json!(time);
        bodies.push(message.to_string().into_bytes());
    }
    let delivered = app
        .invoke("send-notification", &batch(&bodies))
        .await
        .unwrap();
    assert_eq!(delivered, json!({"stored": 2, "quarantined": 0}));
    let first = app.get(&user, "/notifications?limit=1").await;
    assert_eq!(
        first.body["items"][0]["created_at"],
        "9999-12-31T23:59:59.999Z"
    );
    let path = format!(
        "/notifications?limit=1&cursor={}",
        first.text("next_cursor")
    );
    let second = app.get(&user, &path).await;
    assert_eq!(
        second.body["items"][0]["created_at"],
        "0001-01-01T00:00:00Z"
    );
}

#[tokio::test]
async fn an_event_that_is_not_of_a_functions_own_sources_fails_loudly() {
    let app = TestApp::start().await;
    let record = json!({"messageId": "1", "body": "{}", "eventSource": "aws:sqs"});
    let other = |source: &str| json!({"messageId": "1", "body": "{}", "eventSource": source});
    let of_none = [
        json!({}),
        json!([]),
        json!({"detail-type": "Scheduled Event"}),
        json!({"source": "aws.s3", "detail-type": "Scheduled Event"}),
        json!({"eventSource": "aws:kafka", "records": {"t-0": [{"value": "e30="}]}}),
        json!({"eventSource": "aws:amq", "messages": []}),
        json!({"eventSource": "aws:rmq"}),
        json!({"Records": [other("aws:kinesis")]}),
        json!({"Records": [record, other("aws:sns")]}),
        json!({"Records": []}),
        json!({"redrive": 0}),
        json!({"redrive": -1}),
        json!({"redrive": 1.5}),
        json!({"redrive": "10"}),
        json!({"redrive": null}),
        json!({"redrive": 10, "Records": []}),
    ];
    let schedule = json!({"source": "aws.scheduler", "detail-type": "Scheduled Event"});
    let rule = json!({"source": "aws.events", "detail-type": "Scheduled Event"});
    let redrive = json!({"redrive": 1});
    let own = [
        ("settle-bookings", vec![json!({"Records": [record]})]),
        ("sweep-bookings", vec![schedule.clone(), rule.clone()]),
        ("sweep-payments", vec![schedule.clone(), rule.clone()]),
        ("redrive", vec![redrive.clone()]),
        ("send-notification", vec![batch(&[])]),
        ("forget-notifications", vec![schedule, rule]),
        ("redrive-quarantine", vec![redrive]),
    ];
    let all: Vec<_> = own
        .iter()
        .flat_map(|(_, events)| events)
        .chain(&of_none)
        .collect();
    for (function, own) in &own {
        for event in &all {
            let answer = app.invoke(function, event).await;
            let is_own = own.contains(event);
            assert_eq!(answer.is_ok(), is_own, "{function}: {event}: {answer:?}");
        }
    }
}

#[tokio::test]
async fn of_several_settle_messages_only_those_that_failed_come_again() {
    let app = TestApp::start().await;
    let user = app.user().await;
    let record = |id: &str, body: Value| json!({"messageId": id, "body": body.to_string(), "eventSource": "aws:sqs"});
    // A payment without a gateway's answer that anybody could wait for: its record is of another shape.
    let broken = format!("pay_{}", Uuid::now_v7().simple());
    let payments = app
        .documents
        .database("payment_db")
        .collection::<Document>("payments");
    payments
        .insert_one(
            doc! {"_id": &broken, "request_id": &broken, "user_id": user.id, "status": "GIBBERISH"},
        )
        .await
        .unwrap();
    let missing = format!("pay_{}", Uuid::now_v7().simple());
    let missing_booking = format!("bk_{}", Uuid::now_v7().simple());
    let event = json!({"Records": [
        record("a", json!({"payment_id": missing})),
        record("b", json!({"payment_id": broken})),
        record("c", json!({"booking_id": missing_booking})),
    ]});
    let answer = app.invoke("settle-bookings", &event).await.unwrap();
    payments.delete_one(doc! {"_id": &broken}).await.unwrap();
    assert_eq!(
        answer,
        json!({"batchItemFailures": [{"itemIdentifier": "b"}]})
    );
}

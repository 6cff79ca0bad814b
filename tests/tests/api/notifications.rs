//! Notifications: each once, whatever else is in the queue.

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use mongodb::bson::{Document, doc};
use serde_json::{Value, json};
use tests::queues::publish;
use tests::{TestApp, User, eventually};
use uuid::Uuid;

fn announcement(user: &User, booking: &str) -> Value {
    json!({
        "specversion": "1.0", "id": format!("{booking}.confirmed"), "source": "/bookings",
        "type": "admit.booking.confirmed", "time": "2026-01-01T00:00:00Z", "datacontenttype": "application/json",
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

async fn quarantined(app: &TestApp, bytes: &[u8]) -> u64 {
    let quarantine = app
        .documents
        .database("notification_db")
        .collection::<Document>("quarantine");
    let bytes = mongodb::bson::Binary {
        subtype: mongodb::bson::spec::BinarySubtype::Generic,
        bytes: bytes.to_vec(),
    };
    quarantine
        .count_documents(doc! {"bytes": bytes})
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
    let bodies: Vec<_> = (1..=3)
        .map(|minute| {
            let mut message = announcement(&user, &format!("bk_{}", Uuid::now_v7().simple()));
            message["time"] = json!(format!("2026-01-01T00:0{minute}:00Z"));
            message.to_string().into_bytes()
        })
        .collect();
    app.invoke("send-notification", &batch(&bodies))
        .await
        .unwrap();
    let first = app.get(&user, "/notifications?limit=2").await;
    let cursor = first.text("next_cursor");
    let second = app
        .get(&user, &format!("/notifications?limit=2&cursor={cursor}"))
        .await;
    let items = |page: &tests::Answer| page.body["items"].as_array().unwrap().clone();
    let times: Vec<_> = items(&first)
        .into_iter()
        .chain(items(&second))
        .map(|item| item["created_at"].clone())
        .collect();
    let expected: Vec<_> = (1..=3)
        .rev()
        .map(|minute| json!(format!("2026-01-01T00:0{minute}:00Z")))
        .collect();
    assert_eq!(times, expected);
    assert_eq!(second.body["next_cursor"], json!(null));
}

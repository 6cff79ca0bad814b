//! Messages that come from somewhere else than the functions: by hand, broken, or late.

use std::time::Duration;

use lapin::options::{BasicPublishOptions, ConfirmSelectOptions, QueueDeclareOptions};
use lapin::types::FieldTable;
use lapin::{BasicProperties, Confirmation};
use mongodb::bson::spec::BinarySubtype;
use mongodb::bson::{Binary, Document, doc};
use serde_json::json;
use shared::aws;
use tokio::time::sleep;
use uuid::Uuid;

use crate::{TestApp, eventually, secrets, setting};

/// Publishes messages to an exchange of the broker's; the nameless one puts them into the queue of
/// the routing key's name.
pub async fn publish(exchange: &str, routing_key: &str, bodies: &[Vec<u8>]) {
    let connection = secrets::broker("broker-owner").await;
    let channel = connection.create_channel().await.unwrap();
    for body in bodies {
        let options = BasicPublishOptions::default();
        let properties = BasicProperties::default();
        channel
            .basic_publish(
                exchange.into(),
                routing_key.into(),
                options,
                body,
                properties,
            )
            .await
            .unwrap();
    }
    connection.close(200, "done".into()).await.unwrap();
}

/// Waits until no message in a queue of the broker is left for a consumer to take.
pub async fn empty(queue: &str) {
    let connection = secrets::broker("broker-owner").await;
    let channel = connection.create_channel().await.unwrap();
    let options = QueueDeclareOptions {
        passive: true,
        ..Default::default()
    };
    loop {
        let declared = channel.queue_declare(queue.into(), options, FieldTable::default());
        if declared.await.unwrap().message_count() == 0 {
            break;
        }
        sleep(Duration::from_millis(50)).await;
    }
    connection.close(200, "done".into()).await.unwrap();
}

/// Publishes one message where announcements are published; whether the broker has taken it.
pub async fn try_publish(body: &[u8]) -> bool {
    let account = shared::secrets::Secret::new(&secrets::named("broker-owner")).await;
    let publishing = async {
        let connection = shared::broker::log_in(&account).await.ok()?;
        let channel = connection.create_channel().await.ok()?;
        channel
            .confirm_select(ConfirmSelectOptions::default())
            .await
            .ok()?;
        let sent = channel.basic_publish(
            "admit.events".into(),
            "admit.booking.confirmed".into(),
            BasicPublishOptions::default(),
            body,
            BasicProperties::default(),
        );
        let confirmed = sent.await.ok()?.await.ok()?;
        matches!(confirmed, Confirmation::Ack(None)).then_some(())
    };
    let published = tokio::time::timeout(Duration::from_secs(5), publishing).await;
    published.is_ok_and(|published| published.is_some())
}

/// How often a message is in quarantine.
pub async fn quarantined(app: &TestApp, body: &[u8]) -> u64 {
    let bytes = Binary {
        subtype: BinarySubtype::Generic,
        bytes: body.to_vec(),
    };
    let quarantine = app.documents.database("notification_db");
    let quarantine = quarantine.collection::<Document>("quarantine");
    quarantine
        .count_documents(doc! {"bytes": bytes})
        .await
        .unwrap()
}

/// Waits until everything that was announced so far has been delivered: until what is announced now
/// has been.
pub async fn flush(app: &TestApp) {
    let booking = format!("bk_{}", Uuid::now_v7().simple());
    let id = format!("{booking}.confirmed");
    let last = json!({
        "specversion": "1.0", "id": id, "source": "/bookings", "type": "admit.booking.confirmed",
        "time": shared::time::now(), "datacontenttype": "application/json",
        "data": {"booking_id": booking, "user_id": 999_999_999, "event_id": "E123", "tickets": 1},
    });
    let last = [last.to_string().into_bytes()];
    publish("admit.events", "admit.booking.confirmed", &last).await;
    let notifications = app.documents.database("notification_db");
    let notifications = notifications.collection::<Document>("notifications");
    eventually("all announcements are delivered", async || {
        let found = notifications.find_one(doc! {"_id": &id}).await;
        found.ok().flatten()
    })
    .await;
}

/// Sends a message to the queue that a setting names.
pub async fn enqueue(queue: &str, body: &str) {
    let client = aws::sqs(Duration::from_secs(10)).await;
    let message = client.send_message().queue_url(setting(queue));
    message.message_body(body).send().await.unwrap();
}

/// Looks at messages in the queue that a setting names, with the reasons that they carry.
pub async fn receive(queue: &str) -> Vec<(String, Option<String>)> {
    let client = aws::sqs(Duration::from_secs(10)).await;
    let mut all = Vec::new();
    // SQS returns at most ten messages at once. The visibility timeout hides those that were received while the rest
    // is read.
    for _ in 0..20 {
        let receiving = client.receive_message().queue_url(setting(queue));
        let receiving = receiving
            .visibility_timeout(1)
            .max_number_of_messages(10)
            .message_attribute_names("All");
        let messages = receiving.send().await.unwrap().messages.unwrap_or_default();
        if messages.is_empty() {
            break;
        }
        all.extend(messages.into_iter().map(|message| {
            let attributes = message.message_attributes.unwrap_or_default();
            let reason = attributes
                .get("reason")
                .and_then(|reason| reason.string_value.clone());
            (message.body.unwrap_or_default(), reason)
        }));
    }
    all
}

//! RabbitMQ → `send-notification`.
//!
//! Rules of Lambda's that hold here: one batch at a time; a batch is what came within the window,
//! at most so many messages and 6 MB; it is acknowledged whole when the function answered, and
//! given back whole when it did not, again and again.

use std::collections::BTreeMap;
use std::time::Duration;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use futures_util::StreamExt;
use lapin::message::Delivery;
use lapin::options::{BasicAckOptions, BasicConsumeOptions, BasicNackOptions, BasicQosOptions};
use lapin::types::{FieldTable, ShortString};
use lapin::{Connection, Consumer};
use serde::Serialize;
use shared::broker::{self, BrokerError, NOTIFICATIONS_QUEUE};
use shared::faults::FailPoint;
use shared::secrets::Secret;
use shared::{Error, calls, telemetry};
use tokio::time::{Instant, sleep, timeout_at};

use crate::lambda::{Invoked, Lambda};

/// As the template says.
const BATCH_SIZE: u16 = 10_000;
const WINDOW: Duration = Duration::from_millis(500);
/// The longest that the broker may take for one answer.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// Lambda's limit of an invocation's payload, in bytes.
const MAX_BATCH_BYTES: usize = 6 * 1024 * 1024;
/// The bytes of a batch that each message's properties may take.
const PROPERTIES_BYTES: usize = 400;

/// Consumes the queue of notifications, for as long as the process lives.
pub async fn run(account: Secret, lambda: Lambda) {
    loop {
        if let Err(error) = consume(&account, &lambda).await {
            tracing::warn!(
                error = telemetry::chain(error.as_ref()),
                "consuming RabbitMQ failed; connecting again"
            );
        }
        sleep(Duration::from_secs(1)).await;
    }
}

async fn consume(account: &Secret, lambda: &Lambda) -> Result<(), Error> {
    let (_connection, mut consumer) =
        calls::once(FailPoint("SourceConnect"), CONNECT_TIMEOUT, || {
            connect(account)
        })
        .await?;
    tracing::info!(queue = NOTIFICATIONS_QUEUE, "consuming queue");
    let mut failures = 0;
    loop {
        let batch = next_batch(&mut consumer).await?;
        let Some(last) = batch.last() else { continue };
        let event = event(&batch)?;
        match lambda.invoke("send-notification", event).await {
            Ok(Invoked::Answered(_)) => {
                calls::once(FailPoint("SourceAck"), CONNECT_TIMEOUT, || {
                    last.ack(BasicAckOptions { multiple: true })
                })
                .await?;
                failures = 0;
            }
            failed => {
                tracing::warn!(
                    messages = batch.len(),
                    ?failed,
                    "the batch failed; it comes again"
                );
                failures += 1;
                // A store that is down wants no hammering. The messages stay out meanwhile, in order.
                sleep(pause(failures)).await;
                let whole = BasicNackOptions {
                    multiple: true,
                    requeue: true,
                };
                calls::once(FailPoint("SourceReject"), CONNECT_TIMEOUT, || {
                    last.nack(whole)
                })
                .await?;
            }
        }
    }
}

async fn connect(account: &Secret) -> Result<(Connection, Consumer), BrokerError> {
    let connection = broker::log_in(account).await?;
    let channel = connection.create_channel().await?;
    channel
        // The next batch comes while the function has this one.
        .basic_qos(2 * BATCH_SIZE, BasicQosOptions::default())
        .await?;
    let consumer = channel
        .basic_consume(
            NOTIFICATIONS_QUEUE.into(),
            // The server chooses the consumer tag, so that an old consumer whose dead connection has not been
            // noticed yet is in nobody's way.
            "".into(),
            BasicConsumeOptions::default(),
            FieldTable::default(),
        )
        .await?;
    Ok((connection, consumer))
}

/// How long to wait after so many failures in a row: from half a second to ten.
fn pause(failures: u32) -> Duration {
    Duration::from_millis(250)
        .saturating_mul(1 << failures.min(6))
        .min(Duration::from_secs(10))
}

/// What comes until the window closes or the batch is full. Waits for the first.
async fn next_batch(consumer: &mut Consumer) -> Result<Vec<Delivery>, Error> {
    let first = consumer
        .next()
        .await
        .ok_or("the broker ended the consumer")??;
    let closes = Instant::now() + WINDOW;
    let mut size = size_of(&first);
    let mut batch = vec![first];
    while batch.len() < usize::from(BATCH_SIZE) && size < MAX_BATCH_BYTES {
        match timeout_at(closes, consumer.next()).await {
            Ok(delivery) => {
                let delivery = delivery.ok_or("the broker ended the consumer")??;
                size += size_of(&delivery);
                batch.push(delivery);
            }
            Err(_) => break,
        }
    }
    Ok(batch)
}

/// What a message takes of an event. Base64 makes four bytes of three.
fn size_of(delivery: &Delivery) -> usize {
    delivery.data.len() * 4 / 3 + PROPERTIES_BYTES
}

/// A batch as Lambda's event for it.
fn event(batch: &[Delivery]) -> Result<String, Error> {
    let queue = format!("{NOTIFICATIONS_QUEUE}::/");
    let messages: Vec<_> = batch.iter().map(Message::of).collect();
    Ok(serde_json::to_string(&Event {
        event_source: "aws:rmq",
        event_source_arn: "arn:aws:mq:us-east-1:000000000000:broker:admit:b-00000000-0000-0000-0000-000000000000",
        rmq_messages_by_queue: BTreeMap::from([(queue, messages)]),
    })?)
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Event<'b> {
    event_source: &'static str,
    event_source_arn: &'static str,
    rmq_messages_by_queue: BTreeMap<String, Vec<Message<'b>>>,
}

/// A message as it stands in Lambda's event.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Message<'b> {
    basic_properties: BasicProperties<'b>,
    redelivered: bool,
    data: String,
}

/// Those that a message lacks are null.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct BasicProperties<'b> {
    content_type: Option<&'b str>,
    content_encoding: Option<&'b str>,
    headers: BTreeMap<String, String>,
    delivery_mode: Option<u8>,
    priority: Option<u8>,
    correlation_id: Option<&'b str>,
    reply_to: Option<&'b str>,
    expiration: Option<&'b str>,
    message_id: Option<&'b str>,
    timestamp: Option<u64>,
    r#type: Option<&'b str>,
    user_id: Option<&'b str>,
    app_id: Option<&'b str>,
    cluster_id: Option<&'b str>,
    body_size: usize,
}

impl<'b> Message<'b> {
    fn of(delivery: &'b Delivery) -> Self {
        let sent = &delivery.properties;
        let text = |text: &'b Option<ShortString>| text.as_ref().map(ShortString::as_str);
        Self {
            basic_properties: BasicProperties {
                content_type: text(sent.content_type()),
                content_encoding: text(sent.content_encoding()),
                headers: BTreeMap::new(),
                delivery_mode: *sent.delivery_mode(),
                priority: *sent.priority(),
                correlation_id: text(sent.correlation_id()),
                reply_to: text(sent.reply_to()),
                expiration: text(sent.expiration()),
                message_id: text(sent.message_id()),
                timestamp: *sent.timestamp(),
                r#type: text(sent.kind()),
                user_id: text(sent.user_id()),
                app_id: text(sent.app_id()),
                cluster_id: text(sent.cluster_id()),
                body_size: delivery.data.len(),
            },
            redelivered: delivery.redelivered,
            data: BASE64_STANDARD.encode(&delivery.data),
        }
    }
}

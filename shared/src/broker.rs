//! RabbitMQ: the topology, and publishing with confirms.
//!
//! A connection is made when it is first used and kept between requests. Lambda freezes the process
//! and misses heartbeats, so a kept connection may be dead: then one new one is tried.

use std::time::Duration;

use lapin::options::{
    BasicPublishOptions, ConfirmSelectOptions, ExchangeDeclareOptions, QueueBindOptions,
    QueueDeclareOptions,
};
use lapin::types::{AMQPValue, FieldTable};
use lapin::{
    BasicProperties, Channel, Confirmation, Connection, ConnectionProperties, ExchangeKind,
};
use secrecy::{ExposeSecret, SecretString};
use tokio::sync::Mutex;
use tokio::time::timeout;

use crate::notifications::Announcement;

/// Where announcements are published, by their type as the routing key.
pub const EXCHANGE: &str = "admit.events";
/// What `send-notification` consumes.
pub const NOTIFICATIONS_QUEUE: &str = "admit.notifications";
const DEAD_LETTER_EXCHANGE: &str = "admit.dead-letters";
/// Where the broker puts what it can't keep in the queue above.
pub const DEAD_LETTER_QUEUE: &str = "admit.notifications.dead-letters";

/// The longest that a request waits for the broker before it leaves the announcing to the sweep.
const TIMEOUT: Duration = Duration::from_secs(2);

/// Why the broker doesn't have a message, or may not have it.
#[derive(Debug, thiserror::Error)]
pub enum BrokerError {
    #[error("talking to the broker")]
    Amqp(#[from] lapin::Error),
    #[error("the broker did not answer within {} seconds", TIMEOUT.as_secs())]
    TimedOut,
    #[error("the broker refused the message or had no queue for it")]
    NotTaken,
    #[error("writing the message")]
    Message(#[from] serde_json::Error),
}

/// A publisher.
#[derive(Debug)]
pub struct Broker {
    url: SecretString,
    channel: Mutex<Option<OpenChannel>>,
}

/// A channel with the connection that it lives on.
#[derive(Debug)]
struct OpenChannel {
    channel: Channel,
    _connection: Connection,
}

impl Broker {
    /// A publisher to this broker. It connects when it is first used.
    pub fn new(url: &SecretString) -> Self {
        Self {
            url: url.clone(),
            channel: Mutex::new(None),
        }
    }

    /// Publishes an announcement; on `Ok` the broker has written it to its queue.
    ///
    /// # Errors
    /// The broker doesn't have it, or may not have it. A repeat is safe: whoever reads it twice
    /// knows it by its id.
    pub async fn publish(&self, announcement: &Announcement) -> Result<(), BrokerError> {
        timeout(TIMEOUT, self.publish_reconnecting(announcement))
            .await
            .unwrap_or(Err(BrokerError::TimedOut))
    }

    async fn publish_reconnecting(&self, announcement: &Announcement) -> Result<(), BrokerError> {
        let mut kept = self.channel.lock().await;
        // Taken out while it is used: a publish that is cut off by the timeout leaves none behind.
        if let Some(open) = kept.take().filter(|open| open.channel.status().connected())
            && publish(&open.channel, announcement).await.is_ok()
        {
            *kept = Some(open);
            return Ok(());
        }
        let open = connect(&self.url).await?;
        publish(&open.channel, announcement).await?;
        *kept = Some(open);
        Ok(())
    }

    /// Declares the exchanges and queues. Safe to repeat.
    ///
    /// # Errors
    /// The broker can't be reached, or has another queue of the same name.
    pub async fn declare(&self) -> Result<(), BrokerError> {
        let OpenChannel {
            channel,
            _connection,
        } = connect(&self.url).await?;
        let durable = ExchangeDeclareOptions {
            durable: true,
            ..Default::default()
        };
        for (exchange, queue, arguments) in [
            (DEAD_LETTER_EXCHANGE, DEAD_LETTER_QUEUE, vec![]),
            (
                EXCHANGE,
                NOTIFICATIONS_QUEUE,
                vec![
                    ("x-dead-letter-exchange", DEAD_LETTER_EXCHANGE),
                    ("x-dead-letter-strategy", "at-least-once"),
                    ("x-overflow", "reject-publish"),
                ],
            ),
        ] {
            channel
                .exchange_declare(
                    exchange.into(),
                    ExchangeKind::Topic,
                    durable,
                    FieldTable::default(),
                )
                .await?;
            let mut table = FieldTable::default();
            // A quorum queue survives the loss of a node of the cluster.
            for (name, value) in arguments.into_iter().chain([("x-queue-type", "quorum")]) {
                table.insert(name.into(), AMQPValue::LongString(value.into()));
            }
            channel
                .queue_declare(queue.into(), QueueDeclareOptions::durable(), table)
                .await?;
            channel
                .queue_bind(
                    queue.into(),
                    exchange.into(),
                    "#".into(),
                    QueueBindOptions::default(),
                    FieldTable::default(),
                )
                .await?;
        }
        Ok(())
    }
}

async fn connect(url: &SecretString) -> Result<OpenChannel, BrokerError> {
    let properties = ConnectionProperties::default().with_connection_name("admit".into());
    let connection = Connection::connect(url.expose_secret(), properties).await?;
    let channel = connection.create_channel().await?;
    channel
        .confirm_select(ConfirmSelectOptions::default())
        .await?;
    Ok(OpenChannel {
        channel,
        _connection: connection,
    })
}

async fn publish(channel: &Channel, announcement: &Announcement) -> Result<(), BrokerError> {
    const PERSISTENT: u8 = 2;
    let body = serde_json::to_vec(announcement)?;
    let properties = BasicProperties::default()
        .with_message_id(announcement.id().into())
        .with_content_type("application/cloudevents+json".into())
        .with_delivery_mode(PERSISTENT);
    // Mandatory: without a queue to put it into, the broker says so instead of dropping it.
    let options = BasicPublishOptions {
        mandatory: true,
        ..Default::default()
    };
    let confirm = channel
        .basic_publish(
            EXCHANGE.into(),
            announcement.event_type().into(),
            options,
            &body,
            properties,
        )
        .await?
        .await?;
    match confirm {
        Confirmation::Ack(None) => Ok(()),
        Confirmation::Ack(Some(_)) | Confirmation::Nack(_) | Confirmation::NotRequested => {
            Err(BrokerError::NotTaken)
        }
    }
}

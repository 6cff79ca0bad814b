//! RabbitMQ: the topology, and publishing with confirms.
//!
//! A connection is made when it is first used and kept between requests. Lambda freezes the process
//! and misses heartbeats, so a kept connection may be dead: then one new one is tried.

use std::io;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use lapin::options::{
    BasicAckOptions, BasicGetOptions, BasicPublishOptions, ConfirmSelectOptions,
    ExchangeDeclareOptions, QueueBindOptions, QueueDeclareOptions,
};
use lapin::tcp::OwnedTLSConfig;
use lapin::types::{AMQPValue, FieldTable};
use lapin::uri::{AMQPAuthority, AMQPQueryString, AMQPScheme, AMQPUri, AMQPUserInfo};
use lapin::{
    BasicProperties, Channel, Confirmation, Connection, ConnectionProperties, ErrorKind,
    ExchangeKind,
};
use secrecy::ExposeSecret;
use serde::Serialize;
use serde_json::{Value, json};
use tokio::sync::Semaphore;
use tokio::time::timeout;

use crate::early;
use crate::secrets::{AuthRejected, Secret, SecretError, StoreCredentials};
use crate::tls;
use runtime::Error;
use runtime::FromConfig;
use runtime::calls::{self, CallError};
use runtime::config::Config;
use runtime::config::Setting;
use runtime::faults::FailPoint;

/// Where announcements are published, by their type as the routing key.
pub const EXCHANGE: &str = "admit.events";
/// What `send-notification` consumes.
pub const NOTIFICATIONS_QUEUE: &str = "admit.notifications";
const DEAD_LETTER_EXCHANGE: &str = "admit.dead-letters";
/// Where the broker puts what it can't keep in the queue above.
pub const DEAD_LETTER_QUEUE: &str = "admit.notifications.dead-letters";

/// The longest that a request waits for the broker before it leaves the announcing to the sweep.
const PUBLISH_TIMEOUT: Duration = Duration::from_secs(2);

const PUBLISH: FailPoint = FailPoint("BrokerPublish");

/// Why the broker doesn't have a message, or may not have it.
#[derive(Debug, thiserror::Error)]
pub enum BrokerError {
    #[error("talking to the broker")]
    Amqp(#[from] lapin::Error),
    #[error("the account of the broker")]
    Account(#[from] SecretError),
    #[error("preparing a connection to the broker")]
    Prepare(#[from] io::Error),
    #[error("the broker refused the message or had no queue for it")]
    NotTaken,
    #[error("writing the message")]
    Message(#[from] serde_json::Error),
}

/// A publisher.
#[derive(Debug)]
pub struct Broker {
    account: Secret,
    /// A permit entitles its holder to use one channel.
    turns: Semaphore,
    /// The idle channels. A channel serves one publish at a time, because a message that the broker returns for lack
    /// of a queue carries no delivery tag that tells it from others.
    kept: Mutex<Vec<OpenChannel>>,
}

/// A channel with the connection that it lives on.
#[derive(Debug)]
struct OpenChannel {
    channel: Channel,
    _connection: Connection,
}

impl FromConfig for Broker {
    async fn from_config(config: &Config) -> Result<Self, Error> {
        Self::new(&config.broker_secret, config.concurrency).await
    }
}

impl Broker {
    /// A publisher to the broker of the account that the secret in `setting` describes, through `most` connections. Each is
    /// made when it is first needed.
    pub async fn new(setting: &Setting<String>, most: usize) -> Result<Self, Error> {
        Ok(Self {
            account: Secret::new(setting.required()?).await,
            turns: Semaphore::new(most),
            kept: Mutex::default(),
        })
    }

    /// Publishes a message; on `Ok` the broker has written it to its queue.
    ///
    /// # Errors
    /// The broker doesn't have it, or may not have it. A repeat is safe: whoever reads it twice
    /// knows it by its id.
    pub fn publish<'m>(
        &'m self,
        message: &'m Message,
    ) -> BoxFuture<'m, Result<(), CallError<BrokerError>>> {
        async move {
            // Others' messages are waited for before the clock starts. It fails if the semaphore is closed, and it never is.
            let _turn = self.turns.acquire().await.ok();
            let limit = PUBLISH_TIMEOUT.min(calls::remaining() / 2);
            timeout(limit, self.publish_reconnecting(message))
                .await
                .unwrap_or(Err(CallError::TimedOut {
                    point: PUBLISH,
                    limit,
                }))
        }
        .boxed()
    }

    /// Begins to connect, so that the first message finds a channel. It waits for this one's outcome.
    pub fn connect_early(&'static self) {
        tokio::spawn(async {
            let _turn = self.turns.acquire().await.ok();
            if let Some(open) = early::connected(self.connect()).await {
                self.kept().push(open);
            }
        });
    }

    async fn publish_reconnecting(&self, message: &Message) -> Result<(), CallError<BrokerError>> {
        // Take the channel out while in use, so that a publish cancelled by its timeout cannot leave a
        // half-used channel behind.
        let kept = self.kept().pop();
        if let Some(open) = kept.filter(|open| open.channel.status().connected())
            && publish(&open.channel, message).await.is_ok()
        {
            self.kept().push(open);
            return Ok(());
        }
        let open = self.connect().await?;
        publish(&open.channel, message).await?;
        self.kept().push(open);
        Ok(())
    }

    /// Ignores poisoning: nothing panics while this lock is held, so what it guards is always consistent.
    fn kept(&self) -> MutexGuard<'_, Vec<OpenChannel>> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Republishes up to `most` dead letters as they were first published, and returns how many. Stops after half of
    /// the invocation's remaining time.
    ///
    /// # Errors
    /// The broker can't be reached. No message is lost: each is still a dead letter, or back in its queue, or both.
    pub async fn redrive(&self, most: usize) -> Result<usize, CallError<BrokerError>> {
        let open = self.connect().await?;
        let channel = &open.channel;
        let kept = calls::remaining() / 2;
        for redriven in 0..most {
            if calls::remaining() <= kept {
                return Ok(redriven);
            }
            let taken = calls::once(
                FailPoint("BrokerTakeDeadLetter"),
                PUBLISH_TIMEOUT,
                || async {
                    let options = BasicGetOptions::default();
                    Ok::<_, BrokerError>(
                        channel.basic_get(DEAD_LETTER_QUEUE.into(), options).await?,
                    )
                },
            )
            .await?;
            let Some(letter) = taken else {
                return Ok(redriven);
            };
            let message = Message {
                routing_key: letter.routing_key.to_string(),
                // Without headers: the broker has added `x-death` and its like.
                properties: letter
                    .properties
                    .clone()
                    .with_headers(FieldTable::default()),
                body: letter.data.clone(),
            };
            publish(channel, &message).await?;
            calls::once(
                FailPoint("BrokerDropDeadLetter"),
                PUBLISH_TIMEOUT,
                || async { Ok::<_, BrokerError>(letter.ack(BasicAckOptions::default()).await?) },
            )
            .await?;
        }
        Ok(most)
    }

    /// Declares the exchanges and queues. Safe to repeat.
    ///
    /// # Errors
    /// The broker can't be reached, or has another queue of the same name.
    pub async fn declare(&self) -> Result<(), CallError<BrokerError>> {
        let open = self.connect().await?;
        calls::once(FailPoint("BrokerDeclare"), Duration::MAX, || {
            declare(&open.channel)
        })
        .await
    }

    async fn connect(&self) -> Result<OpenChannel, CallError<BrokerError>> {
        calls::once(FailPoint("BrokerConnect"), PUBLISH_TIMEOUT, || async {
            let connection = log_in(&self.account).await?;
            let channel = connection.create_channel().await?;
            let confirms = ConfirmSelectOptions::default();
            channel.confirm_select(confirms).await?;
            Ok(OpenChannel {
                channel,
                _connection: connection,
            })
        })
        .await
    }
}

async fn declare(channel: &Channel) -> Result<(), BrokerError> {
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

/// Logs in by the password that is right now.
///
/// # Errors
/// The broker can't be reached, or refuses all that the secret has.
pub async fn log_in(account: &Secret) -> Result<Connection, BrokerError> {
    account.log_in(connect).await
}

/// Logs in, by TLS, to a broker that proves who it is.
///
/// # Errors
/// It can't be reached, or refuses the password.
pub async fn connect(account: StoreCredentials) -> Result<Connection, BrokerError> {
    let uri = AMQPUri {
        scheme: AMQPScheme::AMQPS,
        authority: AMQPAuthority {
            userinfo: AMQPUserInfo {
                username: account.username,
                password: account.password.expose_secret().to_owned(),
            },
            host: account.host,
            port: account.port,
        },
        vhost: account.dbname.unwrap_or_else(|| "/".to_owned()),
        query: AMQPQueryString::default(),
    };
    let trusted = OwnedTLSConfig {
        identity: None,
        cert_chain: Some(tls::authorities()?.to_owned()),
    };
    let properties = ConnectionProperties::default().with_connection_name("admit".into());
    let runtime = lapin::runtime::default_runtime()?;
    Ok(Connection::connect_uri_with_config(uri, properties, trusted, runtime).await?)
}

impl AuthRejected for BrokerError {
    fn is_auth_rejected(&self) -> bool {
        const ACCESS_REFUSED: u16 = 403;
        let Self::Amqp(error) = self else {
            return false;
        };
        matches!(error.kind(), ErrorKind::ProtocolError(error) if error.get_id() == ACCESS_REFUSED)
    }
}

/// What the functions' user may do, as regular expressions for names: publish announcements, and take
/// them from both queues. Declaring is `migrate`'s, which is the owner.
pub fn permissions() -> Value {
    let only = |names: &[&str]| format!("^({})$", names.join("|").replace('.', "[.]"));
    json!({
        "configure": "^$",
        "write": only(&[EXCHANGE]),
        "read": only(&[NOTIFICATIONS_QUEUE, DEAD_LETTER_QUEUE]),
    })
}

/// A message to publish.
#[derive(Debug)]
pub struct Message {
    routing_key: String,
    properties: BasicProperties,
    body: Vec<u8>,
}

impl Message {
    /// A CloudEvent by its id and its type.
    pub fn cloud_event(
        id: &str,
        r#type: &str,
        event: &impl Serialize,
    ) -> Result<Self, BrokerError> {
        const PERSISTENT: u8 = 2;
        let properties = BasicProperties::default()
            .with_message_id(id.into())
            .with_content_type("application/cloudevents+json".into())
            .with_delivery_mode(PERSISTENT);
        Ok(Self {
            routing_key: r#type.to_owned(),
            properties,
            body: serde_json::to_vec(event)?,
        })
    }
}

async fn publish(channel: &Channel, message: &Message) -> Result<(), CallError<BrokerError>> {
    // Mandatory: without a queue to put it into, the broker says so instead of dropping it.
    let options = BasicPublishOptions {
        mandatory: true,
        ..Default::default()
    };
    calls::once(PUBLISH, PUBLISH_TIMEOUT, || async {
        let sent = channel
            .basic_publish(
                EXCHANGE.into(),
                message.routing_key.as_str().into(),
                options,
                &message.body,
                message.properties.clone(),
            )
            .await?;
        match sent.await? {
            Confirmation::Ack(None) => Ok(()),
            _ => Err(BrokerError::NotTaken),
        }
    })
    .await
}

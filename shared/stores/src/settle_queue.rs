//! The settle queue in SQS. It holds payments whose outcome is unknown, and charges that wait for their turn.
//! The payments are delayed, so that most outcomes are known by the time somebody looks.

use std::time::Duration;

use aws_sdk_sqs::Client;
use aws_sdk_sqs::types::MessageAttributeValue;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use serde::Serialize;

use crate::aws::{self, AwsError};
use runtime::FromConfig;
use runtime::calls::{self, CallError};
use runtime::config::Config;
use runtime::faults::FailPoint;
use values::time;

/// The longest that a request to SQS may take: what isn't queued is swept.
const SQS_TIMEOUT: Duration = Duration::from_secs(2);

/// When a message of the settle queue is delivered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Delivery {
    /// After the queue's delay: most payments are certain by then.
    Delayed,
    /// As soon as it has its turn.
    InTurn,
    /// After so long; after 15 minutes where it is longer, which is the longest that SQS keeps a message back.
    After(Duration),
}

/// In seconds.
const MAX_DELAY: i32 = 900;

/// The queue that `settle-bookings` consumes.
#[derive(Debug, Clone)]
pub struct SettleQueue {
    client: Client,
    url: String,
    delay: Duration,
}

impl FromConfig for SettleQueue {
    async fn from_config(config: &Config) -> Result<Self, runtime::Error> {
        let url = config.settle_queue_url.required()?.clone();
        let client = aws::sqs(SQS_TIMEOUT).await;
        Ok(Self {
            client,
            url,
            delay: config.settle_delay,
        })
    }
}

impl SettleQueue {
    /// Sends a message.
    pub async fn send(
        &self,
        message: &impl Serialize,
        delivery: Delivery,
    ) -> Result<(), CallError<AwsError>> {
        let body = serde_json::to_string(message);
        let body = body.map_err(|error| AwsError::Refused(error.into()))?;
        self.send_text(&body, delivery).await
    }

    fn send_text<'m>(
        &'m self,
        body: &'m str,
        delivery: Delivery,
    ) -> BoxFuture<'m, Result<(), CallError<AwsError>>> {
        let delay = match delivery {
            Delivery::Delayed => self.delay,
            Delivery::InTurn => Duration::ZERO,
            Delivery::After(delay) => delay,
        };
        let delay = i32::try_from(delay.as_secs()).map_or(MAX_DELAY, |delay| delay.min(MAX_DELAY));
        calls::idempotent(
            FailPoint("SendToSettle"),
            SQS_TIMEOUT,
            AwsError::is_transient,
            move || async move {
                let message = self.client.send_message().queue_url(&self.url);
                let sending = message.message_body(body).delay_seconds(delay).send();
                sending.await.map(drop).map_err(AwsError::from)
            },
        )
        .boxed()
    }
}

/// The queue's dead letters: messages that can't be read, or that failed too often.
#[derive(Debug, Clone)]
pub struct DeadLetters {
    client: Client,
    url: String,
}

impl FromConfig for DeadLetters {
    async fn from_config(config: &Config) -> Result<Self, runtime::Error> {
        let url = config.settle_dead_letter_queue_url.required()?.clone();
        let client = aws::sqs(SQS_TIMEOUT).await;
        Ok(Self { client, url })
    }
}

impl DeadLetters {
    /// Puts a message away that no repeat would make readable, with the reason.
    ///
    /// # Errors
    /// The queue can't be reached: SQS delivers the message again.
    pub async fn put_away(&self, body: &str, reason: &str) -> Result<(), CallError<AwsError>> {
        let attribute = |text: String| {
            MessageAttributeValue::builder()
                .data_type("String")
                .string_value(text)
                .build()
                .map_err(|error| AwsError::Refused(error.into()))
        };
        let (reason, time) = (
            attribute(reason.to_owned())?,
            attribute(time::now().to_rfc3339())?,
        );
        calls::idempotent(
            FailPoint("SendToDeadLetters"),
            SQS_TIMEOUT,
            AwsError::is_transient,
            || async {
                let message = self.client.send_message().queue_url(&self.url);
                let sending = message
                    // SQS takes no empty one.
                    .message_body(if body.is_empty() { "(empty)" } else { body })
                    .message_attributes("reason", reason.clone())
                    .message_attributes("time", time.clone())
                    .send();
                sending.await.map_err(AwsError::from)
            },
        )
        .await?;
        Ok(())
    }

    /// Moves up to `most` messages back into `queue`, which they came from, and returns how many it moved. Stops
    /// after half of the invocation's remaining time. A message that still can't be read comes back here.
    ///
    /// # Errors
    /// One of the queues can't be reached. No message is lost: each is in one of the two queues, or in both.
    pub async fn redrive(
        &self,
        queue: &SettleQueue,
        most: usize,
    ) -> Result<usize, CallError<AwsError>> {
        let mut redriven = 0;
        let kept = calls::remaining() / 2;
        while redriven < most && calls::remaining() > kept {
            let taken = calls::idempotent(
                FailPoint("TakeDeadLetters"),
                SQS_TIMEOUT,
                AwsError::is_transient,
                || async {
                    let receiving = self.client.receive_message().queue_url(&self.url);
                    let receiving = receiving
                        .max_number_of_messages(10)
                        // Without a wait SQS asks a part of its servers only, and may find none.
                        .wait_time_seconds(1)
                        .send();
                    receiving.await.map_err(AwsError::from)
                },
            )
            .await?;
            let messages = taken.messages.unwrap_or_default();
            if messages.is_empty() {
                break;
            }
            for message in messages {
                let body = message.body.as_deref().unwrap_or_default();
                queue.send_text(body, Delivery::Delayed).await?;
                calls::idempotent(
                    FailPoint("DropDeadLetter"),
                    SQS_TIMEOUT,
                    AwsError::is_transient,
                    || async {
                        let deleting = self.client.delete_message().queue_url(&self.url);
                        let deleting = deleting
                            .set_receipt_handle(message.receipt_handle.clone())
                            .send();
                        deleting.await.map_err(AwsError::from)
                    },
                )
                .await?;
                redriven += 1;
            }
        }
        Ok(redriven)
    }
}

#[cfg(test)]
mod tests {
    use aws_sdk_sqs::config::{BehaviorVersion, Credentials, Region};
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;
    use tokio::time::timeout;

    use super::*;

    /// Sends a message to a queue that answers so, one answer a request; the last request.
    async fn send(
        answers: &[(&str, &str)],
        delivery: Delivery,
    ) -> Result<String, CallError<AwsError>> {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let credentials = Credentials::new("id", "key", None, None, "a test");
        let config = aws_sdk_sqs::Config::builder()
            .behavior_version(BehaviorVersion::latest())
            .region(Region::new("eu-central-1"))
            .credentials_provider(credentials)
            .endpoint_url(&url)
            .http_client(aws::http_client())
            .retry_config(aws_config::retry::RetryConfig::disabled())
            .build();
        let queue = SettleQueue {
            client: Client::from_conf(config),
            url,
            delay: Duration::ZERO,
        };
        let serve = async {
            let mut request = String::new();
            for (status, body) in answers {
                let (mut socket, _) = listener.accept().await.unwrap();
                let mut read = [0; 8192];
                let length = socket.read(&mut read).await.unwrap();
                request = String::from_utf8_lossy(&read[..length]).into_owned();
                let length = body.len();
                let head =
                    format!("HTTP/1.1 {status}\r\ncontent-length: {length}\r\nconnection: close");
                let answer = format!("{head}\r\n\r\n{body}");
                socket.write_all(answer.as_bytes()).await.unwrap();
            }
            request
        };
        // Every answer is asked for, or this ends here.
        let both = async { tokio::join!(queue.send_text("{}", delivery), serve) };
        let (sent, request) = timeout(Duration::from_secs(10), both).await.unwrap();
        sent.map(|()| request)
    }

    const TAKEN: (&str, &str) = ("200 -", r#"{"MessageId":"1","MD5OfMessageBody":""}"#);

    #[tokio::test]
    async fn a_message_is_kept_back_for_15_minutes_at_most() {
        for (seconds, delay) in [(61, 61), (86_401, 900)] {
            let after = Delivery::After(Duration::from_secs(seconds));
            let request = send(&[TAKEN], after).await.unwrap();
            let delay = format!("\"DelaySeconds\":{delay}");
            assert!(request.contains(&delay), "{request}");
        }
    }

    #[tokio::test]
    async fn a_queue_that_throttles_is_asked_once_more_and_one_that_refuses_is_not() {
        let throttled = (
            "400 -",
            r#"{"__type":"com.amazonaws.sqs#RequestThrottled"}"#,
        );
        let broken = ("503 -", "{}");
        let refused = (
            "400 -",
            r#"{"__type":"com.amazonaws.sqs#QueueDoesNotExist"}"#,
        );
        for busy in [throttled, broken] {
            send(&[busy, TAKEN], Delivery::Delayed).await.unwrap();
            let error = send(&[busy, busy], Delivery::Delayed).await.unwrap_err();
            assert!(
                matches!(error, CallError::Failed(AwsError::Busy(_))),
                "{error:?}"
            );
        }
        let error = send(&[refused], Delivery::Delayed).await.unwrap_err();
        assert!(
            matches!(error, CallError::Failed(AwsError::Refused(_))),
            "{error:?}"
        );
    }
}

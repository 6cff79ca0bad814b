//! SQS → `settle-bookings`.
//!
//! Rules of Lambda's that hold here: batches of at most ten; a message is deleted when its batch
//! was answered and it is not among `batchItemFailures`; every other one comes back when its
//! visibility timeout ends, and goes to the dead-letter queue after as many times as the queue's
//! redrive policy says.

use std::collections::HashSet;
use std::time::Duration;

use aws_lambda_events::sqs::SqsBatchResponse;
use aws_sdk_sqs::Client;
use aws_sdk_sqs::types::{DeleteMessageBatchRequestEntry, Message, MessageSystemAttributeName};
use serde_json::{Value, json};
use shared::faults::FailPoint;
use shared::{Error, aws, calls, telemetry};

use crate::lambda::{Invoked, Lambda};

const BATCH_SIZE: i32 = 10;
/// How long an empty queue is watched in one request, in seconds.
const WAIT: i32 = 5;
/// The longest that SQS may take for one answer.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(10);

/// Consumes the queue at `url`, for as long as the process lives.
pub async fn run(url: String, lambda: Lambda) {
    let client = aws::sqs(REQUEST_TIMEOUT).await;
    loop {
        if let Err(error) = poll(&client, &url, &lambda).await {
            tracing::warn!(
                error = telemetry::chain(error.as_ref()),
                "polling SQS failed; trying again"
            );
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
    }
}

async fn poll(client: &Client, url: &str, lambda: &Lambda) -> Result<(), Error> {
    let received = calls::once(FailPoint("SourceReceive"), REQUEST_TIMEOUT, || {
        client
            .receive_message()
            .queue_url(url)
            .max_number_of_messages(BATCH_SIZE)
            .wait_time_seconds(WAIT)
            .message_system_attribute_names(MessageSystemAttributeName::All)
            .send()
    })
    .await?;
    let messages = received.messages.unwrap_or_default();
    if messages.is_empty() {
        return Ok(());
    }
    let event = json!({"Records": messages.iter().map(record).collect::<Vec<_>>()});
    let answer = match lambda.invoke("settle-bookings", event.to_string()).await? {
        Invoked::Answered(answer) => answer,
        Invoked::Failed(error) => return Err(String::from_utf8_lossy(&error).into()),
    };
    delete(client, url, done(&messages, &answer)?).await
}

/// The messages of a batch that are done with. An answer that can't be read fails them all.
fn done<'a>(messages: &'a [Message], answer: &[u8]) -> Result<Vec<&'a Message>, Error> {
    let answer: Option<SqsBatchResponse> = serde_json::from_slice(answer)?;
    let failed = answer.unwrap_or_default().batch_item_failures;
    let failed: HashSet<_> = failed
        .into_iter()
        .map(|failure| failure.item_identifier)
        .collect();
    let unknown = failed.iter().any(|id| {
        !messages
            .iter()
            .any(|message| message.message_id.as_ref() == Some(id))
    });
    if unknown {
        return Err("the function named a message that was not in the batch".into());
    }
    Ok(messages
        .iter()
        .filter(|message| {
            message
                .message_id
                .as_ref()
                .is_none_or(|id| !failed.contains(id))
        })
        .collect())
}

async fn delete(client: &Client, url: &str, messages: Vec<&Message>) -> Result<(), Error> {
    if messages.is_empty() {
        return Ok(());
    }
    let entries = messages.into_iter().enumerate().map(|(index, message)| {
        DeleteMessageBatchRequestEntry::builder()
            .id(index.to_string())
            .set_receipt_handle(message.receipt_handle.clone())
            .build()
    });
    let entries = entries.collect::<Result<Vec<_>, _>>()?;
    calls::once(FailPoint("SourceDelete"), REQUEST_TIMEOUT, || {
        let deleting = client.delete_message_batch().queue_url(url);
        deleting.set_entries(Some(entries.clone())).send()
    })
    .await?;
    Ok(())
}

/// A message as it stands in Lambda's event.
fn record(message: &Message) -> Value {
    let attributes: serde_json::Map<_, _> = message
        .attributes
        .iter()
        .flatten()
        .map(|(name, value)| (name.as_str().to_owned(), Value::from(value.as_str())))
        .collect();
    json!({
        "messageId": message.message_id,
        "receiptHandle": message.receipt_handle,
        "body": message.body,
        "attributes": attributes,
        "messageAttributes": {},
        "md5OfBody": message.md5_of_body,
        "eventSource": "aws:sqs",
        "eventSourceARN": "arn:aws:sqs:us-east-1:000000000000:settle-bookings",
        "awsRegion": "us-east-1",
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(id: &str) -> Message {
        Message::builder().message_id(id).receipt_handle(id).build()
    }

    fn ids(messages: &[Message], answer: &str) -> Result<Vec<String>, String> {
        let done = done(messages, answer.as_bytes()).map_err(|error| error.to_string())?;
        Ok(done
            .into_iter()
            .filter_map(|message| message.message_id.clone())
            .collect())
    }

    #[test]
    fn only_the_messages_that_did_not_fail_are_deleted() {
        let messages = [message("a"), message("b"), message("c")];
        assert_eq!(
            ids(
                &messages,
                r#"{"batchItemFailures":[{"itemIdentifier":"b"}]}"#
            )
            .unwrap(),
            ["a", "c"]
        );
        assert_eq!(
            ids(&messages, r#"{"batchItemFailures":[]}"#).unwrap(),
            ["a", "b", "c"]
        );
        assert_eq!(ids(&messages, "null").unwrap(), ["a", "b", "c"]);
    }

    #[test]
    fn an_answer_that_cannot_be_true_deletes_nothing() {
        let messages = [message("a")];
        assert!(
            ids(
                &messages,
                r#"{"batchItemFailures":[{"itemIdentifier":"x"}]}"#
            )
            .is_err()
        );
        assert!(
            ids(
                &messages,
                r#"{"batchItemFailures":[{"itemIdentifier":""}]}"#
            )
            .is_err()
        );
        assert!(ids(&messages, "gibberish").is_err());
    }
}

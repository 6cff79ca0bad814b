//! Settles what is uncertain, message by message from SQS.

use aws_lambda_events::sqs::{BatchItemFailure, SqsBatchResponse, SqsMessage};
use futures_util::future::join_all;
use serde::{Deserialize, Deserializer, de};
use shared::bookings::{self, BoxOffice};
use shared::payments::Unsettled;
use shared::settle_queue::DeadLetters;
use shared::{Error, clients, serve, telemetry};
use tracing::Instrument;

clients! { App { office: BoxOffice, dead_letters: DeadLetters } }

/// A batch of messages.
#[derive(Debug, Deserialize)]
struct Batch {
    #[serde(rename = "Records", deserialize_with = "of_sqs")]
    records: Vec<SqsMessage>,
}

/// Accepts only records of SQS, because events of other sources have `Records` too.
fn of_sqs<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<SqsMessage>, D::Error> {
    let records = Vec::<SqsMessage>::deserialize(deserializer)?;
    let ours = |record: &SqsMessage| record.event_source.as_deref() == Some("aws:sqs");
    if records.is_empty() || !records.iter().all(ours) {
        return Err(de::Error::custom("no records, or not all from SQS"));
    }
    Ok(records)
}

/// Returns the messages that SQS shall deliver again.
async fn handle(app: &App, batch: Batch) -> Result<SqsBatchResponse, Error> {
    // All at once: the batch takes as long as its slowest message.
    let settling = batch.records.iter().map(|record| {
        let settling = async {
            let settled = settle(app, record).await.inspect_err(|error| {
                let error = telemetry::chain(error.as_ref());
                tracing::warn!(error, "settle failed; SQS retries");
            });
            settled.is_ok()
        };
        settling.instrument(telemetry::part_span())
    });
    let settled = join_all(settling).await;
    let mut failed = SqsBatchResponse::default();
    for (record, settled) in batch.records.into_iter().zip(settled) {
        if !settled {
            let mut failure = BatchItemFailure::default();
            failure.item_identifier = record.message_id.unwrap_or_default();
            failed.batch_item_failures.push(failure);
        }
    }
    Ok(failed)
}

async fn settle(app: &App, record: &SqsMessage) -> Result<(), Error> {
    let body = record.body.as_deref().unwrap_or_default();
    match serde_json::from_str(body) {
        Ok(Unsettled::Booking { booking_id }) => {
            bookings::settle(&app.office, booking_id).await?;
            Ok(())
        }
        Ok(Unsettled::Payment { payment_id }) => {
            Ok(bookings::settle_payment(&app.office, payment_id).await?)
        }
        // No repeat makes it readable.
        Err(error) => {
            let reason = telemetry::chain(&error);
            tracing::error!(reason, "a message can't be read; put away as a dead letter");
            Ok(app.dead_letters.put_away(body, &reason).await?)
        }
    }
}

serve!(App, handle);

//! Settles what is uncertain: message by message from SQS, and all that is old by schedule. On an
//! operator's demand it puts dead letters back where they came from.

use aws_lambda_events::sqs::{BatchItemFailure, SqsBatchResponse, SqsMessage};
use serde::{Deserialize, Deserializer, Serialize, de};
use shared::bookings::{BoxOffice, Swept};
use shared::invocation::{Redrive, Schedule};
use shared::payments::Unsettled;
use shared::settle_queue::DeadLetters;
use shared::{Error, bookings, clients, serve, telemetry};
use tracing::Instrument;

clients! { App { office: BoxOffice, dead_letters: DeadLetters } }

/// What this function is invoked with. Anything else is an error.
#[derive(Debug, Deserialize)]
#[serde(
    untagged,
    expecting = "must be an SQS batch, a scheduled event or {\"redrive\": N}"
)]
enum Trigger {
    /// A batch of messages.
    Queue {
        #[serde(rename = "Records", deserialize_with = "of_sqs")]
        records: Vec<SqsMessage>,
    },
    /// An operator: up to so many dead letters of each queue shall be tried again.
    Redrive(Redrive),
    Schedule(#[expect(dead_code, reason = "it only tells the trigger apart")] Schedule),
}

/// Other sources have records too.
fn of_sqs<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<SqsMessage>, D::Error> {
    let records = Vec::<SqsMessage>::deserialize(deserializer)?;
    let ours = |record: &SqsMessage| record.event_source.as_deref() == Some("aws:sqs");
    if records.is_empty() || !records.iter().all(ours) {
        return Err(de::Error::custom("no records, or not all from SQS"));
    }
    Ok(records)
}

/// What it answers.
#[derive(Debug, Serialize)]
#[serde(untagged)]
enum Done {
    /// The messages that SQS shall deliver again.
    Queue(SqsBatchResponse),
    Redrive(Redriven),
    Schedule(Swept),
}

/// How many dead letters were put back.
#[derive(Debug, Serialize)]
struct Redriven {
    pub announcements: usize,
    pub settlements: usize,
}

/// Settles the messages of a batch, or everything that is old.
///
/// # Errors
/// The sweep broke off; the next one starts anew.
async fn handle(app: &App, trigger: Trigger) -> Result<Done, Error> {
    match trigger {
        Trigger::Queue { records } => {
            let mut failed = SqsBatchResponse::default();
            for record in records {
                let settling = async {
                    settle(app, &record).await.inspect_err(|error| {
                        let error = telemetry::chain(error.as_ref());
                        tracing::warn!(error, "settle failed; SQS retries");
                    })
                };
                if settling.instrument(telemetry::part_span()).await.is_err() {
                    let mut failure = BatchItemFailure::default();
                    failure.item_identifier = record.message_id.unwrap_or_default();
                    failed.batch_item_failures.push(failure);
                }
            }
            Ok(Done::Queue(failed))
        }
        Trigger::Redrive(wanted) => {
            // Both, also where one can't be reached.
            let announcements = bookings::redrive_announcements(&app.office, wanted.most()).await;
            let settlements = app.dead_letters.redrive(wanted.most()).await;
            Ok(Done::Redrive(Redriven {
                settlements: settlements?,
                announcements: announcements?,
            }))
        }
        Trigger::Schedule(_) => Ok(Done::Schedule(bookings::sweep(&app.office).await?)),
    }
}

async fn settle(app: &App, record: &SqsMessage) -> Result<(), Error> {
    let body = record.body.as_deref().unwrap_or_default();
    match serde_json::from_str(body) {
        Ok(Unsettled::Booking { booking_id }) => bookings::settle(&app.office, booking_id).await,
        Ok(Unsettled::Payment { payment_id }) => {
            bookings::settle_payment(&app.office, payment_id).await
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

//! The queue of what is uncertain: SQS, delayed, so that most of it is certain by the time it is
//! looked at.

use std::time::Duration;

use aws_sdk_sqs::Client;
use serde::{Deserialize, Serialize};

use crate::config::Config;
use crate::ids::{BookingId, PaymentId};
use crate::{Error, aws};

/// A message of the queue.
#[derive(Debug, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Unsettled {
    Booking { booking_id: BookingId },
    Payment { payment_id: PaymentId },
}

/// Why a message was not queued.
#[derive(Debug, thiserror::Error)]
#[error("sending to the settle queue")]
pub struct SettleQueueError(#[source] Box<dyn std::error::Error + Send + Sync>);

/// The queue that `settle-bookings` consumes.
#[derive(Debug, Clone)]
pub struct SettleQueue {
    client: Client,
    url: String,
    delay: Duration,
}

impl SettleQueue {
    /// A client for the queue that the configuration names.
    ///
    /// # Errors
    /// It names none.
    pub async fn new(config: &Config) -> Result<Self, Error> {
        let url = config.settle_queue_url.required()?.clone();
        let client = Client::new(&aws::config(Duration::from_secs(2)).await);
        Ok(Self {
            client,
            url,
            delay: config.settle_delay,
        })
    }

    /// Has a booking settled soon.
    ///
    /// # Errors
    /// The queue can't be reached. The sweep finds the booking all the same.
    pub async fn send_booking(&self, booking_id: BookingId) -> Result<(), SettleQueueError> {
        self.send(&Unsettled::Booking { booking_id }).await
    }

    /// Has a payment of no booking settled soon.
    ///
    /// # Errors
    /// The queue can't be reached. The sweep finds the payment all the same.
    pub async fn send_payment(&self, payment_id: PaymentId) -> Result<(), SettleQueueError> {
        self.send(&Unsettled::Payment { payment_id }).await
    }

    async fn send(&self, message: &Unsettled) -> Result<(), SettleQueueError> {
        let body =
            serde_json::to_string(message).map_err(|error| SettleQueueError(error.into()))?;
        self.client
            .send_message()
            .queue_url(&self.url)
            .message_body(body)
            .delay_seconds(i32::try_from(self.delay.as_secs()).unwrap_or(900))
            .send()
            .await
            .map_err(|error| SettleQueueError(error.into()))?;
        Ok(())
    }
}

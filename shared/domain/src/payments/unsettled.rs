//! What is handed to the settle queue, because it is uncertain.

use serde::{Deserialize, Serialize};

use runtime::telemetry;
use stores::settle_queue::{Delivery, SettleQueue};
use values::ids::{BookingId, PaymentId};

/// A message of the settle queue.
#[derive(Debug, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Unsettled {
    Booking { booking_id: BookingId },
    Payment { payment_id: PaymentId },
}

/// Asks for a booking or a payment to be settled soon. If the queue can't be reached, the sweep finds it anyway.
pub async fn enqueue_settlement(queue: &SettleQueue, unsettled: &Unsettled, delivery: Delivery) {
    if let Err(error) = queue.send(unsettled, delivery).await {
        let error = telemetry::chain(&error);
        tracing::warn!(error, "settlement not enqueued; the sweep settles it");
    }
}

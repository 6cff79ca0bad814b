//! Notifications: what users are told of their bookings, each once.
//!
//! An announcement is a CloudEvent whose id is the booking and what happened to it. It is stored
//! under that id, so that a message delivered twice is stored once. What can't be read is put into
//! quarantine with its bytes, and never holds up what can.

mod announcement;
mod delivery;
mod store;

use chrono::{DateTime, Utc};
use serde::Serialize;
use utoipa::ToSchema;

pub use announcement::{Announcement, Unreadable};
pub use delivery::{Batch, Message};
pub use store::{Delivered, Forgotten, Notifications, deliver, forget_old, list, redrive};

use values::ids::{BookingId, EventId, UserId};

/// A notification as its owner sees it.
#[derive(Debug, Serialize, ToSchema)]
pub struct Notification {
    pub notification_id: String,
    pub user_id: UserId,
    /// `BOOKING_CONFIRMED`.
    #[schema(example = "BOOKING_CONFIRMED")]
    pub r#type: String,
    pub booking_id: BookingId,
    pub event_id: EventId,
    pub message: String,
    pub created_at: DateTime<Utc>,
}

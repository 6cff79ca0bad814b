//! What is said of a booking on the broker: a CloudEvent (version 1.0, JSON).

use chrono::Utc;
use serde::{Deserialize, Serialize};

use values::ids::{BookingId, EventId, UserId};
use values::tickets::Tickets;
use values::time::{self, Timestamp};

const CONFIRMED: &str = "admit.booking.confirmed";

/// A message on the broker.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Announcement {
    specversion: String,
    /// The booking and what happened to it: the same however often it is announced.
    id: String,
    source: String,
    r#type: String,
    /// Optional: without it, the announcement is of when it came.
    #[serde(default)]
    time: Option<Timestamp>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    datacontenttype: Option<String>,
    data: Data,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
struct Data {
    booking_id: BookingId,
    user_id: UserId,
    event_id: EventId,
    tickets: Tickets,
}

/// Why a message is no announcement.
#[derive(Debug, thiserror::Error)]
pub enum Unreadable {
    #[error("it is no announcement: {0}")]
    Json(#[from] serde_json::Error),
    #[error("its specversion is not 1.0")]
    Version,
    #[error("nothing is known to do for its type")]
    Type,
    #[error("its id is not that of its booking")]
    Id,
    #[error("its time is not in the years 1 to 9999")]
    Time,
}

impl Announcement {
    /// Says that a booking is confirmed.
    pub fn confirmed(
        booking_id: BookingId,
        user_id: UserId,
        event_id: EventId,
        tickets: Tickets,
    ) -> Self {
        Self {
            specversion: "1.0".to_owned(),
            id: confirmed_id(booking_id),
            source: "/bookings".to_owned(),
            r#type: CONFIRMED.to_owned(),
            time: Some(time::now()),
            datacontenttype: Some("application/json".to_owned()),
            data: Data {
                booking_id,
                user_id,
                event_id,
                tickets,
            },
        }
    }

    /// Reads a message of the broker.
    pub fn read(bytes: &[u8]) -> Result<Self, Unreadable> {
        let mut announcement: Self = serde_json::from_slice(bytes)?;
        if announcement.specversion != "1.0" {
            return Err(Unreadable::Version);
        }
        if announcement.r#type != CONFIRMED {
            return Err(Unreadable::Type);
        }
        if announcement.id != confirmed_id(announcement.data.booking_id) {
            return Err(Unreadable::Id);
        }
        let time = *announcement.time.get_or_insert_with(time::now);
        if !time::is_presentable(time) {
            return Err(Unreadable::Time);
        }
        Ok(announcement)
    }

    /// What it is known by.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// Its CloudEvents type, which is its routing key too.
    pub fn event_type(&self) -> &str {
        &self.r#type
    }

    pub(super) fn user(&self) -> UserId {
        self.data.user_id
    }

    pub(super) fn booking(&self) -> BookingId {
        self.data.booking_id
    }

    pub(super) fn event(&self) -> &EventId {
        &self.data.event_id
    }

    pub(super) fn time(&self) -> chrono::DateTime<Utc> {
        self.time.unwrap_or_else(time::now)
    }

    /// What the user reads.
    pub(super) fn message(&self) -> String {
        let Data {
            booking_id,
            event_id,
            tickets,
            ..
        } = &self.data;
        let noun = if *tickets == Tickets::ONE {
            "ticket"
        } else {
            "tickets"
        };
        format!("Your booking {booking_id} is confirmed: {tickets} {noun} for event {event_id}.")
    }
}

fn confirmed_id(booking_id: BookingId) -> String {
    format!("{booking_id}.confirmed")
}

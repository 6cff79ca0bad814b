//! The documents of `notification_db`: notifications, and what could not be read.

use mongodb::bson::{Binary, DateTime, doc, spec::BinarySubtype};
use mongodb::error::{Error, ErrorKind};
use mongodb::{Client, Collection, IndexModel};
use ring::digest;
use serde::{Deserialize, Serialize};

use super::{Announcement, Message, Notification, NotificationError};
use crate::http::{Items, Page, Position};
use crate::ids::{BookingId, EventId, UserId};
use crate::time::{self, Timestamp};
use crate::{docdb, telemetry};

#[derive(Debug, Serialize, Deserialize)]
struct Stored {
    /// The announcement's id: what makes a second delivery the same notification.
    #[serde(rename = "_id")]
    id: String,
    user_id: i64,
    r#type: String,
    booking_id: BookingId,
    event_id: EventId,
    message: String,
    created_at: DateTime,
}

#[derive(Debug, Serialize, Deserialize)]
struct Quarantined {
    /// A hash of the message: a batch that is delivered again adds nothing.
    #[serde(rename = "_id")]
    id: String,
    queue: String,
    bytes: Binary,
    reason: String,
    quarantined_at: DateTime,
}

/// What became of a batch.
#[derive(Debug, Default, Serialize)]
pub struct Delivered {
    pub stored: usize,
    pub quarantined: usize,
}

/// The notification store.
#[derive(Debug, Clone)]
pub struct Notifications {
    notifications: Collection<Stored>,
    quarantine: Collection<Quarantined>,
}

impl Notifications {
    /// Uses the database `notification_db` of this server.
    pub fn new(client: &Client) -> Self {
        let database = client.database("notification_db");
        Self {
            notifications: database.collection("notifications"),
            quarantine: database.collection("quarantine"),
        }
    }

    /// Makes the store's indexes. Safe to repeat.
    ///
    /// # Errors
    /// The store's.
    pub async fn migrate(&self) -> Result<(), NotificationError> {
        let newest = IndexModel::builder()
            .keys(doc! {"user_id": 1, "created_at": -1, "_id": -1})
            .build();
        self.notifications.create_index(newest).await?;
        Ok(())
    }

    /// Stores a batch of messages: one write for all that can be read, one for the rest.
    ///
    /// # Errors
    /// The store's: the batch must be delivered again, whole, which stores nothing twice.
    #[tracing::instrument(skip_all)]
    pub async fn deliver(&self, messages: Vec<Message>) -> Result<Delivered, NotificationError> {
        let mut notifications = Vec::new();
        let mut quarantine = Vec::new();
        for message in messages {
            match Announcement::read(&message.body) {
                Ok(announcement) => notifications.push(Stored::from(&announcement)),
                Err(error) => {
                    let reason = telemetry::chain(&error);
                    tracing::warn!(
                        queue = message.queue,
                        bytes = message.body.len(),
                        reason,
                        "quarantined"
                    );
                    quarantine.push(Quarantined::new(message, reason));
                }
            }
        }
        insert_new(&self.quarantine, &quarantine).await?;
        insert_new(&self.notifications, &notifications).await?;
        Ok(Delivered {
            stored: notifications.len(),
            quarantined: quarantine.len(),
        })
    }

    /// A page of `user`'s notifications, newest first.
    ///
    /// # Errors
    /// The store's.
    pub async fn list(
        &self,
        user: UserId,
        page: &Page<String>,
    ) -> Result<Items<Notification>, NotificationError> {
        let mut filter = doc! {"user_id": user.get()};
        if let Some(Position { at, id }) = page.after() {
            let at = DateTime::from_millis(at.timestamp_millis());
            filter.insert(
                "$or",
                [
                    doc! {"created_at": {"$lt": at}},
                    doc! {"created_at": at, "_id": {"$lt": id}},
                ],
            );
        }
        let mut found = self
            .notifications
            .find(filter)
            .sort(doc! {"created_at": -1, "_id": -1})
            .limit(page.rows_to_read())
            .await?;
        let mut notifications = Vec::new();
        while found.advance().await? {
            notifications.push(Notification::from(found.deserialize_current()?));
        }
        Ok(page.of(notifications, |notification| Position {
            at: notification.created_at,
            id: notification.notification_id.clone(),
        }))
    }
}

/// Inserts those documents whose id is new, in one request. The others are there already.
async fn insert_new<T: Serialize + Send + Sync>(
    collection: &Collection<T>,
    documents: &[T],
) -> Result<(), Error> {
    if documents.is_empty() {
        return Ok(());
    }
    match collection.insert_many(documents).ordered(false).await {
        Ok(_) => Ok(()),
        Err(error) if only_duplicates(&error) => Ok(()),
        Err(error) => Err(error),
    }
}

fn only_duplicates(error: &Error) -> bool {
    match &*error.kind {
        ErrorKind::InsertMany(failed) => {
            failed.write_concern_error.is_none()
                && failed
                    .write_errors
                    .iter()
                    .flatten()
                    .all(|error| error.code == docdb::DUPLICATE_KEY)
        }
        _ => docdb::is_duplicate_key(error),
    }
}

impl From<&Announcement> for Stored {
    fn from(announcement: &Announcement) -> Self {
        Self {
            id: announcement.id().to_owned(),
            user_id: announcement.user().get(),
            r#type: "BOOKING_CONFIRMED".to_owned(),
            booking_id: announcement.booking(),
            event_id: announcement.event().clone(),
            message: announcement.message(),
            created_at: DateTime::from_millis(announcement.time().timestamp_millis()),
        }
    }
}

impl From<Stored> for Notification {
    fn from(stored: Stored) -> Self {
        Self {
            notification_id: stored.id,
            user_id: UserId::from(stored.user_id),
            r#type: stored.r#type,
            booking_id: stored.booking_id,
            event_id: stored.event_id,
            message: stored.message,
            created_at: Timestamp::from_timestamp_millis(stored.created_at.timestamp_millis())
                .unwrap_or_default(),
        }
    }
}

impl Quarantined {
    fn new(message: Message, reason: String) -> Self {
        let digest = digest::digest(&digest::SHA256, &message.body);
        Self {
            id: digest
                .as_ref()
                .iter()
                .map(|byte| format!("{byte:02x}"))
                .collect(),
            queue: message.queue,
            bytes: Binary {
                subtype: BinarySubtype::Generic,
                bytes: message.body,
            },
            reason,
            quarantined_at: DateTime::from_millis(time::now().timestamp_millis()),
        }
    }
}

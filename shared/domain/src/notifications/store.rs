//! The documents of `notification_db`: notifications, and what could not be read.

use std::sync::Arc;
use std::time::Duration;

use bson::{Binary, DateTime, doc, spec::BinarySubtype};
use mongodb::IndexModel;
use mongodb::error::Error;
use serde::{Deserialize, Serialize};

use super::{Announcement, Message, Notification};
use runtime::FromConfig;
use runtime::calls;
use runtime::config::Config;
use runtime::faults::FailPoint;
use runtime::telemetry;
use stores::docdb::DocumentStore;
use stores::documents::Documents;
use values::digest;
use values::ids::{BookingId, EventId, UserId};
use values::page::{Page, Paginated, Position};
use values::time;

#[derive(Debug, Serialize, Deserialize)]
struct StoredNotification {
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

const DATABASE: &str = "notification_db";

/// How long a notification is kept: 400 days, so that whoever booked a year ahead still finds it.
const NOTIFICATION_RETENTION: Duration = Duration::from_secs(400 * 24 * 60 * 60);

/// How long a message that can't be read is kept: 90 days, for someone to look at it and mend.
const QUARANTINE_RETENTION: Duration = Duration::from_secs(90 * 24 * 60 * 60);

/// The most documents that are forgotten at once.
const BATCH_SIZE: i64 = 500;

/// The most documents that one request inserts.
const INSERT_SIZE: usize = 1000;

/// What the clean-up forgot.
#[derive(Debug, Default, Serialize)]
pub struct Forgotten {
    pub notifications: usize,
    pub quarantined: usize,
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
    notifications: Documents<StoredNotification>,
    quarantine: Documents<Quarantined>,
}

impl FromConfig for Notifications {
    async fn from_config(config: &Config) -> Result<Self, runtime::Error> {
        let store = DocumentStore::new(&config.documents_secret, config.concurrency).await?;
        Ok(Self::new(&store))
    }
}

impl Notifications {
    /// Uses the database `notification_db` of this store.
    pub fn new(store: &Arc<DocumentStore>) -> Self {
        Self {
            notifications: Documents::new(store, DATABASE, "notifications"),
            quarantine: Documents::new(store, DATABASE, "quarantine"),
        }
    }

    /// Makes the store's indexes. Safe to repeat.
    pub async fn migrate(&self) -> Result<(), mongodb::error::Error> {
        let newest = IndexModel::builder()
            .keys(doc! {"user_id": 1, "created_at": -1, "_id": -1})
            .build();
        let oldest = IndexModel::builder().keys(doc! {"created_at": 1}).build();
        self.notifications
            .create_indexes(FailPoint("IndexNotifications"), vec![newest, oldest])
            .await?;
        let oldest = IndexModel::builder()
            .keys(doc! {"quarantined_at": 1})
            .build();
        self.quarantine
            .create_indexes(FailPoint("IndexQuarantine"), vec![oldest])
            .await?;
        Ok(())
    }
}

/// Stores a batch of messages: one write for all that can be read, one for the rest.
///
/// # Errors
/// The store's: the batch must be delivered again, whole, which stores nothing twice.
pub async fn deliver(
    store: &Notifications,
    messages: Vec<Message>,
) -> Result<Delivered, mongodb::error::Error> {
    let mut notifications = Vec::new();
    let mut quarantine = Vec::new();
    for message in messages {
        match Announcement::read(&message.body) {
            Ok(announcement) => notifications.push(StoredNotification::from(&announcement)),
            Err(error) => {
                let reason = telemetry::chain(&error);
                tracing::warn!(
                    queue = message.queue,
                    bytes = message.body.len(),
                    reason,
                    "message quarantined"
                );
                quarantine.push(Quarantined::new(message, reason));
            }
        }
    }
    insert_new(FailPoint("StoreQuarantine"), &store.quarantine, &quarantine).await?;
    insert_new(
        FailPoint("StoreNotifications"),
        &store.notifications,
        &notifications,
    )
    .await?;
    for notification in &notifications {
        let StoredNotification {
            booking_id,
            event_id,
            ..
        } = notification;
        tracing::info!(%booking_id, %event_id, "notification stored");
    }
    Ok(Delivered {
        stored: notifications.len(),
        quarantined: quarantine.len(),
    })
}

/// A page of `user`'s notifications, newest first.
pub async fn list(
    store: &Notifications,
    user: UserId,
    page: &Page<String>,
) -> Result<Paginated<Notification>, mongodb::error::Error> {
    let mut filter = doc! {"user_id": user.get()};
    if let Some(Position { at, id }) = page.after() {
        let at = DateTime::from_chrono(*at);
        // Follows from the two conditions below, but in a form that an index can serve.
        filter.insert("created_at", doc! {"$lte": at});
        filter.insert(
            "$or",
            [
                doc! {"created_at": {"$lt": at}},
                doc! {"created_at": at, "_id": {"$lt": id}},
            ],
        );
    }
    let found: Vec<StoredNotification> = store
        .notifications
        .find(
            FailPoint("ListNotifications"),
            filter,
            doc! {"created_at": -1, "_id": -1},
            page.rows_to_read(),
        )
        .await?;
    let notifications = found.into_iter().map(Notification::from).collect();
    Ok(page.of(notifications, |notification| Position {
        at: notification.created_at,
        id: notification.notification_id.clone(),
    }))
}

/// Reads the quarantine again, for as long as there is time. Up to `most` messages that can be read by now, thanks to
/// a newer release, are stored and leave the quarantine. The rest stay.
///
/// Messages are read one at a time, because each may be as large as the broker accepts.
///
/// # Errors
/// The store's. A repeat is safe.
pub async fn redrive(
    store: &Notifications,
    most: usize,
) -> Result<Delivered, mongodb::error::Error> {
    let mut delivered = Delivered::default();
    // Start at a random id, read to the end, and then from the beginning up to that id. So messages that can't be
    // read and take all the time do not hold back the same others forever. The ids are hexadecimal.
    let start = format!("{:x}", fastrand::u64(..));
    let mut last = start.clone();
    let mut wrapped = false;
    let half = calls::remaining() / 2;
    while calls::remaining() > half {
        let after = if wrapped {
            doc! {"_id": {"$gt": &last, "$lte": &start}}
        } else {
            doc! {"_id": {"$gt": &last}}
        };
        let ids = store
            .quarantine
            .ids(FailPoint("FindQuarantined"), after, "_id", BATCH_SIZE)
            .await?;
        let Some(end) = ids.last() else {
            if wrapped {
                break;
            }
            (wrapped, last) = (true, String::new());
            continue;
        };
        last.clone_from(end);
        for id in &ids {
            if delivered.stored == most || calls::remaining() < half {
                return Ok(delivered);
            }
            match redrive_one(store, id).await? {
                true => delivered.stored += 1,
                false => delivered.quarantined += 1,
            }
        }
    }
    Ok(delivered)
}

/// Reads one message of the quarantine again; whether it could be read.
async fn redrive_one(store: &Notifications, id: &str) -> Result<bool, mongodb::error::Error> {
    let message = store
        .quarantine
        .find_one(FailPoint("ReadQuarantined"), doc! {"_id": id})
        .await?;
    let announcement = message.and_then(|message| {
        let read = Announcement::read(&message.bytes.bytes);
        read.ok()
    });
    let Some(announcement) = announcement else {
        return Ok(false);
    };
    let notification = [StoredNotification::from(&announcement)];
    insert_new(
        FailPoint("StoreRedriven"),
        &store.notifications,
        &notification,
    )
    .await?;
    store
        .quarantine
        .delete(FailPoint("ReleaseQuarantined"), doc! {"_id": id})
        .await?;
    Ok(true)
}

/// Forgets notifications and quarantined messages whose retention is over, batch by batch for as
/// long as there is time; how many.
pub async fn forget_old(store: &Notifications) -> Result<Forgotten, mongodb::error::Error> {
    let mut forgotten = Forgotten::default();
    let half = calls::remaining() / 2;
    while calls::remaining() > half {
        let batch = forget_batch(store).await?;
        forgotten.notifications += batch.notifications;
        forgotten.quarantined += batch.quarantined;
        if batch.notifications + batch.quarantined == 0 {
            break;
        }
    }
    Ok(forgotten)
}

async fn forget_batch(store: &Notifications) -> Result<Forgotten, mongodb::error::Error> {
    let before = |age| DateTime::from_chrono(time::ago(age));
    let old = doc! {"created_at": {"$lt": before(NOTIFICATION_RETENTION)}};
    let notifications = store
        .notifications
        .ids(
            FailPoint("FindOldNotifications"),
            old,
            "created_at",
            BATCH_SIZE,
        )
        .await?;
    store
        .notifications
        .delete(
            FailPoint("ForgetNotifications"),
            doc! {"_id": {"$in": &notifications}},
        )
        .await?;
    let old = doc! {"quarantined_at": {"$lt": before(QUARANTINE_RETENTION)}};
    let quarantined = store
        .quarantine
        .ids(
            FailPoint("FindOldQuarantined"),
            old,
            "quarantined_at",
            BATCH_SIZE,
        )
        .await?;
    store
        .quarantine
        .delete(
            FailPoint("ForgetQuarantined"),
            doc! {"_id": {"$in": &quarantined}},
        )
        .await?;
    Ok(Forgotten {
        notifications: notifications.len(),
        quarantined: quarantined.len(),
    })
}

/// Inserts those documents whose id is new. A request has so many at most that its limit in time suffices.
async fn insert_new<T: Serialize>(
    point: FailPoint,
    collection: &Documents<T>,
    documents: &[T],
) -> Result<(), Error> {
    for part in documents.chunks(INSERT_SIZE) {
        collection.insert_new(point, part).await?;
    }
    Ok(())
}

impl From<&Announcement> for StoredNotification {
    fn from(announcement: &Announcement) -> Self {
        Self {
            id: announcement.id().to_owned(),
            user_id: announcement.user().get(),
            r#type: "BOOKING_CONFIRMED".to_owned(),
            booking_id: announcement.booking(),
            event_id: announcement.event().clone(),
            message: announcement.message(),
            created_at: DateTime::from_chrono(announcement.time()),
        }
    }
}

impl From<StoredNotification> for Notification {
    fn from(stored: StoredNotification) -> Self {
        Self {
            notification_id: stored.id,
            user_id: UserId::from(stored.user_id),
            r#type: stored.r#type,
            booking_id: stored.booking_id,
            event_id: stored.event_id,
            message: stored.message,
            created_at: stored.created_at.to_chrono(),
        }
    }
}

impl Quarantined {
    fn new(message: Message, reason: String) -> Self {
        Self {
            id: digest::sha256(&message.body),
            queue: message.queue,
            bytes: Binary {
                subtype: BinarySubtype::Generic,
                bytes: message.body,
            },
            reason,
            quarantined_at: DateTime::now(),
        }
    }
}

//! An organizer's event that is to be changed.
//!
//! A change is written only if the event still has the version that was read. If not, the event is read again and the
//! change made anew. So a change whose answer was lost can be repeated. A new promo code needs no version, because
//! its unique name guards it.

use super::read::details;
use super::{EventDetails, GetEventError, Label, types};
use runtime::faults::FailPoint;
use stores::db::{self, Db};
use values::ids::{EventId, UserId};
use values::money::Currency;
use values::time::Timestamp;

/// How often to read an event again that others change too.
pub(super) const MAX_READS: u32 = 5;

/// What a change of an event needs to know of it.
#[derive(Debug, Clone)]
pub struct OwnEvent {
    pub event_id: EventId,
    pub organizer: UserId,
    pub name: Label,
    pub starts_at: Timestamp,
    pub currency: Currency,
    pub version: i32,
    /// Whether a change must be made from this very version.
    pinned: bool,
}

/// Why an event can't be changed.
#[derive(Debug, thiserror::Error)]
pub enum OwnEventError {
    #[error("there is no such event")]
    NotFound,
    #[error("the event is another organizer's")]
    NotOrganizer,
    #[error("the event is of version {version} by now")]
    Stale { version: i32 },
    #[error("the event store")]
    Database(#[from] sqlx::Error),
}

/// Reads the event of this id, which must belong to `organizer`. If a `version` is given, the event must still have
/// it, and changes are made from that version or not at all.
pub async fn own(
    db: &Db,
    organizer: UserId,
    event_id: &EventId,
    version: Option<i32>,
) -> Result<OwnEvent, OwnEventError> {
    let row = sqlx::query!(
        r#"
        select organizer_id = $2 as "own!", name as "name: Label", starts_at, currency, version
          from event
         where event_id = $1
        "#,
        event_id as &EventId,
        organizer as UserId,
    )
    .fetch_optional(db.idempotent(FailPoint("GetOwnEvent")))
    .await?
    .ok_or(OwnEventError::NotFound)?;
    if !row.own {
        return Err(OwnEventError::NotOrganizer);
    }
    if version.is_some_and(|version| version != row.version) {
        let version = row.version;
        return Err(OwnEventError::Stale { version });
    }
    Ok(OwnEvent {
        pinned: version.is_some(),
        event_id: event_id.clone(),
        organizer,
        name: row.name,
        starts_at: row.starts_at,
        currency: db::column("currency", &row.currency)?,
        version: row.version,
    })
}

impl OwnEvent {
    /// The same, after others have changed it.
    pub(super) async fn read_again(&self, db: &Db) -> Result<Self, OwnEventError> {
        let version = self.pinned.then_some(self.version);
        own(db, self.organizer, &self.event_id, version).await
    }

    /// The event with all of its types, as it is now.
    pub async fn details(&self, db: &Db) -> Result<EventDetails, OwnEventError> {
        match details(db, &self.event_id, &types::Shown::All).await {
            Ok(event) => Ok(event),
            Err(GetEventError::NotFound) => Err(OwnEventError::NotFound),
            Err(GetEventError::Database(cause)) => Err(cause.into()),
        }
    }
}

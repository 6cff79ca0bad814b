//! Changing an event while it is sold: what it is, its ticket types, its quotas. Prices change for later bookings only.

use chrono::{DateTime, Utc};
use utoipa::ToSchema;

use super::own::{MAX_READS, OwnEvent, OwnEventError};
use super::resize::resizing;
use super::types::{Access, Draw, EventDetails, MAX_TYPES, NewQuota, Quota};
use super::{Label, Price};
use runtime::faults::FailPoint;
use stores::db::Db;
use values::ids::{EventId, QuotaId, UserId};
use values::money::Money;
use values::tax::TaxRate;
use values::tickets::{Admits, Capacity, HoldSeconds, Tickets, Units};
use values::time::TimeZone;

/// Changes of an event: what is absent stays as it is.
#[derive(Debug, Default, ToSchema)]
#[schema(example = json!({"name": "Fair", "capacity": 600}))]
pub struct EventChange {
    #[schema(required = false, value_type = Label)]
    pub name: Option<Label>,
    #[schema(required = false, value_type = Label)]
    pub venue: Option<Label>,
    /// In the future.
    #[schema(required = false, value_type = DateTime<Utc>)]
    pub starts_at: Option<DateTime<Utc>>,
    /// After `starts_at`; null: not said.
    #[schema(required = false, value_type = Option<DateTime<Utc>>)]
    pub ends_at: Option<Option<DateTime<Utc>>>,
    #[schema(required = false, value_type = TimeZone)]
    pub time_zone: Option<TimeZone>,
    /// At least what was sold and is held.
    #[schema(required = false, value_type = Capacity)]
    pub capacity: Option<Capacity>,
    #[schema(required = false, value_type = Tickets)]
    pub max_tickets_per_booking: Option<Tickets>,
    /// Null removes the limit. Only tickets that are held, or booked while there is a limit, count towards it. A person with
    /// several accounts has several limits.
    #[schema(required = false, value_type = Option<Capacity>)]
    pub max_per_user: Option<Option<Capacity>>,
    #[schema(required = false, value_type = HoldSeconds)]
    pub hold_seconds: Option<HoldSeconds>,
}

/// Changes of a ticket type: what is absent stays as it is.
#[derive(Debug, Default, ToSchema)]
#[schema(example = json!({"price": 30, "sale_until": "2040-04-01T00:00:00Z"}))]
pub struct TicketTypeChange {
    #[schema(required = false, value_type = Label)]
    pub name: Option<Label>,
    #[schema(required = false, value_type = Option<Label>)]
    pub description: Option<Option<Label>>,
    /// Of later bookings.
    #[schema(required = false, value_type = Price)]
    pub price: Option<Money>,
    /// Of later bookings.
    #[schema(required = false, value_type = TaxRate)]
    pub tax_rate: Option<TaxRate>,
    #[schema(required = false, value_type = Access)]
    pub access: Option<Access>,
    #[schema(required = false, value_type = Option<DateTime<Utc>>)]
    pub sale_from: Option<Option<DateTime<Utc>>>,
    #[schema(required = false, value_type = Option<DateTime<Utc>>)]
    pub sale_until: Option<Option<DateTime<Utc>>>,
    #[schema(required = false, value_type = Tickets)]
    pub min_per_order: Option<Tickets>,
    #[schema(required = false, value_type = Option<Tickets>)]
    pub max_per_order: Option<Option<Tickets>>,
    /// Only before the first booking of the type.
    #[schema(required = false, value_type = Admits)]
    pub admits: Option<Admits>,
    /// Only before the first booking of the type.
    #[schema(required = false, value_type = Units)]
    pub units: Option<Units>,
    /// Only before the first booking of the type.
    #[schema(required = false, value_type = Vec<Draw>, max_items = 50)]
    pub quotas: Option<Vec<Draw>>,
    /// True: it is no longer shown or sold, for good.
    #[schema(required = false, value_type = bool)]
    pub archived: Option<bool>,
}

/// Changes of a quota: what is absent stays as it is.
#[derive(Debug, Default, ToSchema)]
#[schema(example = json!({"capacity": 250}))]
pub struct QuotaChange {
    #[schema(required = false, value_type = Label)]
    pub name: Option<Label>,
    /// At least what was sold and is held.
    #[schema(required = false, value_type = Capacity)]
    pub capacity: Option<Capacity>,
}

/// Why an event was not changed.
#[derive(Debug, thiserror::Error)]
pub enum EditError {
    #[error("no event of the organizer's")]
    Event(#[from] OwnEventError),
    #[error("the event has no such {0}")]
    NotFound(&'static str),
    #[error("{least} are sold or held")]
    BelowSold { least: i32 },
    #[error("tickets of the type were booked")]
    TypeSold,
    /// With the JSON Pointer of what can't be.
    #[error("{pointer} {detail}")]
    Invalid {
        pointer: String,
        detail: &'static str,
    },
    #[error("others kept changing the event")]
    Contended,
    #[error("the event store")]
    Database(#[from] sqlx::Error),
}

pub(super) fn invalid(pointer: impl Into<String>, detail: &'static str) -> EditError {
    let pointer = pointer.into();
    EditError::Invalid { pointer, detail }
}

/// Changes an event.
pub async fn change_event(
    db: &Db,
    event: &OwnEvent,
    change: &EventChange,
) -> Result<EventDetails, EditError> {
    let mut event = event.clone();
    for _ in 0..MAX_READS {
        if write_event(db, &event, change).await? {
            return Ok(event.details(db).await?);
        }
        event = event.read_again(db).await?;
    }
    Err(EditError::Contended)
}

/// Writes an event's new state. Returns whether the event was still as it was read; if not, nothing is written.
async fn write_event(db: &Db, event: &OwnEvent, change: &EventChange) -> Result<bool, EditError> {
    let now = event.details(db).await?;
    let starts_at = change.starts_at.unwrap_or(now.event.starts_at);
    let ends_at = change.ends_at.unwrap_or(now.ends_at);
    if ends_at.is_some_and(|ends| ends <= starts_at) {
        return Err(invalid("/ends_at", "must be after starts_at"));
    }
    let most_of_booking = change.max_tickets_per_booking;
    let mut types = now.ticket_types.iter();
    if most_of_booking.is_some_and(|most| types.any(|kind| kind.min_per_order > most)) {
        let detail = "must be at least the min_per_order of each ticket type";
        return Err(invalid("/max_tickets_per_booking", detail));
    }
    let most = change.max_per_user.unwrap_or(now.max_per_user);
    let written = resizing!(
        r#"
            select q.quota_id, q.capacity, $4::int as wanted, q.name
              from held join quota q using (event_id)
             where q.kind = 'ROOT' and q.capacity <> $4
        "#,
        r#"changed as (
            update event e
               set version = version + 1, available = able.available - (select coalesce(max(outside), 0) from missing),
                   capacity = $4, name = $5, venue = $6, starts_at = $7, ends_at = $8,
                   time_zone = $9, max_tickets_per_booking = $10, max_per_user = $11, hold_seconds = $12
              from able
             where e.event_id = able.event_id
        )"#,
        &event.event_id as &EventId,
        event.organizer as UserId,
        event.version,
        change.capacity.unwrap_or(now.event.capacity) as Capacity,
        change.name.as_ref().unwrap_or(&now.event.name) as &Label,
        change.venue.as_ref().unwrap_or(&now.event.venue) as &Label,
        starts_at,
        ends_at,
        change.time_zone.as_ref().unwrap_or(&now.time_zone) as &TimeZone,
        change.max_tickets_per_booking.unwrap_or(now.event.max_tickets_per_booking) as Tickets,
        most as Option<Capacity>,
        change.hold_seconds.unwrap_or(now.hold_seconds) as HoldSeconds,
    )
    .fetch_one(db.idempotent(FailPoint("ChangeEvent")))
    .await?;
    match written.least {
        Some(least) => Err(EditError::BelowSold { least }),
        None => Ok(written.able),
    }
}

/// Adds a quota to an event, beside its capacity.
pub async fn add_quota(db: &Db, event: &OwnEvent, new: &NewQuota) -> Result<Quota, EditError> {
    let id = QuotaId::generate();
    let mut event = event.clone();
    for _ in 0..MAX_READS {
        let now = event.details(db).await?;
        if let Some(made) = now.quotas.iter().find(|quota| quota.quota_id == id) {
            // Added, though its answer was lost.
            return Ok(made.clone());
        }
        if now.quotas.len() >= MAX_TYPES {
            return Err(invalid("", "the event has 50 quotas already"));
        }
        if now.quotas.iter().any(|quota| quota.name == new.name) {
            return Err(invalid("/name", "is already used by another quota"));
        }
        let inserted = sqlx::query!(
            r#"
            with held as materialized (
                select event_id from event where event_id = $1 and organizer_id = $2 and version = $3 for no key update
            ), made as (
                insert into quota (quota_id, event_id, name, kind, capacity)
                select $4, event_id, $5, 'SHARED', $6 from held
                returning quota_id, event_id, capacity
            ), opened as (
                insert into stock (quota_id, shard, free)
                select quota_id, shard, free from made cross join shards_of(capacity)
            )
            update event e set version = version + 1 from made where e.event_id = made.event_id
            "#,
            &event.event_id as &EventId,
            event.organizer as UserId,
            event.version,
            id as QuotaId,
            &new.name as &Label,
            new.capacity as Capacity,
        )
        .execute(db.idempotent(FailPoint("CreateQuota")))
        .await?;
        if inserted.rows_affected() > 0 {
            return Ok(Quota {
                quota_id: id,
                name: new.name.clone(),
                capacity: new.capacity,
                available: new.capacity.get(),
            });
        }
        event = event.read_again(db).await?;
    }
    Err(EditError::Contended)
}

/// Changes a quota of an event.
pub async fn change_quota(
    db: &Db,
    event: &OwnEvent,
    quota_id: QuotaId,
    change: &QuotaChange,
) -> Result<Quota, EditError> {
    let quota_of = |event: EventDetails| {
        let mut quotas = event.quotas.into_iter();
        quotas
            .find(|quota| quota.quota_id == quota_id)
            .ok_or(EditError::NotFound("quota"))
    };
    let mut event = event.clone();
    for _ in 0..MAX_READS {
        let now = event.details(db).await?;
        let mut others = now.quotas.iter().filter(|quota| quota.quota_id != quota_id);
        if others.any(|quota| Some(&quota.name) == change.name.as_ref()) {
            return Err(invalid("/name", "is already used by another quota"));
        }
        let quota = quota_of(now)?;
        let written = resizing!(
            r#"
                select q.quota_id, q.capacity, $5::int as wanted, $6::text as name
                  from held join quota q using (event_id)
                 where q.quota_id = $4
            "#,
            r#"bumped as (
                update event e set version = version + 1 from able where e.event_id = able.event_id
            )"#,
            &event.event_id as &EventId,
            event.organizer as UserId,
            event.version,
            quota_id as QuotaId,
            change.capacity.unwrap_or(quota.capacity) as Capacity,
            change.name.as_ref().unwrap_or(&quota.name) as &Label,
        )
        .fetch_one(db.idempotent(FailPoint("ChangeQuota")))
        .await?;
        match written.least {
            Some(least) => return Err(EditError::BelowSold { least }),
            None if written.able => return quota_of(event.details(db).await?),
            None => event = event.read_again(db).await?,
        }
    }
    Err(EditError::Contended)
}

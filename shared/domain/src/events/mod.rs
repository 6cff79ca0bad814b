//! Events: what can be booked, and how much of it is left.

use std::str::FromStr;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Deserializer, Serialize, de};
use utoipa::ToSchema;

use runtime::faults::FailPoint;
use runtime::telemetry;
use stores::db::{self, Db};
use values::ids::{EventId, UserId};
use values::json::parse_string;
use values::money::{Currency, Money, Number};
use values::page::{Page, Paginated, Position};
use values::text;
use values::tickets::Tickets;
use values::time::{self, Timestamp};
use values::{amount_schema, integer_schema, string_schema};

/// The most that a ticket costs, in major units.
pub const MAX_PRICE: i64 = 1_000_000_000;

/// A name or a venue: one line of 1 to 200 characters, not blank to the eye.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, sqlx::Type)]
#[serde(transparent)]
#[sqlx(transparent)]
pub struct Label(String);

/// A text that is no label.
#[derive(Debug, thiserror::Error)]
#[error("must be one line of 1 to 200 characters, not blank, without control characters")]
pub struct InvalidLabel;

impl FromStr for Label {
    type Err = InvalidLabel;

    fn from_str(text: &str) -> Result<Self, InvalidLabel> {
        let valid =
            text.chars().count() <= 200 && text::is_visible(text) && text::is_one_line(text);
        if valid {
            Ok(Self(text.to_owned()))
        } else {
            Err(InvalidLabel)
        }
    }
}

impl<'de> Deserialize<'de> for Label {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        parse_string(deserializer)
    }
}

string_schema!(
    Label,
    "One line: no control characters, no characters that change the text's direction, and at least \
     one visible letter, number, punctuation mark or symbol.",
    1,
    200,
    // As much as a pattern can say without Unicode's properties; see `text`.
    "^[^\\u0000-\\u001F\\u007F-\\u009F\\u2028-\\u202E\\u2066-\\u2069\\uFDD0-\\uFDEF\\uFFFE\\uFFFF]+$"
);

/// How many tickets an event has: 1 to 1,000,000.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, sqlx::Type)]
#[serde(transparent)]
#[sqlx(transparent)]
pub struct Capacity(i32);

impl<'de> Deserialize<'de> for Capacity {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let number = Number::whole(deserializer).and_then(|number| i32::try_from(number).ok());
        match number {
            Some(number) if (1..=1_000_000).contains(&number) => Ok(Self(number)),
            _ => Err(de::Error::custom(
                "must be a whole number from 1 to 1000000",
            )),
        }
    }
}

integer_schema!(Capacity, "How many tickets there are.", 1, 1_000_000);

/// A moment to come.
#[derive(Debug, Clone, Copy)]
pub struct Future(pub Timestamp);

impl<'de> Deserialize<'de> for Future {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let expected = || {
            de::Error::custom(
                "must be a future RFC 3339 time up to the year 9999, such as 2030-06-01T20:00:00Z",
            )
        };
        let text = String::deserialize(deserializer).map_err(|_| expected())?;
        time::parse(&text)
            .filter(|moment| *moment > Utc::now())
            .map(Self)
            .ok_or_else(expected)
    }
}

amount_schema!(
    Price,
    "In major units of the currency, with no more decimals than it has.",
    0,
    MAX_PRICE
);

/// An event that an organizer puts on sale.
#[derive(Debug, ToSchema)]
pub struct NewEvent {
    /// Made by us when absent.
    #[schema(required = false)]
    pub event_id: Option<EventId>,
    pub name: Label,
    pub venue: Label,
    /// In the future.
    #[schema(example = "2030-06-01T20:00:00Z")]
    pub starts_at: DateTime<Utc>,
    /// Of one ticket; 0 is free.
    #[schema(value_type = Price)]
    pub price: Money,
    /// USD when absent.
    #[schema(required = false, value_type = Option<Currency>)]
    pub currency: Option<Currency>,
    pub capacity: Capacity,
    /// 10 when absent.
    #[schema(required = false, value_type = Option<Tickets>)]
    pub max_tickets_per_booking: Option<Tickets>,
}

/// An event on sale.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct Event {
    pub event_id: EventId,
    pub name: Label,
    pub venue: Label,
    pub starts_at: DateTime<Utc>,
    /// Of one ticket.
    pub price: Money,
    pub currency: Currency,
    pub capacity: Capacity,
    /// Tickets left right now.
    pub available: i32,
    pub max_tickets_per_booking: Tickets,
}

/// Why an event can't be made.
#[derive(Debug, thiserror::Error)]
pub enum CreateEventError {
    #[error("an event of this id exists")]
    Exists,
    #[error("the event store")]
    Database(#[from] sqlx::Error),
}

/// Why an event can't be shown.
#[derive(Debug, thiserror::Error)]
pub enum GetEventError {
    #[error("there is no such event")]
    NotFound,
    #[error("the event store")]
    Database(#[from] sqlx::Error),
}

struct EventRow {
    event_id: EventId,
    name: Label,
    venue: Label,
    starts_at: Timestamp,
    price_minor: i64,
    currency: String,
    capacity: Capacity,
    available: i32,
    max_tickets_per_booking: Tickets,
}

impl TryFrom<EventRow> for Event {
    type Error = sqlx::Error;

    fn try_from(row: EventRow) -> Result<Self, sqlx::Error> {
        let currency = db::column("currency", &row.currency)?;
        Ok(Self {
            event_id: row.event_id,
            name: row.name,
            venue: row.venue,
            starts_at: row.starts_at,
            price: Money::from_minor(row.price_minor, currency),
            currency,
            capacity: row.capacity,
            available: row.available,
            max_tickets_per_booking: row.max_tickets_per_booking,
        })
    }
}

/// Puts an event on sale; whoever takes an id first has it.
///
/// # Errors
/// See [`CreateEventError`].
pub async fn create(
    db: &Db,
    organizer: UserId,
    event: NewEvent,
) -> Result<Event, CreateEventError> {
    let event_id = event.event_id.clone().unwrap_or_else(EventId::generate);
    telemetry::note("event_id", &event_id);
    // Not repeated: it would find the id taken, by itself.
    let inserted = sqlx::query_as!(
        EventRow,
        r#"
        with made as (
            insert into event (event_id, organizer_id, name, venue, starts_at, price_minor, currency,
                               capacity, available, max_tickets_per_booking)
            values ($1, $2, $3, $4, $5, $6, $7, $8, 0, $9)
            returning *
        ), root as (
            insert into quota (quota_id, event_id, name, kind, capacity)
            select gen_random_uuid(), event_id, 'Tickets', 'ROOT', capacity from made
            returning quota_id, capacity, least(64, greatest(1, capacity / 50)) as shards
        ), opened as (
            insert into stock (quota_id, shard, free)
            select quota_id, shard, capacity / shards + (shard < capacity % shards)::int
              from root, generate_series(0, shards - 1) as shard
        )
        select event_id as "event_id: EventId", name as "name: Label", venue as "venue: Label",
               starts_at, price_minor, currency, capacity as "capacity: Capacity", capacity as "available!",
               max_tickets_per_booking as "max_tickets_per_booking: Tickets"
          from made
        "#,
        &event_id as &EventId,
        organizer as UserId,
        &event.name as &Label,
        &event.venue as &Label,
        event.starts_at,
        event.price.minor(),
        event.price.currency().code(),
        event.capacity as Capacity,
        event
            .max_tickets_per_booking
            .unwrap_or(Tickets::DEFAULT_MAX) as Tickets,
    )
    .fetch_one(db.once(FailPoint("CreateEvent")))
    .await;
    match inserted {
        Ok(row) => Ok(row.try_into()?),
        Err(error) if db::violates(&error, "event_pkey") => Err(CreateEventError::Exists),
        Err(error) => Err(error.into()),
    }
}

/// One event.
///
/// # Errors
/// See [`GetEventError`].
pub async fn get(db: &Db, event_id: &EventId) -> Result<Event, GetEventError> {
    let row = sqlx::query_as!(
        EventRow,
        r#"
        select event_id as "event_id: EventId", name as "name: Label", venue as "venue: Label",
               starts_at, price_minor, currency, capacity as "capacity: Capacity",
               available + (select coalesce(sum(free), 0)::int from quota join stock using (quota_id)
                             where quota.event_id = event.event_id and kind = 'ROOT') as "available!",
               max_tickets_per_booking as "max_tickets_per_booking: Tickets"
          from event
         where event_id = $1
        "#,
        event_id as &EventId,
    )
    .fetch_optional(db.idempotent(FailPoint("GetEvent")))
    .await?
    .ok_or(GetEventError::NotFound)?;
    Ok(row.try_into()?)
}

/// A page of the events to come, soonest first.
///
/// # Errors
/// The store's.
pub async fn list(db: &Db, page: &Page<EventId>) -> Result<Paginated<Event>, sqlx::Error> {
    let after = page.after();
    let rows = sqlx::query_as!(
        EventRow,
        r#"
        select event_id as "event_id: EventId", name as "name: Label", venue as "venue: Label",
               starts_at, price_minor, currency, capacity as "capacity: Capacity",
               available + (select coalesce(sum(free), 0)::int from quota join stock using (quota_id)
                             where quota.event_id = event.event_id and kind = 'ROOT') as "available!",
               max_tickets_per_booking as "max_tickets_per_booking: Tickets"
          from event
         where starts_at > now()
           and ($1::timestamptz is null or (starts_at, event_id) > ($1, $2))
         order by starts_at, event_id
         limit $3
        "#,
        after.map(|position| position.at),
        after.map(|position| &position.id) as Option<&EventId>,
        page.rows_to_read(),
    )
    .fetch_all(db.idempotent(FailPoint("ListEvents")))
    .await?;
    let events = rows
        .into_iter()
        .map(Event::try_from)
        .collect::<Result<Vec<_>, _>>()?;
    Ok(page.of(events, |event| Position {
        at: event.starts_at,
        id: event.event_id.clone(),
    }))
}

//! Events: what can be booked, and how much of it is left.

mod codes;
mod desk;
mod edit;
mod edit_types;
mod own;
mod resize;
mod search;
mod types;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Deserializer, Serialize, de};
use utoipa::ToSchema;

use runtime::faults::FailPoint;
use runtime::telemetry;
use stores::db::{self, Db};
use values::ids::{EventId, PromoCode, UserId};
use values::money::{Currency, Money};
use values::page::{Page, Paginated, Position};
use values::text;
use values::tickets::{Capacity, HoldSeconds, Tickets};
use values::time::{Moment, TimeZone, Timestamp};
use values::{amount_schema, validated_text};

pub use codes::{
    NewPromoCode, PromoCodeAmount, PromoCodeChange, PromoCodeCounts, PromoCodeDetails,
    PromoCodeError, PromoCodeKind, PromoCodeOffer, PromoCodeType, change_code, create_code,
    list_codes, offer_of, own_code,
};
pub use desk::{DaySales, Sales, TypeSales, of_organizer, sales};
pub use edit::{
    EditError, EventChange, QuotaChange, TicketTypeChange, add_quota, change_event, change_quota,
};
pub use edit_types::{add_type, change_type};
pub use own::{OwnEvent, OwnEventError, own};
pub use search::{Listed, Search, search};
use types::Layout;
pub use types::{
    Access, Draw, EventDetails, MAX_TYPES, NewQuota, NewTicketType, Quota, TicketType, default_of,
    most_of,
};

/// The most that a ticket costs, in major units.
pub const MAX_PRICE: i64 = 1_000_000_000;

validated_text!(
    /// A name or a venue: one line, not blank to the eye.
    Label,
    |text| {
        let short = text.chars().count() <= 200;
        let valid = short && text::is_visible(text) && text::is_one_line(text);
        valid.then(|| text.to_owned())
    },
    "must be one line of 1 to 200 characters, not blank, without control characters",
    "One line: no control characters, no characters that change the text's direction, and at least \
     one visible letter, number, punctuation mark or symbol.",
    1,
    200,
    // As much as a pattern can say without Unicode's properties; see `text`.
    "^[^\\u0000-\\u001F\\u007F-\\u009F\\u2028-\\u202E\\u2066-\\u2069\\uFDD0-\\uFDEF\\uFFFE\\uFFFF]+$"
);

/// A moment to come.
#[derive(Debug, Clone, Copy)]
pub struct Future(pub Timestamp);

impl<'de> Deserialize<'de> for Future {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Moment::deserialize(deserializer)
            .ok()
            .filter(|Moment(moment)| *moment > Utc::now())
            .map(|Moment(moment)| Self(moment))
            .ok_or_else(|| {
                de::Error::custom(
                    "must be a future RFC 3339 time up to the year 9999, such as 2030-06-01T20:00:00Z",
                )
            })
    }
}

amount_schema!(
    Price,
    "In major units of the currency, with no more decimals than it has.",
    0,
    MAX_PRICE
);

/// An event that an organizer puts on sale: with one price, or with ticket types.
#[derive(Debug, ToSchema)]
#[schema(example = json!({
    "name": "Fair", "venue": "Hall 1", "starts_at": "2040-05-01T17:00:00Z", "time_zone": "Europe/Berlin",
    "currency": "EUR", "capacity": 500, "quotas": [{"name": "Chairs", "capacity": 200}],
    "ticket_types": [{"name": "Standing", "price": 25}, {"name": "Seat", "price": 40, "quotas": [{"name": "Chairs"}]}],
}))]
pub struct NewEvent {
    /// Made by us when absent.
    #[schema(required = false)]
    pub event_id: Option<EventId>,
    pub name: Label,
    pub venue: Label,
    /// In the future.
    pub starts_at: DateTime<Utc>,
    /// After `starts_at`.
    #[schema(required = false)]
    pub ends_at: Option<DateTime<Utc>>,
    /// UTC when absent.
    #[schema(required = false)]
    pub time_zone: Option<TimeZone>,
    /// Of one ticket; 0 is free. Only without `ticket_types`.
    #[schema(required = false, value_type = Price)]
    pub price: Money,
    /// USD when absent.
    #[schema(required = false, value_type = Option<Currency>)]
    pub currency: Option<Currency>,
    /// Of all types together.
    pub capacity: Capacity,
    /// 10 when absent.
    #[schema(required = false, value_type = Option<Tickets>)]
    pub max_tickets_per_booking: Option<Tickets>,
    /// How many tickets of the event a person may have; null: any number.
    #[schema(required = false)]
    pub max_per_user: Option<Capacity>,
    /// How long tickets are held; 600 when absent.
    #[schema(required = false)]
    pub hold_seconds: Option<HoldSeconds>,
    /// Quotas beside the capacity, at most 50.
    #[schema(required = false, value_type = Option<Vec<NewQuota>>, max_items = 50)]
    pub quotas: Vec<NewQuota>,
    /// At most 50. When absent, there is one, of `price`.
    #[schema(required = false, value_type = Option<Vec<NewTicketType>>, min_items = 1, max_items = 50)]
    pub ticket_types: Vec<NewTicketType>,
}

impl NewEvent {
    /// Whether the request is one of the first API: an event with one price. Its answer has no other field either.
    pub fn has_one_price(&self) -> bool {
        self.ticket_types.is_empty()
            && self.time_zone.is_none()
            && self.ends_at.is_none()
            && self.max_per_user.is_none()
            && self.hold_seconds.is_none()
    }

    /// The one type of an event with one price.
    fn only_type(&self) -> NewTicketType {
        NewTicketType {
            name: Label("Ticket".to_owned()),
            description: None,
            price: self.price,
            tax_rate: None,
            is_default: None,
            access: None,
            sale_from: None,
            sale_until: None,
            min_per_order: None,
            max_per_order: None,
            admits: None,
            units: None,
            quotas: Vec::new(),
        }
    }
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
    /// For pages; shown by [`EventDetails`].
    #[serde(skip)]
    #[schema(ignore)]
    pub time_zone: TimeZone,
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
    time_zone: TimeZone,
    ends_at: Option<Timestamp>,
    max_per_user: Option<Capacity>,
    hold_seconds: HoldSeconds,
    version: i32,
}

/// A query that returns rows of `event`. Takes the SQL before the column list, how many tickets are left, the SQL after
/// the columns, and the query's parameters.
macro_rules! event_rows {
    ($before:tt, $available:tt, $after:tt $(, $parameter:expr)* $(,)?) => {
        sqlx::query_as!(
            $crate::events::EventRow,
            $before
                + r#"select event_id as "event_id: _", name as "name: _", venue as "venue: _", starts_at, price_minor,
                            currency, capacity as "capacity: _", max_tickets_per_booking as "max_tickets_per_booking: _",
                            time_zone as "time_zone: _", ends_at, max_per_user as "max_per_user: _",
                            hold_seconds as "hold_seconds: _", version, "#
                + $available
                + $after,
            $($parameter),*
        )
    };
    ($after:tt $(, $parameter:expr)* $(,)?) => {
        event_rows!(
            "",
            r#"available + (select coalesce(sum(free), 0)::int from quota join stock using (quota_id)
                             where quota.event_id = event.event_id and kind = 'ROOT') as "available!"
               from event "#,
            $after
            $(, $parameter)*
        )
    };
}
use event_rows;

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
            time_zone: row.time_zone,
        })
    }
}

/// Puts an event on sale, with its ticket types; whoever takes an id first has it.
pub async fn create(
    db: &Db,
    organizer: UserId,
    mut event: NewEvent,
) -> Result<EventDetails, CreateEventError> {
    let event_id = event.event_id.take().unwrap_or_else(EventId::generate);
    telemetry::note("event_id", &event_id);
    if event.ticket_types.is_empty() {
        event.ticket_types.push(event.only_type());
    }
    let Layout {
        quotas,
        shown_quotas,
        types,
        draws,
        ids,
    } = Layout::of(event.capacity, &event.quotas, &event.ticket_types);
    // Not repeated: it would find the id taken, by itself.
    let inserted = event_rows!(
        r#"
        with made as (
            insert into event (event_id, organizer_id, name, venue, starts_at, price_minor, currency,
                               capacity, available, max_tickets_per_booking, time_zone, ends_at, max_per_user,
                               hold_seconds)
            values ($1, $2, $3, $4, $5, $6, $7, $8, 0, $9, $10, $11, $15, $16)
            returning *
        ), quotas as (
            insert into quota (quota_id, event_id, name, kind, capacity)
            select q.quota_id, event_id, q.name, q.kind, q.capacity
              from made, jsonb_to_recordset($12::text::jsonb) as q (quota_id uuid, name text, kind text, capacity int)
            returning quota_id, capacity
        ), opened as (
            insert into stock (quota_id, shard, free)
            select quota_id, shard, free from quotas cross join shards_of(capacity)
        ), types as (
            insert into ticket_type (ticket_type_id, event_id, name, description, position, is_default, price_minor,
                                     access, sale_from, sale_until, min_per_order, max_per_order, admits, tax_rate_bp)
            select t.ticket_type_id, event_id, t.name, t.description, t.position, t.is_default, t.price_minor,
                   t.access, t.sale_from, t.sale_until, t.min_per_order, t.max_per_order, t.admits,
                   t.tax_rate_bp
              from made, jsonb_to_recordset($13::text::jsonb)
                   as t (ticket_type_id uuid, name text, description text, position smallint, is_default boolean,
                         price_minor bigint, access text, sale_from timestamptz, sale_until timestamptz,
                         min_per_order smallint, max_per_order smallint, admits smallint, tax_rate_bp integer)
        ), draws as (
            insert into ticket_type_quota (ticket_type_id, quota_id, units)
            select d.ticket_type_id, d.quota_id, d.units
              from jsonb_to_recordset($14::text::jsonb) as d (ticket_type_id uuid, quota_id uuid, units smallint)
        )
        "#,
        r#"capacity as "available!""#,
        " from made",
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
        event.time_zone.clone().unwrap_or_default() as TimeZone,
        event.ends_at,
        quotas,
        types,
        draws,
        event.max_per_user as Option<Capacity>,
        event.hold_seconds.unwrap_or(HoldSeconds::DEFAULT) as HoldSeconds,
    )
    .fetch_one(db.once(FailPoint("CreateEvent")))
    .await;
    let made: Event = match inserted {
        Ok(row) => row.try_into()?,
        Err(error) if db::violates(&error, "event_pkey") => return Err(CreateEventError::Exists),
        Err(error) => return Err(error.into()),
    };
    Ok(EventDetails {
        ticket_types: types::shown(event.ticket_types, &ids, &event.quotas, &made),
        time_zone: made.time_zone.clone(),
        ends_at: event.ends_at,
        max_per_user: event.max_per_user,
        hold_seconds: event.hold_seconds.unwrap_or(HoldSeconds::DEFAULT),
        quotas: shown_quotas,
        version: 1,
        event: made,
    })
}

/// One event, with the ticket types that everybody may buy, and those that a promo code lets people buy; at the
/// prices that this makes. A code that is none changes nothing.
pub async fn get(
    db: &Db,
    event_id: &EventId,
    code: Option<&PromoCode>,
) -> Result<EventDetails, GetEventError> {
    details(db, event_id, &types::Shown::With(code)).await
}

async fn details(
    db: &Db,
    event_id: &EventId,
    shown: &types::Shown<'_>,
) -> Result<EventDetails, GetEventError> {
    let row = event_rows!("where event_id = $1", event_id as &EventId)
        .fetch_optional(db.idempotent(FailPoint("GetEvent")))
        .await?
        .ok_or(GetEventError::NotFound)?;
    let (ends_at, max_per_user) = (row.ends_at, row.max_per_user);
    let (hold_seconds, version) = (row.hold_seconds, row.version);
    let event: Event = row.try_into()?;
    Ok(EventDetails {
        ticket_types: types::list(db, event_id, event.currency, shown).await?,
        quotas: types::quotas(db, event_id, shown).await?,
        time_zone: event.time_zone.clone(),
        ends_at,
        max_per_user,
        hold_seconds,
        version,
        event,
    })
}

/// A page of the events to come, soonest first.
pub async fn list(db: &Db, page: &Page<EventId>) -> Result<Paginated<Event>, sqlx::Error> {
    let after = page.after();
    let rows = event_rows!(
        r#"
         where status = 'ON_SALE' and starts_at > now()
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

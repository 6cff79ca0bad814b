//! Events: what can be booked, and how much of it is left.

mod codes;
mod create;
mod desk;
mod edit;
mod edit_types;
mod guesses;
mod own;
mod read;
mod resize;
mod search;
mod types;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Deserializer, Serialize, de};
use utoipa::ToSchema;

use stores::db;
use values::ids::EventId;
use values::money::{Currency, Money};
use values::text;
use values::tickets::{Capacity, HoldSeconds, Tickets};
use values::time::{Moment, TimeZone, Timestamp};
use values::{amount_schema, validated_text};

pub use codes::{
    NewPromoCode, PromoCodeAmount, PromoCodeChange, PromoCodeCounts, PromoCodeDetails,
    PromoCodeError, PromoCodeKind, PromoCodeOffer, PromoCodeType, change_code, create_code,
    list_codes, offer_of, own_code,
};
pub use create::{CreateEventError, create};
pub use desk::{DaySales, Sales, TypeSales, of_organizer, sales};
pub use edit::{
    EditError, EventChange, QuotaChange, TicketTypeChange, add_quota, change_event, change_quota,
};
pub use edit_types::{add_type, change_type};
pub use guesses::Asker;
pub(crate) use guesses::{count_miss, wait};
pub use own::{OwnEvent, OwnEventError, own};
pub use read::{AskError, GetEventError, get, get_for, list};
pub use search::{Listed, Search, search};
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

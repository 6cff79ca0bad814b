//! Baskets: a booking of several ticket types, each in some quantity.

use serde::Serialize;
use utoipa::ToSchema;

use super::{Booking, BookingRequest, GetBookingError, read};
use runtime::faults::FailPoint;
use stores::db::Db;
use values::ids::{BookingId, TicketTypeId, UserId};
use values::money::Money;
use values::tickets::Tickets;

/// The most items that a basket has.
pub const MAX_ITEMS: usize = 50;

/// So many tickets of one type.
#[derive(Debug, ToSchema)]
pub struct Item {
    pub ticket_type_id: TicketTypeId,
    /// At most the type's `max_per_order`.
    pub quantity: Tickets,
}

/// What a booking has of one ticket type.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct BookedItem {
    pub ticket_type_id: TicketTypeId,
    /// The type's name.
    pub name: String,
    pub quantity: Tickets,
    /// Of one ticket, when it was booked.
    pub price: Money,
}

/// A booking with what it is of.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct BookingDetails {
    #[serde(flatten)]
    pub booking: Booking,
    /// None where it was booked without items: it is of the event's default type then.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schema(required = false)]
    pub items: Vec<BookedItem>,
}

/// What a request asks for, as two lists for a statement. A type that is null is the event's default type.
pub(super) struct Lines {
    pub types: Vec<Option<TicketTypeId>>,
    pub quantities: Vec<i32>,
}

impl Lines {
    pub(super) fn of(request: &BookingRequest) -> Self {
        let items = request.items.iter();
        let items = items.map(|item| (Some(item.ticket_type_id), item.quantity.get()));
        let tickets = request.tickets.map(|tickets| (None, tickets.get()));
        let (types, quantities) = tickets.into_iter().chain(items).unzip();
        Self { types, quantities }
    }
}

/// A booking of `user`, with its items.
///
/// # Errors
/// See [`GetBookingError`].
pub async fn get_details(
    db: &Db,
    user: UserId,
    booking_id: BookingId,
) -> Result<BookingDetails, GetBookingError> {
    let booking = read::get(db, user, booking_id).await?;
    let rows = sqlx::query!(
        r#"
        select t.ticket_type_id as "ticket_type_id: TicketTypeId", t.name, quantity::int as "quantity!: Tickets",
               unit_minor
          from booking_item join ticket_type t using (ticket_type_id)
         where booking_id = $1
         order by t.position
        "#,
        booking_id as BookingId,
    )
    .fetch_all(db.idempotent(FailPoint("ListItems")))
    .await?;
    let currency = booking.currency;
    let items = rows.into_iter().map(|row| BookedItem {
        ticket_type_id: row.ticket_type_id,
        name: row.name,
        quantity: row.quantity,
        price: Money::from_minor(row.unit_minor, currency),
    });
    Ok(BookingDetails {
        items: items.collect(),
        booking,
    })
}

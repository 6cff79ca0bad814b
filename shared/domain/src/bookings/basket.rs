//! Baskets: a booking of several ticket types, each in some quantity.

use serde::Serialize;
use utoipa::ToSchema;

use super::hold::MAX_ATTEMPTS;
use super::{Booking, GetBookingError, read};
use crate::events::Label;
use crate::users::Email;
use runtime::faults::FailPoint;
use stores::db::Db;
use values::ids::{BookingId, PromoCode, TicketTypeId, UserId};
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

/// Whom to write to about a booking.
#[derive(Debug, Clone, Default, Serialize, ToSchema)]
pub struct Contact {
    #[schema(required = false)]
    pub name: Option<Label>,
    #[schema(required = false)]
    pub email: Option<Email>,
}

/// What a booking has of one ticket type.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct BookedItem {
    pub ticket_type_id: TicketTypeId,
    /// The type's name.
    pub name: String,
    pub quantity: Tickets,
    /// Of one ticket, when it was booked, with its promo code.
    pub price: Money,
}

/// A booking and its items.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct BookingDetails {
    #[serde(flatten)]
    pub booking: Booking,
    /// None where it was booked without items, unless the event's default type, which it is of then, has a tax rate.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schema(required = false)]
    pub items: Vec<BookedItem>,
    /// The code that it was booked with.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(required = false)]
    pub promo_code: Option<PromoCode>,
    /// Whom to write to, where the request said so.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(required = false)]
    pub contact: Option<Contact>,
    /// For pages: whether as many cards were tried for it as may be.
    #[serde(skip)]
    #[schema(ignore)]
    pub is_out_of_cards: bool,
}

/// A booking of `user`, with its items.
pub async fn get_details(
    db: &Db,
    user: UserId,
    booking_id: BookingId,
) -> Result<BookingDetails, GetBookingError> {
    let booking = read::get(db, user, booking_id).await?;
    let rows = sqlx::query!(
        r#"
        select promo_code as "promo_code: PromoCode", contact_name as "contact_name: Label",
               contact_email as "contact_email: Email", attempt, t.ticket_type_id as "ticket_type_id?: TicketTypeId",
               t.name as "name?", quantity::int as "quantity?: Tickets", unit_minor as "unit_minor?"
          from booking
          left join (booking_item join ticket_type t using (ticket_type_id)) using (booking_id)
         where booking_id = $1
         order by t.position
        "#,
        booking_id as BookingId,
    )
    .fetch_all(db.idempotent(FailPoint("GetBookingDetails")))
    .await?;
    let currency = booking.currency;
    let (mut promo_code, mut contact, mut items) = (None, Contact::default(), Vec::new());
    let mut attempts = 0;
    for row in rows {
        if let (Some(ticket_type_id), Some(name), Some(quantity), Some(unit_minor)) =
            (row.ticket_type_id, row.name, row.quantity, row.unit_minor)
        {
            items.push(BookedItem {
                ticket_type_id,
                name,
                quantity,
                price: Money::from_minor(unit_minor, currency),
            });
        }
        promo_code = row.promo_code;
        attempts = row.attempt;
        contact = Contact {
            name: row.contact_name,
            email: row.contact_email,
        };
    }
    Ok(BookingDetails {
        items,
        promo_code,
        contact: Some(contact).filter(|contact| contact.name.is_some() || contact.email.is_some()),
        is_out_of_cards: attempts >= MAX_ATTEMPTS,
        booking,
    })
}

//! What somebody chooses on an event's page: how many tickets of each type.

use shared::bookings::{Item, MAX_ITEMS};
use shared::events::{EventDetails, TicketType};
use shared::http::Problem;
use shared::ids::{EventId, PromoCode, TicketTypeId};
use shared::money::Money;

use crate::format::sum;
use crate::frame::with_query;

/// How many tickets of each type were chosen, and the promo code that was typed.
#[derive(Debug, Default)]
pub struct Choice {
    types: Vec<(TicketTypeId, i32)>,
    code: String,
}

impl Choice {
    /// Reads the choice from the fields of a form or a query. Ignores fields whose names are not ticket types, and
    /// quantities that are not positive numbers.
    pub fn of<'f>(fields: impl Iterator<Item = (&'f str, &'f str)>) -> Self {
        let mut choice = Self::default();
        for (name, value) in fields {
            if name == "promo_code" {
                value.trim().clone_into(&mut choice.code);
            } else if let (Ok(id), Ok(quantity @ 1..)) = (name.parse(), value.parse()) {
                choice.types.push((id, quantity));
            }
        }
        choice.types.sort_unstable();
        choice.types.dedup_by_key(|(id, _)| *id);
        choice
    }

    /// The promo code as it was typed; empty where none was.
    pub fn typed_code(&self) -> &str {
        &self.code
    }

    /// The promo code, if what was typed can be one.
    pub fn code(&self) -> Option<PromoCode> {
        self.code.parse().ok()
    }

    /// Whether a code was typed that is malformed or does nothing for this event. `event` must have been read with
    /// that code.
    pub fn has_wrong_code(&self, event: &EventDetails) -> bool {
        let mut types = event.ticket_types.iter();
        !self.code.is_empty()
            && (self.code().is_none() || types.all(|kind| kind.price_with_code.is_none()))
    }

    pub fn is_empty(&self) -> bool {
        self.types.is_empty()
    }

    pub fn quantity(&self, ticket_type: TicketTypeId) -> i32 {
        let mut chosen = self.types.iter();
        chosen
            .find(|(id, _)| *id == ticket_type)
            .map_or(0, |(_, quantity)| *quantity)
    }

    /// How many tickets of a type the form shows as chosen: the choice, or the highest offered quantity below it.
    pub fn offered(&self, kind: &TicketType, most: i32) -> i32 {
        let chosen = self.quantity(kind.ticket_type_id);
        let offered = offered(kind, most).into_iter();
        offered
            .take_while(|offered| *offered <= chosen)
            .last()
            .unwrap_or(0)
    }

    /// The type of the item at a place of [`Self::items`].
    pub fn type_at(&self, place: usize) -> Option<TicketTypeId> {
        self.types.get(place).map(|(id, _)| *id)
    }

    /// As a request has it.
    ///
    /// # Errors
    /// 404 for a quantity that no form of ours offers, and for more types than an event has.
    pub fn items(&self) -> Result<Vec<Item>, Problem> {
        if self.types.len() > MAX_ITEMS {
            return Err(Problem::not_found("page"));
        }
        let items = self.types.iter().map(|(ticket_type_id, quantity)| {
            let quantity = (*quantity).try_into();
            Ok(Item {
                ticket_type_id: *ticket_type_id,
                quantity: quantity.map_err(|_| Problem::not_found("page"))?,
            })
        });
        items.collect()
    }

    /// The same text for the same choice.
    pub fn canonical(&self) -> String {
        format!("{:?} {}", self.types, self.code)
    }

    /// The page of the event with this choice made.
    pub fn path(&self, event_id: &EventId) -> String {
        let types = self.types.iter();
        let types = types.map(|(id, quantity)| (id.to_string(), quantity.to_string()));
        let code = Some(&self.code).filter(|code| !code.is_empty());
        let code = code.map(|code| ("promo_code".to_owned(), code.clone()));
        with_query(&format!("/e/{event_id}"), types.chain(code))
    }

    /// What it costs.
    pub fn total(&self, event: &EventDetails) -> Money {
        let lines = event.ticket_types.iter();
        let lines = lines.map(|kind| {
            let price = kind.price_with_code.unwrap_or(kind.price);
            (price, self.offered(kind, most_of(event)))
        });
        sum(event.event.currency, lines)
    }
}

/// How many tickets one person can book at once, whatever they have already.
pub fn most_of(event: &EventDetails) -> i32 {
    let of_booking = event.event.max_tickets_per_booking.get();
    event
        .max_per_user
        .map_or(of_booking, |of_person| of_person.get().min(of_booking))
}

/// The quantities that a form offers of a type: none where it can't be had.
pub fn offered(kind: &TicketType, most_of_event: i32) -> Vec<i32> {
    let most = kind
        .max_per_order
        .get()
        .min(most_of_event)
        .min(kind.available);
    if kind.on_sale && most >= kind.min_per_order.get() {
        (kind.min_per_order.get()..=most).collect()
    } else {
        Vec::new()
    }
}

//! What somebody chooses on an event's page: how many tickets of each type.

use shared::bookings::Item;
use shared::events::{EventDetails, TicketType};
use shared::http::Problem;
use shared::ids::TicketTypeId;
use shared::money::Money;

use crate::format::sum;

/// How many tickets of each type were chosen, in the event's order.
#[derive(Debug, Default)]
pub struct Choice(Vec<(TicketTypeId, i32)>);

impl Choice {
    /// What the fields of a form, or of a query, choose. Fields that are no types are passed over, and so are
    /// quantities that are no numbers.
    pub fn of<'f>(fields: impl Iterator<Item = (&'f str, &'f str)>) -> Self {
        let chosen = fields.filter_map(|(name, value)| {
            let quantity = value.parse().ok().filter(|quantity| *quantity > 0)?;
            Some((name.parse().ok()?, quantity))
        });
        let mut chosen: Vec<_> = chosen.collect();
        chosen.sort_unstable();
        Self(chosen)
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub fn quantity(&self, ticket_type: TicketTypeId) -> i32 {
        let mut chosen = self.0.iter();
        chosen
            .find(|(id, _)| *id == ticket_type)
            .map_or(0, |(_, quantity)| *quantity)
    }

    /// The type of the item at a place of [`Self::items`].
    pub fn type_at(&self, place: usize) -> Option<TicketTypeId> {
        self.0.get(place).map(|(id, _)| *id)
    }

    /// As a request has it.
    ///
    /// # Errors
    /// 404 for a quantity that no form of ours offers.
    pub fn items(&self) -> Result<Vec<Item>, Problem> {
        let items = self.0.iter().map(|(ticket_type_id, quantity)| {
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
        format!("{:?}", self.0)
    }

    /// What it costs.
    pub fn total(&self, event: &EventDetails) -> Money {
        let lines = event.ticket_types.iter();
        let lines = lines.map(|kind| (kind.price, self.quantity(kind.ticket_type_id)));
        sum(event.event.currency, lines)
    }
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

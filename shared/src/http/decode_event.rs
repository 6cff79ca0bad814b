//! The body of a new event: of one price, or with ticket types and quotas.

use domain::events::{
    Access, Draw, Future, MAX_PRICE, MAX_TYPES, NewEvent, NewQuota, NewTicketType, default_of,
    most_of,
};
use values::money::{Currency, Money, Number};
use values::tickets::Tickets;
use values::time::Moment;

use super::body::{Decode, Fields};

impl Decode for NewQuota {
    fn decode(fields: &mut Fields) -> Option<Self> {
        let name = fields.required("name");
        let capacity = fields.required("capacity");
        Some(Self {
            name: name?,
            capacity: capacity?,
        })
    }
}

impl Decode for Draw {
    fn decode(fields: &mut Fields) -> Option<Self> {
        let name = fields.required("name");
        let units = fields.optional("units");
        Some(Self {
            name: name?,
            units: units?,
        })
    }
}

/// A ticket type, in the event's currency; `None` where that is invalid.
fn ticket_type(fields: &mut Fields, currency: Option<Currency>) -> Option<NewTicketType> {
    let name = fields.required("name");
    let description = fields.optional("description");
    let price = price(fields, currency);
    let is_default = fields.optional("is_default");
    let access = fields.optional("access");
    let sale_from = fields.optional::<Moment>("sale_from");
    let sale_until = fields.optional::<Moment>("sale_until");
    let min_per_order = fields.optional("min_per_order");
    let max_per_order = fields.optional("max_per_order");
    let admits = fields.optional("admits");
    let units = fields.optional("units");
    let quotas = fields.list("quotas", MAX_TYPES);
    Some(NewTicketType {
        name: name?,
        description: description?,
        price: price?,
        is_default: is_default?,
        access: access?,
        sale_from: sale_from?.map(|Moment(from)| from),
        sale_until: sale_until?.map(|Moment(until)| until),
        min_per_order: min_per_order?,
        max_per_order: max_per_order?,
        admits: admits?,
        units: units?,
        quotas: quotas?,
    })
}

fn price(fields: &mut Fields, currency: Option<Currency>) -> Option<Money> {
    let number = fields.required::<Number>("price");
    Money::new(number?, currency?, MAX_PRICE)
        .inspect_err(|error| fields.reject("price", error))
        .ok()
}

impl Decode for NewEvent {
    fn decode(fields: &mut Fields) -> Option<Self> {
        let event_id = fields.optional("event_id");
        let name = fields.required("name");
        let venue = fields.required("venue");
        let starts_at = fields.required::<Future>("starts_at");
        let ends_at = fields.optional::<Future>("ends_at");
        let time_zone = fields.optional("time_zone");
        let currency = fields.optional::<Currency>("currency");
        let capacity = fields.required("capacity");
        let max_tickets_per_booking = fields.optional::<Tickets>("max_tickets_per_booking");
        let max_per_user = fields.optional("max_per_user");
        let hold_seconds = fields.optional("hold_seconds");
        let quotas = fields.list::<NewQuota>("quotas", MAX_TYPES);
        let in_currency = currency.map(Option::unwrap_or_default);
        let (price, types) = prices(fields, in_currency);
        if let (Some(Future(starts)), Some(Some(Future(ends)))) = (starts_at, ends_at)
            && ends <= starts
        {
            fields.reject("ends_at", "must be after starts_at");
        }
        let event = Self {
            event_id: event_id?,
            name: name?,
            venue: venue?,
            starts_at: starts_at?.0,
            ends_at: ends_at?.map(|Future(ends)| ends),
            time_zone: time_zone?,
            price: price?,
            currency: currency?,
            capacity: capacity?,
            max_tickets_per_booking: max_tickets_per_booking?,
            max_per_user: max_per_user?,
            hold_seconds: hold_seconds?,
            quotas: quotas?,
            ticket_types: types?,
        };
        check_quotas(&event, fields);
        check_types(&event, fields);
        Some(event)
    }
}

/// The price of an event, and its types: none of an event with one price. Else the price is the default type's.
fn prices(
    fields: &mut Fields,
    currency: Option<Currency>,
) -> (Option<Money>, Option<Vec<NewTicketType>>) {
    if !fields.has("ticket_types") {
        // Null, if it is there.
        let none = fields.list_by("ticket_types", 0, |_| None);
        return (price(fields, currency), none);
    }
    let types = fields.list_by("ticket_types", MAX_TYPES, |fields| {
        ticket_type(fields, currency)
    });
    if types.as_ref().is_some_and(Vec::is_empty) {
        fields.reject("ticket_types", "must not be empty");
    }
    fields.refuse("price", "can't be given with ticket_types");
    let default = types
        .as_ref()
        .and_then(|types| types.get(default_of(types)));
    (default.map(|new| new.price), types)
}

fn check_quotas(event: &NewEvent, fields: &mut Fields) {
    for (index, quota) in event.quotas.iter().enumerate() {
        let mut earlier = event.quotas.iter().take(index);
        if earlier.any(|other| other.name == quota.name) {
            fields.reject_at(&format!("quotas/{index}/name"), "is given twice");
        }
    }
    if event.ticket_types.is_empty() && !event.quotas.is_empty() {
        fields.reject("quotas", "can only be given with ticket_types");
    }
}

fn check_types(event: &NewEvent, fields: &mut Fields) {
    let types = &event.ticket_types;
    let most_of_event = event
        .max_tickets_per_booking
        .unwrap_or(Tickets::DEFAULT_MAX);
    for (index, new) in types.iter().enumerate() {
        let mut reject = |field: &str, detail: &str| {
            fields.reject_at(&format!("ticket_types/{index}/{field}"), detail);
        };
        let mut earlier = types.iter().take(index);
        if earlier.clone().any(|other| other.name == new.name) {
            reject("name", "is given twice");
        }
        if new.is_default == Some(true) && earlier.any(|other| other.is_default == Some(true)) {
            reject("is_default", "can be true of one type only");
        }
        if let (Some(from), Some(until)) = (new.sale_from, new.sale_until)
            && until <= from
        {
            reject("sale_until", "must be after sale_from");
        }
        let least = new.min_per_order.unwrap_or(Tickets::ONE);
        let most = new.max_per_order.unwrap_or(most_of_event);
        if most > most_of_event {
            reject(
                "max_per_order",
                "must be at most the event's max_tickets_per_booking",
            );
        } else if least > most {
            reject("min_per_order", "must be at most max_per_order");
        }
        for (place, draw) in new.quotas.iter().enumerate() {
            let name = format!("quotas/{place}/name");
            if !event.quotas.iter().any(|quota| quota.name == draw.name) {
                reject(&name, "must be the name of one of the event's quotas");
            }
            let mut earlier = new.quotas.iter().take(place);
            if earlier.any(|other| other.name == draw.name) {
                reject(&name, "is given twice");
            }
        }
        if most_of(new, event.capacity, &event.quotas) == 0 {
            reject(
                "units",
                "of the capacity or of a quota are more than there are",
            );
        }
    }
    let default = default_of(types);
    if types
        .get(default)
        .is_some_and(|new| new.access.unwrap_or_default() != Access::Public)
    {
        fields.reject_at(
            &format!("ticket_types/{default}/access"),
            "must be PUBLIC for the default type",
        );
    }
}

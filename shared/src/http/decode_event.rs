//! The body of a new event: of one price, or with ticket types and quotas.

use chrono::{DateTime, Utc};
use domain::events::{
    Access, Draw, EventChange, Future, MAX_PRICE, MAX_TYPES, NewEvent, NewQuota, NewTicketType,
    QuotaChange, TicketTypeChange, default_of, most_of,
};
use values::money::{Currency, Money, Number};
use values::tickets::Tickets;
use values::time::Moment;

use super::body::{Decode, Fields, decode};
use super::problem::Problem;

decode!(NewQuota {
    name: required,
    capacity: required,
});

decode!(QuotaChange {
    name: changed,
    capacity: changed,
});

decode!(Draw {
    name: required,
    units: optional,
});

/// A ticket type for an event that is on sale.
///
/// # Errors
/// 422 with every field at fault.
pub fn decode_type(fields: Fields, currency: Currency) -> Result<NewTicketType, Problem> {
    fields.decode_by(|fields| {
        let new = ticket_type(fields, Some(currency))?;
        if new.is_default == Some(true) {
            fields.reject("is_default", "can be true of a new event's types only");
        }
        check_window("", new.sale_from, new.sale_until, fields);
        check_draws("", &new.quotas, fields);
        Some(new)
    })
}

/// Changes of a ticket type of an event with this currency.
///
/// # Errors
/// 422 with every field at fault.
pub fn decode_type_change(fields: Fields, currency: Currency) -> Result<TicketTypeChange, Problem> {
    fields.decode_by(|fields| {
        let name = fields.changed("name");
        let description = fields.changed_or_removed("description");
        let price = if fields.names("price") {
            price(fields, Some(currency)).map(Some)
        } else {
            Some(None)
        };
        let tax_rate = fields.changed("tax_rate");
        let access = fields.changed("access");
        let sale_from = fields.changed_or_removed::<Moment>("sale_from");
        let sale_until = fields.changed_or_removed::<Moment>("sale_until");
        let min_per_order = fields.changed("min_per_order");
        let max_per_order = fields.changed_or_removed("max_per_order");
        let admits = fields.changed("admits");
        let units = fields.changed("units");
        let quotas = fields.changed_list::<Draw>("quotas", MAX_TYPES);
        let archived = fields.changed::<bool>("archived");
        if let Some(Some(quotas)) = &quotas {
            check_draws("", quotas, fields);
        }
        Some(TicketTypeChange {
            name: name?,
            description: description?,
            price: price?,
            tax_rate: tax_rate?,
            access: access?,
            sale_from: sale_from?.map(|from| from.map(|Moment(from)| from)),
            sale_until: sale_until?.map(|until| until.map(|Moment(until)| until)),
            min_per_order: min_per_order?,
            max_per_order: max_per_order?,
            admits: admits?,
            units: units?,
            quotas: quotas?,
            archived: archived?,
        })
    })
}

impl Decode for EventChange {
    fn decode(fields: &mut Fields) -> Option<Self> {
        let name = fields.changed("name");
        let venue = fields.changed("venue");
        let starts_at = fields.changed::<Future>("starts_at");
        let ends_at = fields.changed_or_removed::<Future>("ends_at");
        let time_zone = fields.changed("time_zone");
        let capacity = fields.changed("capacity");
        let max_tickets_per_booking = fields.changed("max_tickets_per_booking");
        let max_per_user = fields.changed_or_removed("max_per_user");
        let hold_seconds = fields.changed("hold_seconds");
        Some(Self {
            name: name?,
            venue: venue?,
            starts_at: starts_at?.map(|Future(starts)| starts),
            ends_at: ends_at?.map(|ends| ends.map(|Future(ends)| ends)),
            time_zone: time_zone?,
            capacity: capacity?,
            max_tickets_per_booking: max_tickets_per_booking?,
            max_per_user: max_per_user?,
            hold_seconds: hold_seconds?,
        })
    }
}

/// A ticket type, in the event's currency; `None` where that is invalid.
fn ticket_type(fields: &mut Fields, currency: Option<Currency>) -> Option<NewTicketType> {
    let name = fields.required("name");
    let description = fields.optional("description");
    let price = price(fields, currency);
    let tax_rate = fields.optional("tax_rate");
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
        tax_rate: tax_rate?,
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

/// The price of an event, and its ticket types. An event with a single price has no types. Otherwise, the price is
/// that of the default type.
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

/// Records an error if sales of the ticket type at `at` would end before they begin.
fn check_window(
    at: &str,
    from: Option<DateTime<Utc>>,
    until: Option<DateTime<Utc>>,
    fields: &mut Fields,
) {
    if from.zip(until).is_some_and(|(from, until)| until <= from) {
        fields.reject_at(&format!("{at}sale_until"), "must be after sale_from");
    }
}

/// Notes the quotas that the type at a place names twice.
fn check_draws(at: &str, draws: &[Draw], fields: &mut Fields) {
    for (place, draw) in draws.iter().enumerate() {
        let mut earlier = draws.iter().take(place);
        if earlier.any(|other| other.name == draw.name) {
            fields.reject_at(&format!("{at}quotas/{place}/name"), "is given twice");
        }
    }
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
            if !event.quotas.iter().any(|quota| quota.name == draw.name) {
                let name = format!("quotas/{place}/name");
                reject(&name, "must be the name of one of the event's quotas");
            }
        }
        if most_of(new, event.capacity, &event.quotas) == 0 {
            reject(
                "units",
                "must not exceed the capacity of the event or of a quota",
            );
        }
        let at = format!("ticket_types/{index}/");
        check_window(&at, new.sale_from, new.sale_until, fields);
        check_draws(&at, &new.quotas, fields);
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

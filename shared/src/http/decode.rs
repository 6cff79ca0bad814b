//! The bodies of requests, each read into the request that the business takes. A body is read to its
//! end, so that one answer names every field at fault. Those of events are read in `decode_event`.

use domain::bookings::{BookingRequest, Contact, Item, MAX_ITEMS, PayRequest, QuoteRequest};
use domain::payments::{MAX_AMOUNT, PaymentRequest};
use domain::users::{Credentials, Registration};
use values::money::{Currency, Money, Number};

use super::body::{Decode, Fields, decode};

decode!(Registration {
    username: required,
    password: required,
    email: optional,
});

// Doesn't check the rules for new names and passwords: a login that breaks them is simply wrong.
decode!(Credentials {
    username: required,
    password: required,
});

decode!(Item {
    ticket_type_id: required,
    quantity: required,
});

decode!(Contact {
    name: optional,
    email: optional,
});

decode!(PayRequest {
    payment_method: optional,
});

impl Decode for BookingRequest {
    fn decode(fields: &mut Fields) -> Option<Self> {
        let user_id = fields.required("user_id");
        let event_id = fields.required("event_id");
        let (tickets, items) = if fields.has("items") {
            let items = fields.list::<Item>("items", MAX_ITEMS);
            if let Some(items) = &items {
                check_items(items, fields);
            }
            fields.refuse("tickets", "can't be given with items");
            (Some(None), items)
        } else {
            // Null, if it is there.
            let none = fields.list("items", 0);
            (fields.required("tickets").map(Some), none)
        };
        let hold = fields.optional::<bool>("hold");
        if hold == Some(Some(true)) {
            fields.refuse("payment_method", "can't be given with hold");
        }
        let payment_method = fields.optional("payment_method");
        let promo_code = fields.optional("promo_code");
        let expected_amount = fields.optional("expected_amount");
        let contact = fields.object("contact");
        Some(Self {
            user_id: user_id?,
            event_id: event_id?,
            tickets: tickets?,
            items: items?,
            payment_method: payment_method?,
            hold: hold?,
            promo_code: promo_code?,
            expected_amount: expected_amount?,
            contact: contact?.unwrap_or_default(),
        })
    }
}

impl Decode for QuoteRequest {
    fn decode(fields: &mut Fields) -> Option<Self> {
        let items = fields.list::<Item>("items", MAX_ITEMS);
        let promo_code = fields.optional("promo_code");
        let items = items?;
        check_items(&items, fields);
        Some(Self {
            items,
            promo_code: promo_code?,
        })
    }
}

fn check_items(items: &[Item], fields: &mut Fields) {
    if items.is_empty() {
        fields.reject("items", "must not be empty");
    }
    for (index, item) in items.iter().enumerate() {
        let mut earlier = items.iter().take(index);
        if earlier.any(|other| other.ticket_type_id == item.ticket_type_id) {
            fields.reject_at(&format!("items/{index}/ticket_type_id"), "is given twice");
        }
    }
}

impl Decode for PaymentRequest {
    fn decode(fields: &mut Fields) -> Option<Self> {
        let user_id = fields.required("user_id");
        let number = fields.required::<Number>("amount");
        let currency = fields.optional::<Currency>("currency");
        let payment_method = fields.optional("payment_method");
        let amount = number.zip(currency).and_then(|(number, currency)| {
            let amount = Money::new(number, currency.unwrap_or_default(), MAX_AMOUNT)
                .inspect_err(|error| fields.reject("amount", error))
                .ok()?;
            if amount.is_zero() {
                fields.reject("amount", "must be above 0");
            }
            Some(amount)
        });
        Some(Self {
            user_id: user_id?,
            amount: amount?,
            currency: currency?,
            payment_method: payment_method?,
        })
    }
}

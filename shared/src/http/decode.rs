//! The bodies of requests, each read into the request that the business takes. A body is read to its
//! end, so that one answer names every field at fault.

use domain::bookings::BookingRequest;
use domain::events::{Future, MAX_PRICE, NewEvent};
use domain::payments::{MAX_AMOUNT, PaymentRequest};
use domain::users::{Credentials, Registration};
use values::money::{Currency, Money, Number};

use super::body::{Decode, Fields};

impl Decode for Registration {
    fn decode(fields: &mut Fields) -> Option<Self> {
        let username = fields.required("username");
        let password = fields.required("password");
        let email = fields.optional("email");
        Some(Self {
            username: username?,
            password: password?,
            email: email?,
        })
    }
}

/// Doesn't check the rules for new names and passwords: a login that breaks them is simply wrong.
impl Decode for Credentials {
    fn decode(fields: &mut Fields) -> Option<Self> {
        let username = fields.required("username");
        let password = fields.required("password");
        Some(Self {
            username: username?,
            password: password?,
        })
    }
}

impl Decode for NewEvent {
    fn decode(fields: &mut Fields) -> Option<Self> {
        let event_id = fields.optional("event_id");
        let name = fields.required("name");
        let venue = fields.required("venue");
        let starts_at = fields.required::<Future>("starts_at");
        let number = fields.required::<Number>("price");
        let currency = fields.optional::<Currency>("currency");
        let capacity = fields.required("capacity");
        let max_tickets_per_booking = fields.optional("max_tickets_per_booking");
        let price = number.zip(currency).and_then(|(number, currency)| {
            Money::new(number, currency.unwrap_or_default(), MAX_PRICE)
                .inspect_err(|error| fields.reject("price", error))
                .ok()
        });
        Some(Self {
            event_id: event_id?,
            name: name?,
            venue: venue?,
            starts_at: starts_at?.0,
            price: price?,
            currency: currency?,
            capacity: capacity?,
            max_tickets_per_booking: max_tickets_per_booking?,
        })
    }
}

impl Decode for BookingRequest {
    fn decode(fields: &mut Fields) -> Option<Self> {
        let user_id = fields.required("user_id");
        let event_id = fields.required("event_id");
        let tickets = fields.required("tickets");
        let payment_method = fields.optional("payment_method");
        Some(Self {
            user_id: user_id?,
            event_id: event_id?,
            tickets: tickets?,
            payment_method: payment_method?,
        })
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

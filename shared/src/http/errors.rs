//! Maps each error of `domain` to the problem that the client gets.

use chrono::SecondsFormat;
use domain::bookings::{
    BookError, CancelError, GetBookingError, PayHoldError, QuoteError, ReleaseError, ReserveError,
    Status,
};
use domain::events::{
    AskError, CreateEventError, EditError, GetEventError, OwnEventError, PromoCodeError,
};
use domain::payments::{GetPaymentError, PayError};
use domain::users::{LoginError, RegisterError};

use super::problem::{Code, Problem};
use crate::{db, docdb};

impl From<RegisterError> for Problem {
    fn from(error: RegisterError) -> Self {
        match error {
            RegisterError::UsernameTaken => {
                Self::new(Code::UsernameTaken, "This username is taken.")
            }
            RegisterError::Hash(_) => Self::internal("registering a user", error),
            RegisterError::Database(cause) => cause.into(),
        }
    }
}

impl From<LoginError> for Problem {
    fn from(error: LoginError) -> Self {
        match error {
            LoginError::Invalid => Self::new(
                Code::InvalidCredentials,
                "The username or the password is wrong.",
            ),
            LoginError::TooMany { retry_after } => {
                let detail = "Too many failed logins with this username. Wait before you retry.";
                Self::new(Code::TooManyRequests, detail).retry_after(retry_after)
            }
            LoginError::Key(cause) => Self::unavailable("reading the token key", cause),
            LoginError::Hash(_) | LoginError::Token(_) => Self::internal("logging in", error),
            LoginError::Database(cause) => cause.into(),
        }
    }
}

impl From<CreateEventError> for Problem {
    fn from(error: CreateEventError) -> Self {
        match error {
            CreateEventError::Exists => Self::new(Code::EventExists, "This event_id is taken."),
            CreateEventError::Database(cause) => cause.into(),
        }
    }
}

impl From<GetEventError> for Problem {
    fn from(error: GetEventError) -> Self {
        match error {
            GetEventError::NotFound => Self::not_found("event"),
            GetEventError::Database(cause) => cause.into(),
        }
    }
}

impl From<AskError> for Problem {
    fn from(error: AskError) -> Self {
        match error {
            AskError::TooManyGuesses { retry_after } => Self::too_many_guesses(retry_after),
            AskError::Event(cause) => cause.into(),
        }
    }
}

impl From<OwnEventError> for Problem {
    fn from(error: OwnEventError) -> Self {
        match error {
            OwnEventError::NotFound => Self::not_found("event"),
            OwnEventError::NotOrganizer => {
                Self::new(Code::Forbidden, "Only the event's organizer may do this.")
            }
            OwnEventError::Stale { version } => Self::new(
                Code::PreconditionFailed,
                "The event was changed meanwhile. Read it again.",
            )
            .with("version", version),
            OwnEventError::Database(cause) => cause.into(),
        }
    }
}

impl From<EditError> for Problem {
    fn from(error: EditError) -> Self {
        match error {
            EditError::Event(cause) => cause.into(),
            EditError::NotFound(what) => Self::not_found(what),
            EditError::BelowSold { least } => Self::below_sold(least, "/capacity"),
            EditError::TypeSold => Self::new(
                Code::TypeSold,
                "Tickets of this type are booked, so units, quotas and admits can no longer change.",
            ),
            EditError::Invalid { pointer, detail } => Self::field(&pointer, detail),
            EditError::Contended => Self::unavailable("changing an event", error),
            EditError::Database(cause) => cause.into(),
        }
    }
}

impl From<PromoCodeError> for Problem {
    fn from(error: PromoCodeError) -> Self {
        match error {
            PromoCodeError::Event(cause) => cause.into(),
            PromoCodeError::NotFound => Self::not_found("promo code"),
            PromoCodeError::TooManyGuesses { retry_after } => Self::too_many_guesses(retry_after),
            PromoCodeError::Exists => {
                Self::new(Code::PromoExists, "The event has this code already.")
            }
            PromoCodeError::TypeNotFound { place } => Self::field(
                &format!("/ticket_types/{place}/ticket_type_id"),
                "must be a ticket type of the event",
            ),
            PromoCodeError::EndsBeforeItBegins => {
                Self::field("/valid_until", "must be after valid_from")
            }
            PromoCodeError::BelowUsed { least } => Self::below_sold(least, "/uses"),
            PromoCodeError::Contended => Self::unavailable("changing a promo code", error),
            PromoCodeError::Database(cause) => cause.into(),
        }
    }
}

impl From<BookError> for Problem {
    fn from(error: BookError) -> Self {
        match error {
            BookError::AnotherUser => Self::another_user(),
            BookError::KeyReused => Self::key_reused(),
            BookError::InProgress => Self::in_progress(),
            BookError::TooManyGuesses { retry_after } => Self::too_many_guesses(retry_after),
            BookError::Reserve(cause) => cause.into(),
        }
    }
}

impl From<ReserveError> for Problem {
    fn from(error: ReserveError) -> Self {
        match error {
            ReserveError::EventNotFound => Self::not_found("event"),
            ReserveError::SalesClosed => Self::new(
                Code::SalesClosed,
                "The event has begun; its sales are closed.",
            ),
            ReserveError::TypeNotFound { item } => Self::type_not_found(item),
            ReserveError::NotOnSale { ticket_type } => Self::new(
                Code::SalesClosed,
                format!("The ticket type {ticket_type:?} is not on sale now."),
            ),
            ReserveError::OutsideOrder { item, least, most } => {
                let pointer = match item {
                    Some(item) => format!("/items/{item}/quantity"),
                    None => "/tickets".to_owned(),
                };
                let detail =
                    format!("must be a whole number from {least} to {most} for this ticket type");
                Self::field(&pointer, detail)
            }
            ReserveError::TooManyTickets {
                most,
                of_items: false,
            } => Self::field("/tickets", format!("must be at most {most} for this event")),
            ReserveError::TooManyTickets {
                most,
                of_items: true,
            } => {
                let detail = format!("must be at most {most} tickets in all for this event");
                Self::field("/items", detail)
            }
            // Don't say how many are left: the number may have changed by the time it is read.
            ReserveError::SoldOut { ticket_type: None } => {
                Self::new(Code::SoldOut, "There are not enough tickets left.")
            }
            ReserveError::SoldOut {
                ticket_type: Some((id, name)),
            } => Self::new(
                Code::SoldOut,
                format!("Not enough tickets of the type {name:?} are left."),
            )
            .with("ticket_type_id", id.to_string()),
            ReserveError::PurchaseLimit { most, have } => Self::new(
                Code::PurchaseLimit,
                format!("You may have at most {most} tickets for this event, and have {have}."),
            )
            .with("most", most)
            .with("have", have),
            ReserveError::HoldOpen { booking_id } => {
                let detail = "You hold tickets of this event already. Pay or release them first.";
                Self::new(Code::HoldOpen, detail).at(format!("/bookings/{booking_id}"))
            }
            ReserveError::PromoInvalid => Self::promo_invalid(),
            ReserveError::PromoForOthers => Self::promo_for_others(),
            ReserveError::PromoUsedUp => Self::new(
                Code::PromoUsedUp,
                "The promo code has been used as often as it can be.",
            ),
            ReserveError::PriceChanged { amount } => Self::new(
                Code::PriceChanged,
                format!("The tickets cost {amount} now."),
            )
            .with("amount", serde_json::json!(amount)),
            ReserveError::ExpectedAmount(cause) => {
                Self::field("/expected_amount", cause.to_string())
            }
            ReserveError::Contended => Self::unavailable("reserving tickets", error),
            ReserveError::Database(cause) => cause.into(),
        }
    }
}

impl From<GetBookingError> for Problem {
    fn from(error: GetBookingError) -> Self {
        match error {
            GetBookingError::NotFound => Self::not_found("booking"),
            GetBookingError::Database(cause) => cause.into(),
        }
    }
}

impl From<CancelError> for Problem {
    fn from(error: CancelError) -> Self {
        match error {
            CancelError::NotFound => Self::not_found("booking"),
            CancelError::Begun => Self::new(Code::NotCancellable, "The event has begun."),
            CancelError::NotCancellable {
                status: Status::Pending,
            } => {
                let detail = "The booking's payment is not settled yet. Retry when it is.";
                Self::new(Code::NotCancellable, detail).retry_after(5)
            }
            CancelError::NotCancellable { status } => Self::new(
                Code::NotCancellable,
                format!("A booking that is {} can't be cancelled.", status.as_ref()),
            ),
            CancelError::Database(cause) => cause.into(),
        }
    }
}

impl From<QuoteError> for Problem {
    fn from(error: QuoteError) -> Self {
        match error {
            QuoteError::Event(cause) => cause.into(),
            QuoteError::TypeNotFound { item } => Self::type_not_found(item),
            QuoteError::PromoInvalid => Self::promo_invalid(),
            QuoteError::PromoForOthers => Self::promo_for_others(),
        }
    }
}

impl From<PayHoldError> for Problem {
    fn from(error: PayHoldError) -> Self {
        match error {
            PayHoldError::NotFound => Self::not_found("booking"),
            PayHoldError::Declined { hold_until } => {
                let detail = "The card was declined. The tickets are still held; try another card.";
                let until =
                    hold_until.map(|until| until.to_rfc3339_opts(SecondsFormat::AutoSi, true));
                Self::new(Code::PaymentDeclined, detail).with("hold_until", until)
            }
            PayHoldError::Expired => {
                let detail =
                    "The time to pay is over; nothing was charged and the tickets were released.";
                Self::new(Code::HoldExpired, detail)
            }
            PayHoldError::InProgress => Self::payment_in_progress(),
            PayHoldError::RequestInProgress => Self::in_progress(),
            PayHoldError::KeyReused => Self::key_reused(),
            PayHoldError::TooManyAttempts => Self::new(
                Code::TooManyRequests,
                "Too many cards were tried for this booking.",
            ),
            PayHoldError::NotHeld { status } => Self::not_held(status),
            PayHoldError::Busy(_) => Self::unavailable("paying a hold", error),
            PayHoldError::Database(cause) => cause.into(),
        }
    }
}

impl From<ReleaseError> for Problem {
    fn from(error: ReleaseError) -> Self {
        match error {
            ReleaseError::NotFound => Self::not_found("booking"),
            ReleaseError::InProgress => Self::payment_in_progress(),
            ReleaseError::NotHeld { status } => Self::not_held(status),
            ReleaseError::Payment(_) => Self::unavailable("voiding a payment", error),
            ReleaseError::Database(cause) => cause.into(),
        }
    }
}

impl From<PayError> for Problem {
    fn from(error: PayError) -> Self {
        match error {
            PayError::AnotherUser => Self::another_user(),
            PayError::KeyReused => Self::key_reused(),
            PayError::InProgress => Self::in_progress(),
            PayError::Database(cause) => cause.into(),
        }
    }
}

impl From<GetPaymentError> for Problem {
    fn from(error: GetPaymentError) -> Self {
        match error {
            GetPaymentError::NotFound => Self::not_found("payment"),
            GetPaymentError::Database(cause) => cause.into(),
        }
    }
}

impl From<sqlx::Error> for Problem {
    fn from(error: sqlx::Error) -> Self {
        let doing = "using PostgreSQL";
        if db::is_unavailable(&error) {
            Self::unavailable(doing, error)
        } else {
            Self::internal(doing, error)
        }
    }
}

impl From<mongodb::error::Error> for Problem {
    fn from(error: mongodb::error::Error) -> Self {
        let doing = "using the document store";
        if docdb::is_unavailable(&error) {
            Self::unavailable(doing, error)
        } else {
            Self::internal(doing, error)
        }
    }
}

impl Problem {
    fn another_user() -> Self {
        Self::new(
            Code::Forbidden,
            "The user_id must be that of the logged-in user.",
        )
    }

    fn type_not_found(item: usize) -> Self {
        let detail = format!("There is no such ticket type: /items/{item}.");
        Self::new(Code::NotFound, detail)
    }

    fn promo_invalid() -> Self {
        Self::new(
            Code::PromoInvalid,
            "This promo code is not valid for this event now.",
        )
    }

    fn promo_for_others() -> Self {
        Self::new(
            Code::PromoInvalid,
            "This promo code does not apply to these tickets.",
        )
    }

    fn too_many_guesses(retry_after: u32) -> Self {
        let detail = "Too many promo codes that this event does not have. Wait before you retry.";
        Self::new(Code::TooManyRequests, detail).retry_after(retry_after)
    }

    fn below_sold(least: i32, pointer: &str) -> Self {
        let detail = format!("{pointer} must be at least {least}: that many are sold or held.");
        Self::new(Code::CapacityBelowSold, detail).with("least", least)
    }

    fn payment_in_progress() -> Self {
        let detail = "A payment of this booking is running. Retry when it has ended.";
        Self::new(Code::PaymentInProgress, detail).retry_after(5)
    }

    fn not_held(status: Status) -> Self {
        let detail = format!("The booking is {}, not a hold.", status.as_ref());
        Self::new(Code::NotHeld, detail)
    }

    fn key_reused() -> Self {
        Self::new(
            Code::IdempotencyKeyReused,
            "This Idempotency-Key was used with another body. Use a new key.",
        )
    }

    fn in_progress() -> Self {
        let detail = "The first request with this Idempotency-Key is still running.";
        Self::new(Code::RequestInProgress, detail).retry_after(1)
    }
}

#[cfg(test)]
mod tests {
    use aws_lambda_events::encodings::Body;

    use super::*;
    use crate::money::{Currency, Money};

    /// The answers to every error that a client can mend or wait for: a change of a text is a change of the API.
    #[test]
    fn what_clients_are_told() {
        let problems: [Problem; 62] = [
            RegisterError::UsernameTaken.into(),
            LoginError::Invalid.into(),
            LoginError::TooMany { retry_after: 17 }.into(),
            CreateEventError::Exists.into(),
            GetEventError::NotFound.into(),
            BookError::AnotherUser.into(),
            ReserveError::SoldOut { ticket_type: None }.into(),
            ReserveError::SoldOut {
                ticket_type: Some((
                    "tt_01a22b51517c6a70369b5104367d1cd1".parse().unwrap(),
                    "Seat".to_owned(),
                )),
            }
            .into(),
            ReserveError::SalesClosed.into(),
            ReserveError::NotOnSale {
                ticket_type: "Seat".to_owned(),
            }
            .into(),
            ReserveError::TypeNotFound { item: 1 }.into(),
            ReserveError::OutsideOrder {
                item: Some(1),
                least: 2,
                most: 4,
            }
            .into(),
            ReserveError::OutsideOrder {
                item: None,
                least: 2,
                most: 4,
            }
            .into(),
            ReserveError::TooManyTickets {
                most: 4,
                of_items: false,
            }
            .into(),
            ReserveError::TooManyTickets {
                most: 4,
                of_items: true,
            }
            .into(),
            BookError::KeyReused.into(),
            BookError::InProgress.into(),
            GetBookingError::NotFound.into(),
            CancelError::NotCancellable {
                status: Status::Pending,
            }
            .into(),
            CancelError::NotCancellable {
                status: Status::Rejected,
            }
            .into(),
            CancelError::Begun.into(),
            GetPaymentError::NotFound.into(),
            OwnEventError::NotFound.into(),
            OwnEventError::NotOrganizer.into(),
            OwnEventError::Stale { version: 3 }.into(),
            EditError::NotFound("quota").into(),
            EditError::BelowSold { least: 7 }.into(),
            EditError::TypeSold.into(),
            EditError::Contended.into(),
            PromoCodeError::NotFound.into(),
            PromoCodeError::Exists.into(),
            PromoCodeError::TypeNotFound { place: 1 }.into(),
            PromoCodeError::EndsBeforeItBegins.into(),
            PromoCodeError::BelowUsed { least: 7 }.into(),
            PromoCodeError::Contended.into(),
            ReserveError::EventNotFound.into(),
            ReserveError::PurchaseLimit { most: 4, have: 3 }.into(),
            ReserveError::HoldOpen {
                booking_id: "bk_01a22f95dc5d731d824823822184f462".parse().unwrap(),
            }
            .into(),
            ReserveError::PromoInvalid.into(),
            ReserveError::PromoForOthers.into(),
            ReserveError::PromoUsedUp.into(),
            ReserveError::PriceChanged {
                amount: Money::from_minor(1250, Currency::default()),
            }
            .into(),
            ReserveError::Contended.into(),
            CancelError::NotFound.into(),
            AskError::Event(GetEventError::NotFound).into(),
            QuoteError::TypeNotFound { item: 1 }.into(),
            QuoteError::PromoInvalid.into(),
            QuoteError::PromoForOthers.into(),
            QuoteError::Event(AskError::TooManyGuesses { retry_after: 17 }).into(),
            PayHoldError::NotFound.into(),
            PayHoldError::Declined { hold_until: None }.into(),
            PayHoldError::Expired.into(),
            PayHoldError::InProgress.into(),
            PayHoldError::RequestInProgress.into(),
            PayHoldError::KeyReused.into(),
            PayHoldError::TooManyAttempts.into(),
            PayHoldError::NotHeld {
                status: Status::Confirmed,
            }
            .into(),
            ReleaseError::NotFound.into(),
            ReleaseError::InProgress.into(),
            PayError::AnotherUser.into(),
            PayError::KeyReused.into(),
            PayError::InProgress.into(),
        ];
        let told = problems.map(|problem| {
            let response = problem.into_response("req");
            let retry = response.headers().get("retry-after");
            let retry =
                retry.map(|seconds| format!(", Retry-After: {}", seconds.to_str().unwrap()));
            let Body::Text(body) = response.body() else {
                panic!("a problem is a text");
            };
            format!("{}{}\n{body}", response.status(), retry.unwrap_or_default())
        });
        insta::assert_snapshot!(told.join("\n\n"));
    }
}

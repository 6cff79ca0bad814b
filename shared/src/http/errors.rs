//! Maps each error of `domain` to the problem that the client gets.

use domain::bookings::{BookingError, Status};
use domain::events::EventError;
use domain::notifications::NotificationError;
use domain::payments::PaymentError;
use domain::users::{LoginError, RegisterError};

use super::problem::{Code, Problem};

impl From<RegisterError> for Problem {
    fn from(error: RegisterError) -> Self {
        match error {
            RegisterError::UsernameTaken => {
                Self::new(Code::UsernameTaken, "This username is taken.")
            }
            RegisterError::Hash(_) => Self::internal("registering a user", error),
            RegisterError::Database(cause) => Self::of_database("storing the user", cause),
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
            LoginError::Token(_) => Self::internal("logging in", error),
            LoginError::Database(cause) => Self::of_database("reading the user", cause),
        }
    }
}

impl From<EventError> for Problem {
    fn from(error: EventError) -> Self {
        match error {
            EventError::Exists => Self::new(Code::EventExists, "This event_id is taken."),
            EventError::NotFound => Self::not_found("event"),
            EventError::Database(cause) => Self::of_database("using the event store", cause),
        }
    }
}

impl From<BookingError> for Problem {
    fn from(error: BookingError) -> Self {
        match error {
            BookingError::AnotherUser => Self::new(
                Code::Forbidden,
                "The user_id must be that of the logged-in user.",
            ),
            BookingError::EventNotFound => Self::not_found("event"),
            // Without their number: it may be another one by the time that it is read.
            BookingError::SoldOut => Self::new(Code::SoldOut, "There are not enough tickets left."),
            BookingError::Contended => Self::unavailable("reserving tickets", error),
            BookingError::SalesClosed => Self::new(
                Code::SalesClosed,
                "The event has begun; its sales are closed.",
            ),
            BookingError::TooManyTickets { most } => {
                Self::field("/tickets", format!("must be at most {most} for this event"))
            }
            BookingError::KeyReused => Self::new(
                Code::IdempotencyKeyReused,
                "This Idempotency-Key was used with another body. Use a new key.",
            ),
            BookingError::InProgress => {
                let detail = "The first request with this Idempotency-Key is still running.";
                Self::new(Code::RequestInProgress, detail).retry_after(1)
            }
            BookingError::NotFound => Self::not_found("booking"),
            BookingError::NotCancellable {
                status: Status::Pending,
            } => {
                let detail = "The booking's payment is not settled yet. Retry when it is.";
                Self::new(Code::NotCancellable, detail).retry_after(5)
            }
            BookingError::NotCancellable { status } => Self::new(
                Code::NotCancellable,
                format!("A booking that is {} can't be cancelled.", status.as_ref()),
            ),
            BookingError::Begun => Self::new(Code::NotCancellable, "The event has begun."),
            BookingError::Database(cause) => Self::of_database("using the booking store", cause),
        }
    }
}

impl From<PaymentError> for Problem {
    fn from(error: PaymentError) -> Self {
        match error {
            PaymentError::AnotherUser => Self::new(
                Code::Forbidden,
                "The user_id must be that of the logged-in user.",
            ),
            PaymentError::KeyReused => Self::new(
                Code::IdempotencyKeyReused,
                "This Idempotency-Key was used with another body. Use a new key.",
            ),
            PaymentError::InProgress => {
                let detail = "The first request with this Idempotency-Key is still running.";
                Self::new(Code::RequestInProgress, detail).retry_after(1)
            }
            PaymentError::NotFound => Self::not_found("payment"),
            PaymentError::NothingToCharge
            | PaymentError::AnotherCharge
            | PaymentError::NotRefundable { .. } => {
                Self::internal("charging or refunding a payment", error)
            }
            PaymentError::Database(cause) => Self::of_documents("using the payment store", cause),
        }
    }
}

impl From<NotificationError> for Problem {
    fn from(error: NotificationError) -> Self {
        match error {
            NotificationError::Database(cause) => {
                Self::of_documents("using the notification store", cause)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use aws_lambda_events::encodings::Body;

    use super::*;

    /// The answers to every error that a client can mend or wait for: a change of a text is a change of the API.
    #[test]
    fn what_clients_are_told() {
        let problems: [Problem; 16] = [
            RegisterError::UsernameTaken.into(),
            LoginError::Invalid.into(),
            LoginError::TooMany { retry_after: 17 }.into(),
            EventError::Exists.into(),
            EventError::NotFound.into(),
            BookingError::AnotherUser.into(),
            BookingError::SoldOut.into(),
            BookingError::SalesClosed.into(),
            BookingError::TooManyTickets { most: 4 }.into(),
            BookingError::KeyReused.into(),
            BookingError::InProgress.into(),
            BookingError::NotFound.into(),
            BookingError::NotCancellable {
                status: Status::Pending,
            }
            .into(),
            BookingError::NotCancellable {
                status: Status::Rejected,
            }
            .into(),
            BookingError::Begun.into(),
            PaymentError::NotFound.into(),
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

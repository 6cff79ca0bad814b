//! Errors as clients see them: RFC 9457 problem details.
//!
//! A problem says what the client can mend or wait for. What went wrong inside is its cause, which
//! is logged and never sent.

use std::error::Error;

use http::StatusCode;
use http::header::{HeaderValue, LOCATION, RETRY_AFTER, WWW_AUTHENTICATE};
use serde::Serialize;
use serde_json::{Map, Value};
use utoipa::ToSchema;
use utoipa::openapi::Type;

use super::{IDEMPOTENT_REPLAYED, Response, text_response};
use crate::telemetry;

/// Every kind of problem that the API knows. Its name in kebab case ends the problem's `type`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Code {
    MalformedRequest,
    Unauthorized,
    InvalidCredentials,
    PaymentDeclined,
    Forbidden,
    NotFound,
    UsernameTaken,
    EventExists,
    SoldOut,
    SalesClosed,
    PurchaseLimit,
    PromoUsedUp,
    PriceChanged,
    PromoExists,
    CapacityBelowSold,
    TypeSold,
    HoldOpen,
    HoldExpired,
    NotHeld,
    PaymentInProgress,
    RequestInProgress,
    NotCancellable,
    PayloadTooLarge,
    UnsupportedMediaType,
    ValidationFailed,
    IdempotencyKeyReused,
    PromoInvalid,
    PreconditionFailed,
    TooManyRequests,
    Internal,
    Unavailable,
}

impl Code {
    /// The name in the problem's `type`, the response's status, and the title.
    pub fn parts(self) -> (&'static str, StatusCode, &'static str) {
        match self {
            Self::MalformedRequest => (
                "malformed-request",
                StatusCode::BAD_REQUEST,
                "Malformed request",
            ),
            Self::Unauthorized => ("unauthorized", StatusCode::UNAUTHORIZED, "Not logged in"),
            Self::InvalidCredentials => (
                "invalid-credentials",
                StatusCode::UNAUTHORIZED,
                "Wrong username or password",
            ),
            Self::PaymentDeclined => (
                "payment-declined",
                StatusCode::PAYMENT_REQUIRED,
                "Payment declined",
            ),
            Self::Forbidden => ("forbidden", StatusCode::FORBIDDEN, "Not allowed"),
            Self::NotFound => ("not-found", StatusCode::NOT_FOUND, "Not found"),
            Self::UsernameTaken => ("username-taken", StatusCode::CONFLICT, "Username taken"),
            Self::EventExists => ("event-exists", StatusCode::CONFLICT, "Event exists"),
            Self::SoldOut => ("sold-out", StatusCode::CONFLICT, "Sold out"),
            Self::SalesClosed => ("sales-closed", StatusCode::CONFLICT, "Sales closed"),
            Self::PurchaseLimit => ("purchase-limit", StatusCode::CONFLICT, "Limit reached"),
            Self::PromoUsedUp => ("promo-used-up", StatusCode::CONFLICT, "Code used up"),
            Self::PriceChanged => ("price-changed", StatusCode::CONFLICT, "Price changed"),
            Self::PromoExists => ("promo-exists", StatusCode::CONFLICT, "Code exists"),
            Self::CapacityBelowSold => (
                "capacity-below-sold",
                StatusCode::CONFLICT,
                "Capacity below sold",
            ),
            Self::TypeSold => ("type-sold", StatusCode::CONFLICT, "Type sold"),
            Self::HoldOpen => ("hold-open", StatusCode::CONFLICT, "Hold open"),
            Self::HoldExpired => ("hold-expired", StatusCode::CONFLICT, "Hold expired"),
            Self::NotHeld => ("not-held", StatusCode::CONFLICT, "Not held"),
            Self::PaymentInProgress => (
                "payment-in-progress",
                StatusCode::CONFLICT,
                "Payment in progress",
            ),
            Self::RequestInProgress => (
                "request-in-progress",
                StatusCode::CONFLICT,
                "Request in progress",
            ),
            Self::NotCancellable => ("not-cancellable", StatusCode::CONFLICT, "Not cancellable"),
            Self::PayloadTooLarge => (
                "payload-too-large",
                StatusCode::PAYLOAD_TOO_LARGE,
                "Payload too large",
            ),
            Self::UnsupportedMediaType => (
                "unsupported-media-type",
                StatusCode::UNSUPPORTED_MEDIA_TYPE,
                "Unsupported media type",
            ),
            Self::ValidationFailed => (
                "validation-failed",
                StatusCode::UNPROCESSABLE_ENTITY,
                "Validation failed",
            ),
            Self::IdempotencyKeyReused => (
                "idempotency-key-reused",
                StatusCode::UNPROCESSABLE_ENTITY,
                "Idempotency key reused",
            ),
            Self::PromoInvalid => (
                "promo-invalid",
                StatusCode::UNPROCESSABLE_ENTITY,
                "Invalid promo code",
            ),
            Self::PreconditionFailed => (
                "precondition-failed",
                StatusCode::PRECONDITION_FAILED,
                "Changed meanwhile",
            ),
            Self::TooManyRequests => (
                "too-many-requests",
                StatusCode::TOO_MANY_REQUESTS,
                "Too many requests",
            ),
            Self::Internal => (
                "internal",
                StatusCode::INTERNAL_SERVER_ERROR,
                "Internal error",
            ),
            Self::Unavailable => (
                "unavailable",
                StatusCode::SERVICE_UNAVAILABLE,
                "Temporarily unavailable",
            ),
        }
    }
}

/// A member of a problem's document that problems of few kinds have: its name, its JSON type and what it says.
pub(super) type Member = (&'static str, Type, &'static str);

impl Code {
    /// The members that only this kind of problem has.
    pub(super) fn members(self) -> &'static [Member] {
        match self {
            Self::SoldOut => &[(
                "ticket_type_id",
                Type::String,
                "The type that is sold out, of a request with `items`.",
            )],
            Self::PurchaseLimit => &[
                ("most", Type::Integer, "How many tickets a person may have."),
                ("have", Type::Integer, "How many you have."),
            ],
            Self::PriceChanged => &[("amount", Type::Number, "What the tickets cost now.")],
            Self::PaymentDeclined => &[(
                "hold_until",
                Type::String,
                "Of a hold: until when another card may pay.",
            )],
            Self::CapacityBelowSold => &[("least", Type::Integer, "The least possible.")],
            Self::PreconditionFailed => &[("version", Type::Integer, "The version now.")],
            _ => &[],
        }
    }

    /// Whether the answer may say when to come back.
    pub(super) fn may_pass(self) -> bool {
        matches!(
            self,
            Self::Unavailable
                | Self::TooManyRequests
                | Self::RequestInProgress
                | Self::PaymentInProgress
                | Self::NotCancellable
        )
    }
}

/// One field of a request that can't be taken as it is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct FieldError {
    /// A JSON Pointer (RFC 6901) into the body, or the name of a query parameter behind a slash.
    #[schema(example = "/tickets")]
    pub pointer: String,
    /// What would be taken.
    #[schema(example = "must be a whole number from 1 to 100")]
    pub detail: String,
}

/// What few problems say.
#[derive(Debug, Default)]
struct Extra {
    /// Where to look instead.
    location: Option<String>,
    /// Members of the document that only this kind of problem has.
    members: Map<String, Value>,
}

/// A request that was not served, and why.
#[derive(Debug)]
pub struct Problem {
    code: Code,
    detail: String,
    errors: Vec<FieldError>,
    /// Whole seconds after which a repeat may fare better.
    retry_after: Option<u32>,
    /// What only few problems have. Boxed, because it would make every `Result` larger.
    extra: Option<Box<Extra>>,
    /// Whether an earlier request with the same key was answered so.
    replayed: bool,
    /// For the log: what we were doing, and what went wrong.
    cause: Option<(&'static str, Box<dyn Error + Send + Sync>)>,
}

/// RFC 9457 problem details.
#[derive(Serialize, ToSchema)]
#[schema(as = Problem)]
pub(super) struct Document<'a> {
    /// `/problems/` and the problem's code.
    #[schema(example = "/problems/sold-out")]
    r#type: String,
    title: &'static str,
    status: u16,
    /// What to mend, or when to come back.
    detail: &'a str,
    /// The fields at fault, where it is the fields.
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    #[schema(required = false)]
    errors: &'a [FieldError],
    /// Names this request in the logs.
    request_id: &'a str,
    #[serde(flatten)]
    #[schema(ignore)]
    members: Option<&'a Map<String, Value>>,
}

impl Problem {
    /// A problem of kind `code`; `detail` says what to mend.
    pub fn new(code: Code, detail: impl Into<String>) -> Self {
        Self {
            code,
            detail: detail.into(),
            errors: Vec::new(),
            retry_after: None,
            extra: None,
            replayed: false,
            cause: None,
        }
    }

    /// 422 with every field at fault.
    pub fn validation(errors: Vec<FieldError>) -> Self {
        let detail = match errors.as_slice() {
            [only] => format!("{} {}", only.pointer, only.detail)
                .trim_start()
                .to_owned(),
            _ => format!("{} fields are invalid.", errors.len()),
        };
        Self {
            errors,
            ..Self::new(Code::ValidationFailed, detail)
        }
    }

    /// 422 for one field.
    pub fn field(pointer: &str, detail: impl Into<String>) -> Self {
        Self::validation(vec![FieldError {
            pointer: pointer.to_owned(),
            detail: detail.into(),
        }])
    }

    /// 401 for a request whose credentials are missing or wrong.
    pub fn unauthorized(detail: &str) -> Self {
        Self::new(Code::Unauthorized, detail)
    }

    /// 404. Also for what belongs to another user, so that a client can't tell whether it exists.
    pub fn not_found(what: &str) -> Self {
        Self::new(Code::NotFound, format!("There is no such {what}."))
    }

    /// 500: our fault, while `doing` something.
    pub fn internal(doing: &'static str, cause: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        let detail = "Something went wrong on our side. We logged it under this request_id.";
        Self {
            cause: Some((doing, cause.into())),
            ..Self::new(Code::Internal, detail)
        }
    }

    /// 503: a component did not answer while `doing` something.
    pub fn unavailable(
        doing: &'static str,
        cause: impl Into<Box<dyn Error + Send + Sync>>,
    ) -> Self {
        let detail = "The service is temporarily unavailable. Please retry.";
        let cause = Some((doing, cause.into()));
        Self {
            cause,
            ..Self::new(Code::Unavailable, detail)
        }
        .retry_after(2)
    }

    /// The fields at fault.
    pub fn errors(&self) -> &[FieldError] {
        &self.errors
    }

    /// Which kind of problem it is.
    pub fn code(&self) -> Code {
        self.code
    }

    /// A member of the document that only this kind of problem has.
    pub fn member(&self, name: &str) -> Option<&Value> {
        self.extra.as_ref()?.members.get(name)
    }

    /// Tells the client when a repeat may fare better, in seconds.
    pub fn retry_after(self, seconds: u32) -> Self {
        Self {
            retry_after: Some(seconds),
            ..self
        }
    }

    /// Tells the client where to look instead.
    pub fn at(mut self, location: String) -> Self {
        self.extra.get_or_insert_default().location = Some(location);
        self
    }

    /// Adds a member to the document.
    pub fn with(mut self, name: &str, value: impl Into<Value>) -> Self {
        let known = self.code.members();
        debug_assert!(
            known.iter().any(|(member, ..)| *member == name),
            "{name} is not described"
        );
        let members = &mut self.extra.get_or_insert_default().members;
        members.insert(name.to_owned(), value.into());
        self
    }

    /// Says that an earlier request with the same key was answered so.
    pub(super) fn replayed(self) -> Self {
        Self {
            replayed: true,
            ..self
        }
    }

    /// Logs what went wrong inside, once, with every cause.
    pub(super) fn log(self) -> Self {
        if let Some((doing, cause)) = &self.cause {
            let (code, ..) = self.code.parts();
            tracing::error!(
                code,
                error = format!("{doing}: {}", telemetry::chain(cause.as_ref())),
                "request failed"
            );
        }
        self
    }

    /// The response that a client gets.
    pub fn into_response(self, request_id: &str) -> Response {
        let (name, status, title) = self.code.parts();
        let document = Document {
            r#type: format!("/problems/{name}"),
            title,
            status: status.as_u16(),
            detail: &self.detail,
            errors: &self.errors,
            request_id,
            members: self.extra.as_ref().map(|extra| &extra.members),
        };
        // Texts and numbers always have a form in JSON.
        let text = serde_json::to_string(&document).unwrap_or_default();
        let mut response = text_response(status, "application/problem+json", text);
        let headers = response.headers_mut();
        if let Some(seconds) = self.retry_after {
            headers.insert(RETRY_AFTER, HeaderValue::from(seconds));
        }
        if let Some(location) = self
            .extra
            .as_ref()
            .and_then(|extra| extra.location.as_ref())
            && let Ok(location) = HeaderValue::from_str(location)
        {
            headers.insert(LOCATION, location);
        }
        if self.replayed {
            headers.insert(IDEMPOTENT_REPLAYED, HeaderValue::from_static("true"));
        }
        if status == StatusCode::UNAUTHORIZED {
            headers.insert(
                WWW_AUTHENTICATE,
                HeaderValue::from_static("Bearer realm=\"admit\""),
            );
        }
        response
    }
}

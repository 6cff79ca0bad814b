//! Every route of the API: who serves it, what it takes and everything it answers.
//!
//! A function serves a [`Route`] from here, the local HTTP API routes by this table, and
//! `GET /openapi.json` prints it; the tests hold each response and the templates against it.

use http::StatusCode;
use utoipa::ToSchema;
use utoipa::openapi::{RefOr, Schema};

use super::problem::Code;
use crate::bookings::{
    Booking, BookingDetails, BookingRequest, PayRequest, PendingPayment, Quote, QuoteRequest,
};
use crate::events::{
    Event, EventChange, EventDetails, NewEvent, NewPromoCode, NewQuota, NewTicketType,
    PromoCodeChange, PromoCodeDetails, PromoCodeOffer, Quota, QuotaChange, TicketType,
    TicketTypeChange,
};
use crate::notifications::Notification;
use crate::payments::{Payment, PaymentRequest};
use crate::users::{Credentials, Registration, Session, User};

const GET: &str = "GET";
const PATCH: &str = "PATCH";
const POST: &str = "POST";

/// One route and the function behind it.
#[derive(Debug)]
pub struct Route {
    /// The package, the binary and the Lambda function.
    pub function: &'static str,
    /// `GET`, `POST` or `PATCH`.
    pub method: &'static str,
    /// The path, with its parameters in braces.
    pub path: &'static str,
    /// What a user does with it, in a few words.
    pub summary: &'static str,
    /// Whether a token is needed.
    pub signed_in: bool,
    /// Whether it takes an `Idempotency-Key`.
    pub idempotency: bool,
    /// Whether its answer has an `ETag`, the version of the event.
    pub versioned: bool,
    /// Whether it takes `limit` and `cursor`.
    pub paged: bool,
    pub body: Option<Body>,
    pub answers: &'static [Success],
    /// The problems that only this route has. [`Route::all_problems`] adds those that follow from its
    /// other fields (a token, a body, a list) and those that every route has.
    pub problems: &'static [Code],
}

/// What a route takes as its body.
#[derive(Debug)]
pub enum Body {
    Required(Shape),
    /// An object without a field, or nothing at all.
    Empty,
}

/// A successful answer.
#[derive(Debug)]
pub struct Success {
    pub status: StatusCode,
    pub description: &'static str,
    pub content: Content,
}

/// What an answer's body is.
#[derive(Debug)]
pub enum Content {
    Json(Shape),
    /// One of two.
    Either(Shape, Shape),
    /// A page of these.
    Page(Shape),
    /// Some other media type.
    Other(&'static str),
}

/// The OpenAPI schema of a type, and of those it is made of.
#[derive(Debug, Clone, Copy)]
pub struct Shape {
    pub(super) name: fn() -> std::borrow::Cow<'static, str>,
    pub(super) schema: fn() -> RefOr<Schema>,
    pub(super) parts: fn(&mut Vec<(String, RefOr<Schema>)>),
}

impl Shape {
    pub(super) const fn of<T: ToSchema>() -> Self {
        Self {
            name: T::name,
            schema: T::schema,
            parts: T::schemas,
        }
    }
}

const fn answer<T: ToSchema>(status: StatusCode, description: &'static str) -> Success {
    Success {
        status,
        description,
        content: Content::Json(Shape::of::<T>()),
    }
}

const fn page<T: ToSchema>(description: &'static str) -> Success {
    Success {
        status: StatusCode::OK,
        description,
        content: Content::Page(Shape::of::<T>()),
    }
}

impl Route {
    const fn new(
        function: &'static str,
        method: &'static str,
        path: &'static str,
        summary: &'static str,
    ) -> Self {
        Self {
            function,
            method,
            path,
            summary,
            signed_in: false,
            idempotency: false,
            versioned: false,
            paged: false,
            body: None,
            answers: &[],
            problems: &[],
        }
    }

    /// Whether a request by this method and path is for this route.
    pub(super) fn serves(&self, method: &str, path: &str) -> bool {
        let parts = self.path.split('/').zip(path.split('/'));
        self.methods().contains(&method)
            && self.path.split('/').count() == path.split('/').count()
            && parts
                .into_iter()
                .all(|(part, given)| part == given || part.starts_with('{') && !given.is_empty())
    }

    /// The methods by which it is asked: what answers GET answers HEAD too, without the body.
    pub fn methods(&self) -> &'static [&'static str] {
        match self.method {
            GET => &[GET, "HEAD"],
            PATCH => &[PATCH],
            _ => &[POST],
        }
    }

    /// Every problem that a client of this route may meet.
    pub fn all_problems(&self) -> Vec<Code> {
        let mut problems = vec![Code::MalformedRequest];
        if self.signed_in {
            problems.push(Code::Unauthorized);
        }
        if self.body.is_some() {
            problems.push(Code::UnsupportedMediaType);
        }
        if self.body.is_some() || self.paged {
            problems.push(Code::ValidationFailed);
        }
        if self.idempotency {
            problems.extend([Code::RequestInProgress, Code::IdempotencyKeyReused]);
        }
        problems.extend(self.problems);
        problems.extend([
            Code::PayloadTooLarge,
            Code::TooManyRequests,
            Code::Internal,
            Code::Unavailable,
        ]);
        problems
    }
}

pub static REGISTER_USER: Route = Route {
    body: Some(Body::Required(Shape::of::<Registration>())),
    answers: &[answer::<User>(StatusCode::CREATED, "The new user.")],
    problems: &[Code::UsernameTaken],
    ..Route::new("register-user", POST, "/users", "Register a user")
};

pub static LOGIN: Route = Route {
    body: Some(Body::Required(Shape::of::<Credentials>())),
    answers: &[answer::<Session>(
        StatusCode::OK,
        "The user's number and a token.",
    )],
    problems: &[Code::InvalidCredentials],
    ..Route::new("login", POST, "/login", "Log in")
};

pub static CREATE_EVENT: Route = Route {
    signed_in: true,
    body: Some(Body::Required(Shape::of::<NewEvent>())),
    answers: &[Success {
        status: StatusCode::CREATED,
        description: "The event, on sale. With ticket types, a time zone or an end, as GET /events/{event_id} shows it.",
        content: Content::Either(Shape::of::<EventDetails>(), Shape::of::<Event>()),
    }],
    problems: &[Code::EventExists],
    ..Route::new("create-event", POST, "/events", "Put an event on sale")
};

pub static LIST_EVENTS: Route = Route {
    paged: true,
    answers: &[page::<Event>("Events to come, soonest first.")],
    ..Route::new("list-events", GET, "/events", "List the events to come")
};

pub static GET_EVENT: Route = Route {
    versioned: true,
    answers: &[answer::<EventDetails>(StatusCode::OK, "The event.")],
    problems: &[Code::NotFound],
    ..Route::new(
        "get-event",
        GET,
        "/events/{event_id}",
        "See an event and what is left of it",
    )
};

pub static UPDATE_EVENT: Route = Route {
    signed_in: true,
    versioned: true,
    body: Some(Body::Required(Shape::of::<EventChange>())),
    answers: &[answer::<EventDetails>(
        StatusCode::OK,
        "The event, with all of its types.",
    )],
    problems: &[
        Code::Forbidden,
        Code::NotFound,
        Code::CapacityBelowSold,
        Code::PreconditionFailed,
    ],
    ..Route::new(
        "update-event",
        PATCH,
        "/events/{event_id}",
        "Change one of your events",
    )
};

pub static CREATE_TICKET_TYPE: Route = Route {
    signed_in: true,
    body: Some(Body::Required(Shape::of::<NewTicketType>())),
    answers: &[answer::<TicketType>(
        StatusCode::CREATED,
        "The ticket type.",
    )],
    problems: &[Code::Forbidden, Code::NotFound],
    ..Route::new(
        "create-ticket-type",
        POST,
        "/events/{event_id}/ticket-types",
        "Add a ticket type to one of your events",
    )
};

pub static UPDATE_TICKET_TYPE: Route = Route {
    signed_in: true,
    body: Some(Body::Required(Shape::of::<TicketTypeChange>())),
    answers: &[answer::<TicketType>(StatusCode::OK, "The ticket type.")],
    problems: &[
        Code::Forbidden,
        Code::NotFound,
        Code::TypeSold,
        Code::PreconditionFailed,
    ],
    ..Route::new(
        "update-ticket-type",
        PATCH,
        "/events/{event_id}/ticket-types/{ticket_type_id}",
        "Change a ticket type of one of your events",
    )
};

pub static CREATE_QUOTA: Route = Route {
    signed_in: true,
    body: Some(Body::Required(Shape::of::<NewQuota>())),
    answers: &[answer::<Quota>(StatusCode::CREATED, "The quota.")],
    problems: &[Code::Forbidden, Code::NotFound],
    ..Route::new(
        "create-quota",
        POST,
        "/events/{event_id}/quotas",
        "Add a quota to one of your events",
    )
};

pub static UPDATE_QUOTA: Route = Route {
    signed_in: true,
    body: Some(Body::Required(Shape::of::<QuotaChange>())),
    answers: &[answer::<Quota>(StatusCode::OK, "The quota.")],
    problems: &[
        Code::Forbidden,
        Code::NotFound,
        Code::CapacityBelowSold,
        Code::PreconditionFailed,
    ],
    ..Route::new(
        "update-quota",
        PATCH,
        "/events/{event_id}/quotas/{quota_id}",
        "Change a quota of one of your events",
    )
};

pub static CREATE_PROMO_CODE: Route = Route {
    signed_in: true,
    body: Some(Body::Required(Shape::of::<NewPromoCode>())),
    answers: &[answer::<PromoCodeDetails>(
        StatusCode::CREATED,
        "The promo code.",
    )],
    problems: &[Code::Forbidden, Code::NotFound, Code::PromoExists],
    ..Route::new(
        "create-promo-code",
        POST,
        "/events/{event_id}/promo-codes",
        "Make a promo code for one of your events",
    )
};

pub static LIST_PROMO_CODES: Route = Route {
    signed_in: true,
    paged: true,
    answers: &[page::<PromoCodeDetails>(
        "The event's promo codes, by name.",
    )],
    problems: &[Code::Forbidden, Code::NotFound],
    ..Route::new(
        "list-promo-codes",
        GET,
        "/events/{event_id}/promo-codes",
        "List the promo codes of one of your events",
    )
};

pub static GET_PROMO_CODE: Route = Route {
    answers: &[answer::<PromoCodeOffer>(
        StatusCode::OK,
        "What the code is good for now.",
    )],
    problems: &[Code::NotFound, Code::TooManyRequests],
    ..Route::new(
        "get-promo-code",
        GET,
        "/events/{event_id}/promo-codes/{code}",
        "See what a promo code is good for",
    )
};

pub static UPDATE_PROMO_CODE: Route = Route {
    signed_in: true,
    body: Some(Body::Required(Shape::of::<PromoCodeChange>())),
    answers: &[answer::<PromoCodeDetails>(
        StatusCode::OK,
        "The promo code.",
    )],
    problems: &[
        Code::Forbidden,
        Code::NotFound,
        Code::CapacityBelowSold,
        Code::PreconditionFailed,
    ],
    ..Route::new(
        "update-promo-code",
        PATCH,
        "/events/{event_id}/promo-codes/{code}",
        "Change a promo code of one of your events",
    )
};

pub static CREATE_BOOKING: Route = Route {
    signed_in: true,
    idempotency: true,
    body: Some(Body::Required(Shape::of::<BookingRequest>())),
    answers: &[
        answer::<Booking>(
            StatusCode::CREATED,
            "Booked and paid; or, with `hold`, held until `hold_until`.",
        ),
        answer::<Booking>(
            StatusCode::ACCEPTED,
            "The tickets are held and the payment's outcome is not known yet; it will stand at Location.",
        ),
    ],
    problems: &[
        Code::PaymentDeclined,
        Code::Forbidden,
        Code::NotFound,
        Code::SoldOut,
        Code::SalesClosed,
        Code::PurchaseLimit,
        Code::PromoInvalid,
        Code::PromoUsedUp,
        Code::PriceChanged,
        Code::HoldOpen,
        Code::TooManyRequests,
    ],
    ..Route::new(
        "create-booking",
        POST,
        "/bookings",
        "Book tickets and pay for them",
    )
};

pub static QUOTE_BOOKING: Route = Route {
    body: Some(Body::Required(Shape::of::<QuoteRequest>())),
    answers: &[answer::<Quote>(StatusCode::OK, "What it costs now.")],
    problems: &[Code::NotFound, Code::PromoInvalid, Code::TooManyRequests],
    ..Route::new(
        "quote-booking",
        POST,
        "/events/{event_id}/quote",
        "See what a basket costs, without taking anything",
    )
};

pub static LIST_BOOKINGS: Route = Route {
    signed_in: true,
    paged: true,
    answers: &[page::<Booking>("Your bookings, newest first.")],
    ..Route::new("list-bookings", GET, "/bookings", "List your bookings")
};

pub static GET_BOOKING: Route = Route {
    signed_in: true,
    answers: &[answer::<BookingDetails>(StatusCode::OK, "The booking.")],
    problems: &[Code::NotFound],
    ..Route::new(
        "get-booking",
        GET,
        "/bookings/{booking_id}",
        "See one of your bookings",
    )
};

pub static CANCEL_BOOKING: Route = Route {
    signed_in: true,
    body: Some(Body::Empty),
    answers: &[answer::<Booking>(
        StatusCode::OK,
        "Cancelled; the money goes back.",
    )],
    problems: &[Code::NotFound, Code::NotCancellable],
    ..Route::new(
        "cancel-booking",
        POST,
        "/bookings/{booking_id}/cancel",
        "Cancel one of your bookings",
    )
};

pub static PAY_BOOKING: Route = Route {
    signed_in: true,
    idempotency: true,
    body: Some(Body::Required(Shape::of::<PayRequest>())),
    answers: &[
        answer::<Booking>(StatusCode::OK, "Paid, now or before."),
        answer::<PendingPayment>(
            StatusCode::ACCEPTED,
            "The payment's outcome is not known yet, or the card's owner is asked; it will stand at Location.",
        ),
    ],
    problems: &[
        Code::PaymentDeclined,
        Code::NotFound,
        Code::HoldExpired,
        Code::NotHeld,
        Code::PaymentInProgress,
    ],
    ..Route::new(
        "pay-booking",
        POST,
        "/bookings/{booking_id}/pay",
        "Pay for tickets that you hold",
    )
};

pub static RELEASE_BOOKING: Route = Route {
    signed_in: true,
    body: Some(Body::Empty),
    answers: &[answer::<Booking>(StatusCode::OK, "The tickets went back.")],
    problems: &[Code::NotFound, Code::NotHeld, Code::PaymentInProgress],
    ..Route::new(
        "release-booking",
        POST,
        "/bookings/{booking_id}/release",
        "Give tickets back that you hold",
    )
};

pub static CREATE_PAYMENT: Route = Route {
    signed_in: true,
    idempotency: true,
    body: Some(Body::Required(Shape::of::<PaymentRequest>())),
    answers: &[
        answer::<Payment>(StatusCode::CREATED, "Paid."),
        answer::<Payment>(
            StatusCode::ACCEPTED,
            "The outcome is not known yet; it will stand at Location.",
        ),
    ],
    problems: &[Code::PaymentDeclined, Code::Forbidden],
    ..Route::new("create-payment", POST, "/payments", "Pay an amount")
};

pub static GET_PAYMENT: Route = Route {
    signed_in: true,
    answers: &[answer::<Payment>(StatusCode::OK, "The payment.")],
    problems: &[Code::NotFound],
    ..Route::new(
        "get-payment",
        GET,
        "/payments/{payment_id}",
        "See one of your payments",
    )
};

pub static LIST_NOTIFICATIONS: Route = Route {
    signed_in: true,
    paged: true,
    answers: &[page::<Notification>("Your notifications, newest first.")],
    ..Route::new(
        "list-notifications",
        GET,
        "/notifications",
        "List your notifications",
    )
};

pub static GET_OPENAPI: Route = Route {
    answers: &[Success {
        status: StatusCode::OK,
        description: "This description, as OpenAPI 3.1.",
        content: Content::Other("application/json"),
    }],
    ..Route::new(
        "api-docs",
        GET,
        "/openapi.json",
        "Describe this API to a machine",
    )
};

pub static GET_DOCS: Route = Route {
    answers: &[Success {
        status: StatusCode::OK,
        description: "A page to read this description and to try it.",
        content: Content::Other("text/html"),
    }],
    ..Route::new("api-docs", GET, "/docs", "Describe this API to a person")
};

pub static GET_DOCS_ASSET: Route = Route {
    answers: &[Success {
        status: StatusCode::OK,
        description: "A script, a style sheet or an icon of that page.",
        content: Content::Other("*/*"),
    }],
    problems: &[Code::NotFound],
    ..Route::new(
        "api-docs",
        GET,
        "/docs/{asset}",
        "Fetch a part of that page",
    )
};

/// Every route, in the order in which a newcomer meets them.
pub static ALL: &[&Route] = &[
    &REGISTER_USER,
    &LOGIN,
    &CREATE_EVENT,
    &LIST_EVENTS,
    &GET_EVENT,
    &UPDATE_EVENT,
    &CREATE_TICKET_TYPE,
    &UPDATE_TICKET_TYPE,
    &CREATE_QUOTA,
    &UPDATE_QUOTA,
    &CREATE_PROMO_CODE,
    &LIST_PROMO_CODES,
    &GET_PROMO_CODE,
    &UPDATE_PROMO_CODE,
    &QUOTE_BOOKING,
    &CREATE_BOOKING,
    &LIST_BOOKINGS,
    &GET_BOOKING,
    &CANCEL_BOOKING,
    &PAY_BOOKING,
    &RELEASE_BOOKING,
    &CREATE_PAYMENT,
    &GET_PAYMENT,
    &LIST_NOTIFICATIONS,
    &GET_OPENAPI,
    &GET_DOCS,
    &GET_DOCS_ASSET,
];

pub static EVENTS_PAGE: Route = Route::new("pages-shop", GET, "/", "Find an event");
pub static EVENT_PAGE: Route = Route::new("pages-shop", GET, "/e/{event_id}", "Choose tickets");
pub static PAGE_ASSET: Route = Route::new(
    "pages-shop",
    GET,
    "/assets/{asset}",
    "Fetch a part of a page",
);
pub static BOOK_FORM: Route = Route::new(
    "pages-booking",
    POST,
    "/e/{event_id}/book",
    "Book the tickets that were chosen",
);
pub static BOOKING_PAGE: Route = Route::new(
    "pages-booking",
    GET,
    "/b/{booking_id}",
    "See one of your bookings",
);
pub static CANCEL_FORM: Route = Route::new(
    "pages-booking",
    POST,
    "/b/{booking_id}/cancel",
    "Cancel one of your bookings",
);
pub static PAY_FORM: Route = Route::new(
    "pages-booking",
    POST,
    "/b/{booking_id}/pay",
    "Pay for tickets that you hold",
);
pub static RELEASE_FORM: Route = Route::new(
    "pages-booking",
    POST,
    "/b/{booking_id}/release",
    "Give tickets back that you hold",
);
pub static BANK_PAGE: Route = Route::new(
    "pages-bank",
    GET,
    "/bank/{payment_id}",
    "See what the simulated bank asks",
);
pub static BANK_FORM: Route = Route::new(
    "pages-bank",
    POST,
    "/bank/{payment_id}",
    "Say yes or no to the simulated bank",
);
pub static BOOKINGS_PAGE: Route = Route::new("pages-booking", GET, "/me", "See your bookings");
pub static DESK_PAGE: Route = Route::new("pages-desk", GET, "/desk", "See your events");
pub static SALES_PAGE: Route = Route::new(
    "pages-desk",
    GET,
    "/desk/{event_id}",
    "See what one of your events has sold",
);
pub static EDIT_PAGE: Route = Route::new(
    "pages-edit",
    GET,
    "/desk/{event_id}/edit",
    "See what can be changed of one of your events",
);
pub static EDIT_FORM: Route = Route::new(
    "pages-edit",
    POST,
    "/desk/{event_id}/edit",
    "Change one of your events",
);
pub static NEW_TYPE_FORM: Route = Route::new(
    "pages-edit",
    POST,
    "/desk/{event_id}/types",
    "Add a ticket type",
);
pub static TYPE_FORM: Route = Route::new(
    "pages-edit",
    POST,
    "/desk/{event_id}/types/{ticket_type_id}",
    "Change a ticket type",
);
pub static NEW_QUOTA_FORM: Route =
    Route::new("pages-edit", POST, "/desk/{event_id}/quotas", "Add a quota");
pub static QUOTA_FORM: Route = Route::new(
    "pages-edit",
    POST,
    "/desk/{event_id}/quotas/{quota_id}",
    "Change a quota",
);
pub static NEW_CODE_FORM: Route = Route::new(
    "pages-edit",
    POST,
    "/desk/{event_id}/codes",
    "Add a promo code",
);
pub static CODE_FORM: Route = Route::new(
    "pages-edit",
    POST,
    "/desk/{event_id}/codes/{code}",
    "Change a promo code",
);
pub static NEW_EVENT_PAGE: Route =
    Route::new("pages-new-event", GET, "/new-event", "Describe a new event");
pub static NEW_EVENT_FORM: Route = Route::new(
    "pages-new-event",
    POST,
    "/new-event",
    "Put an event on sale",
);
pub static LOGIN_PAGE: Route = Route::new("pages-login", GET, "/sign-in", "Log in");
pub static LOGIN_FORM: Route = Route::new("pages-login", POST, "/sign-in", "Log in");
pub static LOGOUT_FORM: Route = Route::new("pages-login", POST, "/sign-out", "Log out");
pub static REGISTER_PAGE: Route = Route::new("pages-register", GET, "/sign-up", "Make an account");
pub static REGISTER_FORM: Route = Route::new("pages-register", POST, "/sign-up", "Make an account");

/// Every route of the pages for people, which the description of the API leaves out.
pub static PAGES: &[&Route] = &[
    &EVENTS_PAGE,
    &EVENT_PAGE,
    &PAGE_ASSET,
    &BOOK_FORM,
    &BOOKING_PAGE,
    &CANCEL_FORM,
    &PAY_FORM,
    &RELEASE_FORM,
    &BANK_PAGE,
    &BANK_FORM,
    &BOOKINGS_PAGE,
    &DESK_PAGE,
    &SALES_PAGE,
    &EDIT_PAGE,
    &EDIT_FORM,
    &NEW_TYPE_FORM,
    &TYPE_FORM,
    &NEW_QUOTA_FORM,
    &QUOTA_FORM,
    &NEW_CODE_FORM,
    &CODE_FORM,
    &NEW_EVENT_PAGE,
    &NEW_EVENT_FORM,
    &LOGIN_PAGE,
    &LOGIN_FORM,
    &LOGOUT_FORM,
    &REGISTER_PAGE,
    &REGISTER_FORM,
];

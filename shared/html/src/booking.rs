//! Booking, and what was booked.

use askama::Template;
use http::StatusCode;
use shared::auth::TokenVerifier;
use shared::bookings::{
    self, BookError, BookedEvent, Booking, BookingDetails, BookingOutcome, BookingRequest,
    BoxOffice, CancelError, Contact, HoldPaid, PayHoldError, ReleaseError, ReserveError, Status,
};
use shared::events::{self, Asker, EventDetails};
use shared::http::{Answer, Problem, Request};
use shared::idempotency::{IdempotencyKey, IdempotentRequest, RequestHash};
use shared::ids::{BookingId, EventId, PromoCode};
use shared::money::Money;
use shared::payments::PaymentMethod;
use shared::settle_queue::SettleQueue;
use shared::time::{self, TimeZone, Timestamp};
use uuid::Uuid;

use crate::format::{When, money, price, times};
use crate::frame::Frame;
use crate::language::Language;
use crate::order::Choice;
use crate::respond::{log_in_first, page, see_other};
use crate::session;
use crate::shop::{About, Wrong, show_order};

/// `POST /e/{event_id}/book`: holds what was chosen, or books it if it is free, and leads to the booking.
pub async fn book(
    office: &BoxOffice,
    settle_queue: &SettleQueue,
    tokens: &TokenVerifier,
    request: &Request,
) -> Answer {
    let event_id: EventId = request.path("event_id", "event")?;
    let form = request.form()?;
    let choice = Choice::of(form.fields());
    let Some(user) = session::user(request, tokens) else {
        return log_in_first(&choice.path(&event_id));
    };
    let frame = Frame::of(request, true).at(format!("/e/{event_id}"));
    let t = frame.language;
    if choice.is_empty() {
        let wrong = Wrong {
            text: t.err_none().to_owned(),
            about: About::All,
        };
        return refuse(office, request, frame, &event_id, &choice, wrong).await;
    }
    if !choice.typed_code().is_empty() && choice.code().is_none() {
        let wrong = Wrong {
            text: t.err_code().to_owned(),
            about: About::Code,
        };
        return refuse(office, request, frame, &event_id, &choice, wrong).await;
    }
    let wanted = BookingRequest {
        user_id: user,
        event_id: event_id.clone(),
        tickets: None,
        items: choice.items()?,
        payment_method: None,
        hold: Some(true),
        promo_code: choice.code(),
        expected_amount: None,
        contact: Contact::default(),
    };
    let body = format!("{event_id} {}", choice.canonical());
    let idempotency = idempotency(form.text("idempotency_key"), &body);
    match bookings::book(office, settle_queue, user, wanted, idempotency).await {
        Ok(booked) => {
            let booking = booking_of(&booked.outcome);
            if booking.amount.is_zero() {
                // There is nothing to pay, and so nothing to ask.
                let method = PaymentMethod::default();
                let paid =
                    bookings::pay(office, settle_queue, user, booking.booking_id, method, None);
                match paid.await.outcome {
                    // The form was sent twice, and the first request is confirming the booking. Or it was sent long
                    // ago, and the booking has ended since.
                    Ok(_)
                    | Err(
                        PayHoldError::InProgress
                        | PayHoldError::Expired
                        | PayHoldError::NotHeld { .. },
                    ) => {}
                    Err(error) => return Err(error.into()),
                }
            }
            see_other(&format!("/b/{}", booking.booking_id))
        }
        Err(BookError::Reserve(ReserveError::HoldOpen { booking_id })) => {
            see_other(&format!("/b/{booking_id}?told=open"))
        }
        Err(BookError::KeyReused) => {
            let wrong = Wrong {
                text: t.err_repeat().to_owned(),
                about: About::All,
            };
            refuse(office, request, frame, &event_id, &choice, wrong).await
        }
        Err(BookError::Reserve(error)) => {
            let wrong = explain(t, error, &choice)?;
            refuse(office, request, frame, &event_id, &choice, wrong).await
        }
        Err(error) => Err(error.into()),
    }
}

/// The idempotency key that the form was shown with, and a hash of what the form asks for.
fn idempotency(key: &str, body: &str) -> Option<IdempotentRequest> {
    let key = IdempotencyKey::parse(key.as_bytes())?;
    let hash = RequestHash::of(body.as_bytes());
    Some(IdempotentRequest { key, hash })
}

fn booking_of(outcome: &BookingOutcome) -> &Booking {
    match outcome {
        BookingOutcome::Held(booking)
        | BookingOutcome::Confirmed(booking)
        | BookingOutcome::Pending(booking)
        | BookingOutcome::Declined(booking)
        | BookingOutcome::Expired(booking) => booking,
    }
}

/// Why the tickets can't be had, in the visitor's language.
fn explain(t: Language, error: ReserveError, choice: &Choice) -> Result<Wrong, Problem> {
    let (text, place) = match error {
        ReserveError::PromoInvalid => return Ok(about_code(t.err_code())),
        ReserveError::PromoForOthers => return Ok(about_code(t.err_code_others())),
        ReserveError::PromoUsedUp => return Ok(about_code(t.err_code_used_up())),
        ReserveError::SoldOut { ticket_type } => {
            let name = ticket_type.map(|(_, name)| name);
            (t.err_sold_out(name.unwrap_or_default()), None)
        }
        ReserveError::SalesClosed => (t.event_started().to_owned(), None),
        ReserveError::NotOnSale { ticket_type } => (t.err_closed(ticket_type), None),
        ReserveError::TypeNotFound { item } => (t.err_gone().to_owned(), Some(item)),
        ReserveError::OutsideOrder { item, least, most } if least == most => {
            (t.err_order_just(t.tickets(most)), item)
        }
        ReserveError::OutsideOrder { item, least, most } => {
            (t.err_order(least, t.tickets(most)), item)
        }
        ReserveError::TooManyTickets { most, .. } => (t.err_too_many(t.tickets(most)), None),
        ReserveError::PurchaseLimit { most, have } => (t.err_limit(t.tickets(most), have), None),
        ReserveError::HoldOpen { .. } => (t.hold_open().to_owned(), None),
        error @ (ReserveError::EventNotFound
        | ReserveError::PriceChanged { .. }
        | ReserveError::ExpectedAmount(_)
        | ReserveError::Contended
        | ReserveError::Database(_)) => return Err(error.into()),
    };
    let kind = place.and_then(|place| choice.type_at(place));
    Ok(Wrong {
        text,
        about: kind.map_or(About::All, About::Type),
    })
}

fn about_code(text: &str) -> Wrong {
    Wrong {
        text: text.to_owned(),
        about: About::Code,
    }
}

/// The event's page again, with what is wrong.
async fn refuse(
    office: &BoxOffice,
    request: &Request,
    frame: Frame,
    event_id: &EventId,
    choice: &Choice,
    wrong: Wrong,
) -> Answer {
    let asker = Asker::At(request.address());
    let event = events::get_for(office.db(), event_id, choice.code().as_ref(), asker).await?;
    show_order(
        request,
        frame,
        StatusCode::CONFLICT,
        event,
        choice,
        Some(wrong),
    )
}

/// The status to show. A hold whose time is over counts as expired, even if the sweep has not ended it yet.
fn shown_status(booking: &Booking) -> Status {
    match booking.status {
        Status::Held if payable_until(booking).is_none() => Status::Expired,
        status => status,
    }
}

/// How a booking's state looks.
struct State {
    badge: &'static str,
    /// The badge's class.
    class: &'static str,
    /// Whether it is worth nothing any more.
    off: bool,
}

impl State {
    fn of(t: Language, status: Status) -> Self {
        let (badge, class, off) = match status {
            Status::Held => (t.st_held(), "warn", false),
            Status::Pending => (t.st_pending(), "warn", false),
            Status::Confirmed => (t.st_confirmed(), "good", false),
            Status::Rejected => (t.st_rejected(), "bad", true),
            Status::Expired => (t.st_expired(), "", true),
            Status::Cancelled => (t.st_cancelled(), "", true),
        };
        Self { badge, class, off }
    }
}

struct Line {
    quantity: i32,
    name: String,
    amount: String,
}

#[derive(Template)]
#[template(path = "booking.html")]
struct BookingPage {
    frame: Frame,
    t: Language,
    title: &'static str,
    lead: String,
    state: State,
    booking_id: BookingId,
    event_path: String,
    name: String,
    venue: String,
    when: When,
    lines: Vec<Line>,
    total: String,
    code: Option<PromoCode>,
    tickets: i32,
    booked_at: When,
    /// What cancelling means, where it can be cancelled.
    cancel: Option<String>,
    too_late: bool,
    again: bool,
    pending: bool,
}

/// `GET /b/{booking_id}`: one of the visitor's bookings.
///
/// # Errors
/// A page of problems: 404 where there is none, or where it is another person's.
pub async fn show(office: &BoxOffice, tokens: &TokenVerifier, request: &Request) -> Answer {
    let booking_id = request.path("booking_id", "booking")?;
    let Some(user) = session::user(request, tokens) else {
        return log_in_first(request.raw_path());
    };
    let mut told = request.query("told").unwrap_or_default();
    let mut details = bookings::get_details(office.db(), user, booking_id).await?;
    let returned = told == "returned" && payable_until(&details.booking).is_some();
    if returned || is_over(&details.booking) {
        // The visitor comes back from the bank, or the hold's time is over. Look up what was decided now, so that the
        // page can show it. Otherwise, the booking's job would find it out later.
        if bookings::look(office, booking_id).await {
            told = "busy";
        }
        details = bookings::get_details(office.db(), user, booking_id).await?;
    }
    let event = events::get(office.db(), &details.booking.event_id, None).await?;
    let frame = Frame::of(request, true);
    if let Some(until) = payable_until(&details.booking) {
        let hold = hold_page(frame, details, &event, until, told);
        return page(request, StatusCode::OK, &hold);
    }
    page(
        request,
        StatusCode::OK,
        &booking_page(frame, details, &event),
    )
}

/// Whether a card was tried for a hold whose time is over, and nobody knows yet what became of it.
fn is_over(booking: &Booking) -> bool {
    let until = booking.hold_until.filter(|until| *until <= time::now());
    booking.status == Status::Pending && until.is_some()
}

/// Until when a booking is a hold that can be paid.
fn payable_until(booking: &Booking) -> Option<Timestamp> {
    let open = matches!(booking.status, Status::Held | Status::Pending);
    booking
        .hold_until
        .filter(|until| open && time::now() < *until)
}

#[derive(Template)]
#[template(path = "hold.html")]
struct HoldPage {
    frame: Frame,
    t: Language,
    booking_id: BookingId,
    /// The key of the payment form: a form that is sent twice tries one card once.
    idempotency_key: Uuid,
    event_path: String,
    name: String,
    venue: String,
    when: When,
    lines: Vec<Line>,
    total: String,
    code: Option<PromoCode>,
    /// When the hold ends, and the current time. The script counts down by the server's clock, not the browser's.
    until: When,
    now: String,
    /// What the last form did.
    told: Option<(&'static str, &'static str)>,
    /// The bank's page, if a card was tried and nobody knows yet what became of it.
    bank: Option<String>,
    /// Why no other card can be tried, if that is so.
    no_more_cards: Option<&'static str>,
    pay: String,
}

fn hold_page(
    frame: Frame,
    details: BookingDetails,
    event: &EventDetails,
    until: Timestamp,
    told: &str,
) -> HoldPage {
    let t = frame.language;
    let tried = details.booking.status == Status::Pending && told != "refused";
    let told = match told {
        "declined" | "refused" if details.is_out_of_cards => {
            Some((t.hold_declined(), t.hold_kept()))
        }
        "declined" => Some((t.hold_declined(), t.hold_declined_hint())),
        "refused" => Some((t.hold_refused(), t.hold_declined_hint())),
        "busy" => Some((t.pay_busy(), t.b_pending_lead())),
        "pending" => Some((t.b_pending(), t.b_pending_lead())),
        "not-begun" => Some((t.pay_not_begun(), t.pay_not_begun_hint())),
        "open" => Some((t.hold_open(), t.hold_lead())),
        _ => None,
    };
    HoldPage {
        bank: tried.then(|| bookings::bank_page(&details.booking)),
        no_more_cards: details
            .is_out_of_cards
            .then(|| if tried { t.pay_last() } else { t.pay_many() }),
        lines: lines(t, &details, event),
        event_path: format!("/e/{}", details.booking.event_id),
        name: event.event.name.as_str().to_owned(),
        venue: event.event.venue.as_str().to_owned(),
        when: When::of(t, &event.time_zone, event.event.starts_at),
        total: price(t, details.booking.amount),
        code: details.promo_code,
        until: When::of(t, &event.time_zone, until),
        now: time::now().to_rfc3339(),
        pay: t.pay_amount(money(t, details.booking.amount)),
        booking_id: details.booking.booking_id,
        idempotency_key: Uuid::now_v7(),
        told,
        frame,
        t,
    }
}

/// What a booking is of, line by line.
fn lines(t: Language, details: &BookingDetails, event: &EventDetails) -> Vec<Line> {
    let BookingDetails { booking, items, .. } = details;
    let line = |quantity, name: &str, each: Money| Line {
        quantity,
        name: name.to_owned(),
        amount: price(t, times(each, quantity)),
    };
    let mut lines: Vec<_> = items
        .iter()
        .map(|item| line(item.quantity.get(), &item.name, item.price))
        .collect();
    if lines.is_empty() {
        // Booked without items, by the API: so many of the default type.
        let mut types = event.ticket_types.iter();
        let default = types.find(|kind| kind.is_default);
        let name = default.map_or(t.types(), |kind| kind.name.as_str());
        lines.push(Line {
            quantity: booking.tickets.get(),
            name: name.to_owned(),
            amount: price(t, booking.amount),
        });
    }
    lines
}

/// `POST /b/{booking_id}/pay`: tries a card, and leads to the booking, which shows what became of it.
pub async fn pay(
    office: &BoxOffice,
    settle_queue: &SettleQueue,
    tokens: &TokenVerifier,
    request: &Request,
) -> Answer {
    let booking_id: BookingId = request.path("booking_id", "booking")?;
    let form = request.form()?;
    let there = format!("/b/{booking_id}");
    let Some(user) = session::user(request, tokens) else {
        return log_in_first(&there);
    };
    let method = match form.text("payment_method") {
        "" => PaymentMethod::default(),
        typed => typed
            .parse()
            .map_err(|_| Problem::field("/payment_method", "is no card that the form offers"))?,
    };
    // The key includes the card: the browser's back button shows an older form, in which the visitor may choose
    // another card.
    let key = form.text("idempotency_key");
    let key = (!key.is_empty()).then(|| format!("{key} {}", method.as_ref()));
    let key = key.and_then(|key| idempotency(&key, ""));
    let paid = bookings::pay(office, settle_queue, user, booking_id, method, key.as_ref()).await;
    match paid.outcome {
        Ok(HoldPaid::Asked(booking)) => see_other(&bookings::bank_page(&booking)),
        Ok(HoldPaid::Pending(_)) => see_other(&format!("{there}?told=pending")),
        Ok(HoldPaid::Confirmed(_)) | Err(PayHoldError::Expired | PayHoldError::NotHeld { .. }) => {
            see_other(&there)
        }
        Err(PayHoldError::Declined { .. }) => see_other(&format!("{there}?told=declined")),
        Err(PayHoldError::InProgress | PayHoldError::RequestInProgress) => {
            see_other(&format!("{there}?told=busy"))
        }
        Err(PayHoldError::Busy(_)) => see_other(&format!("{there}?told=not-begun")),
        Err(PayHoldError::TooManyAttempts) => see_other(&format!("{there}?told=many")),
        Err(
            error @ (PayHoldError::NotFound | PayHoldError::KeyReused | PayHoldError::Database(_)),
        ) => Err(error.into()),
    }
}

/// `POST /b/{booking_id}/release`: gives the tickets back, and leads to their event.
pub async fn release(office: &BoxOffice, tokens: &TokenVerifier, request: &Request) -> Answer {
    let booking_id: BookingId = request.path("booking_id", "booking")?;
    request.form()?;
    let there = format!("/b/{booking_id}");
    let Some(user) = session::user(request, tokens) else {
        return log_in_first(&there);
    };
    match bookings::release_hold(office.db(), office.payments(), user, booking_id).await {
        Ok(released) => see_other(&format!("/e/{}", released.event_id)),
        Err(ReleaseError::NotHeld { .. }) => see_other(&there),
        Err(ReleaseError::InProgress) => see_other(&format!("{there}?told=busy")),
        Err(
            error @ (ReleaseError::NotFound | ReleaseError::Payment(_) | ReleaseError::Database(_)),
        ) => Err(error.into()),
    }
}

fn booking_page(frame: Frame, details: BookingDetails, event: &EventDetails) -> BookingPage {
    let t = frame.language;
    let lines = lines(t, &details, event);
    let BookingDetails {
        booking,
        promo_code,
        ..
    } = details;
    let (amount, free) = (money(t, booking.amount), booking.amount.is_zero());
    let (title, lead) = match shown_status(&booking) {
        Status::Confirmed if free => (t.b_confirmed(), t.b_confirmed_lead_free().to_owned()),
        Status::Confirmed => (t.b_confirmed(), t.b_confirmed_lead().to_owned()),
        Status::Held => (t.hold_h1(), t.hold_lead().to_owned()),
        Status::Pending => (t.b_pending(), t.b_pending_lead().to_owned()),
        Status::Rejected => (t.b_rejected(), t.b_rejected_lead().to_owned()),
        Status::Expired => (t.b_expired(), t.b_expired_lead().to_owned()),
        Status::Cancelled if free => (t.b_cancelled(), t.b_cancelled_lead_free().to_owned()),
        Status::Cancelled => (t.b_cancelled(), t.b_cancelled_lead(&amount)),
    };
    let begun = event.event.starts_at <= time::now();
    let confirmed = booking.status == Status::Confirmed;
    BookingPage {
        title,
        lead,
        state: State::of(t, shown_status(&booking)),
        event_path: format!("/e/{}", booking.event_id),
        name: event.event.name.as_str().to_owned(),
        venue: event.event.venue.as_str().to_owned(),
        when: When::of(t, &event.time_zone, event.event.starts_at),
        lines,
        total: price(t, booking.amount),
        code: promo_code,
        tickets: booking.tickets.get(),
        booked_at: When::of(t, &event.time_zone, booking.created_at),
        cancel: (confirmed && !begun).then(|| {
            if free {
                t.cancel_sure_free().to_owned()
            } else {
                t.cancel_sure(&amount)
            }
        }),
        too_late: confirmed && begun,
        again: matches!(shown_status(&booking), Status::Rejected | Status::Expired) && !begun,
        pending: booking.status == Status::Pending,
        booking_id: booking.booking_id,
        frame,
        t,
    }
}

/// `POST /b/{booking_id}/cancel`: cancels, and leads to the booking, which shows what became of it.
pub async fn cancel(office: &BoxOffice, tokens: &TokenVerifier, request: &Request) -> Answer {
    let booking_id: BookingId = request.path("booking_id", "booking")?;
    request.form()?;
    let there = format!("/b/{booking_id}");
    let Some(user) = session::user(request, tokens) else {
        return log_in_first(&there);
    };
    match bookings::cancel(office.db(), office.payments(), user, booking_id).await {
        Ok(_) | Err(CancelError::Begun | CancelError::NotCancellable { .. }) => see_other(&there),
        Err(error @ (CancelError::NotFound | CancelError::Database(_))) => Err(error.into()),
    }
}

struct Card {
    path: String,
    name: String,
    venue: String,
    when: When,
    state: State,
    tickets: String,
    amount: String,
}

impl Card {
    fn of(t: Language, booking: &Booking, event: BookedEvent) -> Self {
        let zone: &TimeZone = &event.time_zone;
        Self {
            path: format!("/b/{}", booking.booking_id),
            when: When::of(t, zone, event.starts_at),
            state: State::of(t, shown_status(booking)),
            tickets: t.tickets(booking.tickets.get()),
            amount: price(t, booking.amount),
            name: event.name,
            venue: event.venue,
        }
    }
}

#[derive(Template)]
#[template(path = "bookings.html")]
struct BookingsPage {
    frame: Frame,
    t: Language,
    cards: Vec<Card>,
    more: Option<String>,
}

/// `GET /me`: the visitor's bookings, newest first.
pub async fn show_all(office: &BoxOffice, tokens: &TokenVerifier, request: &Request) -> Answer {
    let Some(user) = session::user(request, tokens) else {
        return log_in_first(request.raw_path());
    };
    let wanted = request.page(&format!("bookings of {user}"))?;
    let found = bookings::list_with_events(office.db(), user, &wanted).await?;
    let frame = Frame::of(request, true);
    let t = frame.language;
    let items = found.items.into_iter();
    let bookings = BookingsPage {
        cards: items
            .map(|(booking, event)| Card::of(t, &booking, event))
            .collect(),
        more: found
            .next_cursor
            .map(|cursor| format!("/me?cursor={}", cursor.as_str())),
        frame,
        t,
    };
    page(request, StatusCode::OK, &bookings)
}

//! The organizer's desk: their events, a new one, and what an event has sold.

use askama::Template;
use chrono::{NaiveDate, NaiveTime};
use http::StatusCode;
use serde_json::{Map, Value, json};
use shared::auth::TokenVerifier;
use shared::db::Db;
use shared::events::{self, CreateEventError, DaySales, Event, NewEvent, Sales};
use shared::http::{Answer, Fields, Form, Problem, Request};
use shared::ids::{EventId, UserId};
use shared::money::Currency;
use shared::time::TimeZone;

use crate::edit_forms::{Body, amount, whole};
use crate::format::{When, money, price};
use crate::frame::Frame;
use crate::language::Language;
use crate::organizer::{own, wrong};
use crate::respond::{log_in_first, page, see_other};
use crate::session;

/// How many ticket types the form has room for.
const TYPES: usize = 4;

/// The pointer of the error that says that the form's event id already belongs to another event.
const USED: &str = "/event_id";

/// The plot, in its own units.
const PLOT_WIDTH: i64 = 600;
const PLOT_HEIGHT: i64 = 160;

struct Card {
    path: String,
    name: String,
    venue: String,
    when: When,
    /// How many tickets are taken, out of how many.
    taken: String,
}

impl Card {
    fn of(t: Language, event: &Event) -> Self {
        let capacity = event.capacity.get();
        Self {
            path: format!("/desk/{}", event.event_id),
            when: When::of(t, &event.time_zone, event.starts_at),
            taken: t.desk_taken(capacity - event.available, capacity),
            name: event.name.as_str().to_owned(),
            venue: event.venue.as_str().to_owned(),
        }
    }
}

#[derive(Template)]
#[template(path = "desk.html")]
struct DeskPage {
    frame: Frame,
    t: Language,
    cards: Vec<Card>,
    more: Option<String>,
}

/// `GET /desk`: the visitor's own events.
pub async fn show_events(db: &Db, tokens: &TokenVerifier, request: &Request) -> Answer {
    let Some(user) = session::user(request, tokens) else {
        return log_in_first(request.raw_path());
    };
    let wanted = request.page(&format!("events of {user}"))?;
    let found = events::of_organizer(db, user, &wanted).await?;
    let frame = Frame::of(request, true);
    let t = frame.language;
    let desk = DeskPage {
        cards: found.items.iter().map(|event| Card::of(t, event)).collect(),
        more: found
            .next_cursor
            .map(|cursor| format!("/desk?cursor={}", cursor.as_str())),
        frame,
        t,
    };
    page(request, StatusCode::OK, &desk)
}

struct Row {
    name: String,
    price: String,
    sold: i64,
    held: i64,
    left: i32,
    revenue: String,
}

/// A bar of the plot, and its row of the table.
struct Bar {
    x: i64,
    y: i64,
    width: i64,
    height: i64,
    day: String,
    sold: i64,
}

#[derive(Template)]
#[template(path = "sales.html")]
struct SalesPage {
    frame: Frame,
    t: Language,
    name: String,
    when: When,
    shop_path: String,
    edit_path: String,
    rows: Vec<Row>,
    bars: Vec<Bar>,
    width: i64,
    height: i64,
}

/// `GET /desk/{event_id}`: what one of the visitor's events has sold.
///
/// # Errors
/// A page of problems: 404 where there is none, or where it is another person's.
pub async fn show_sales(db: &Db, tokens: &TokenVerifier, request: &Request) -> Answer {
    let event_id = request.path("event_id", "event")?;
    let Some(user) = session::user(request, tokens) else {
        return log_in_first(request.raw_path());
    };
    let own = own(db, user, &event_id).await?;
    let Sales { event, types, days } = events::sales(db, &own).await?;
    let frame = Frame::of(request, true);
    let t = frame.language;
    let rows = types.into_iter().map(|kind| Row {
        name: kind.name,
        price: price(t, kind.price),
        sold: kind.sold,
        held: kind.held,
        left: kind.left,
        revenue: money(t, kind.revenue),
    });
    let sales = SalesPage {
        rows: rows.collect(),
        bars: bars(t, &event.time_zone, &days),
        name: event.name.as_str().to_owned(),
        when: When::of(t, &event.time_zone, event.starts_at),
        shop_path: format!("/e/{}", event.event_id),
        edit_path: format!("/desk/{}/edit", event.event_id),
        width: PLOT_WIDTH,
        height: PLOT_HEIGHT,
        frame,
        t,
    };
    page(request, StatusCode::OK, &sales)
}

/// A bar a day, the last on the right, the highest as high as the plot.
fn bars(t: Language, zone: &TimeZone, days: &[DaySales]) -> Vec<Bar> {
    let Some(last) = days.last() else {
        return Vec::new();
    };
    let most = days.iter().map(|day| day.sold).max().unwrap_or(1).max(1);
    let step = PLOT_WIDTH / 31;
    let bars = days.iter().map(|sales| {
        let date = |day| zone.local(day).date_naive();
        let ago = (date(last.day) - date(sales.day)).num_days();
        let height = (sales.sold * PLOT_HEIGHT / most).max(1);
        let when = When::of(t, zone, sales.day);
        Bar {
            x: PLOT_WIDTH - (ago + 1) * step,
            y: PLOT_HEIGHT - height,
            width: step - 3,
            height,
            day: format!("{} {}\u{a0}{}", when.weekday, when.day, when.month),
            sold: sales.sold,
        }
    });
    bars.collect()
}

/// A field of the form for a new event.
struct EventField {
    name: &'static str,
    /// One of HTML's types of input.
    kind: &'static str,
    label: &'static str,
    required: bool,
    value: String,
}

/// A ticket type of the form.
struct TypeFields {
    number: usize,
    name: String,
    price: String,
    limit: String,
}

impl TypeFields {
    /// Its fields: their names, their labels and what is in them.
    fn inputs(&self, t: &Language) -> [(String, &'static str, &str); 3] {
        let field = |name: &str| format!("{name}_{}", self.number);
        [
            (field("name"), t.desk_type(), &self.name),
            (field("price"), t.desk_price(), &self.price),
            (field("limit"), t.desk_limit(), &self.limit),
        ]
    }
}

#[derive(Template)]
#[template(path = "new_event.html")]
struct NewEventPage {
    frame: Frame,
    t: Language,
    fields: Vec<EventField>,
    types: Vec<TypeFields>,
    errors: Vec<(String, String)>,
    /// New for each form: a form that is sent twice makes one event.
    event_id: EventId,
}

impl NewEventPage {
    fn of(frame: Frame, form: Option<&Form>, errors: Vec<(String, String)>) -> Self {
        let t = frame.language;
        let typed = |name: &str, usual: &str| match form {
            Some(form) => form.text(name).to_owned(),
            None => usual.to_owned(),
        };
        let must = |name, kind, label, usual| EventField {
            name,
            kind,
            label,
            required: true,
            value: typed(name, usual),
        };
        let may = |name, kind, label| EventField {
            required: false,
            ..must(name, kind, label, "")
        };
        let fields = vec![
            must("name", "text", t.desk_name(), ""),
            must("venue", "text", t.place(), ""),
            must("date", "date", t.desk_date(), ""),
            must("time", "time", t.desk_time(), "20:00"),
            may("ends_at", "datetime-local", t.edit_ends()),
            must("time_zone", "text", t.desk_zone(), "Europe/Berlin"),
            must("currency", "text", t.desk_currency(), "EUR"),
            must("capacity", "number", t.desk_capacity(), "100"),
            must("max_tickets_per_booking", "number", t.desk_most(), "10"),
            may("max_per_user", "number", t.edit_most_per_person()),
        ];
        let types = (0..TYPES).map(|number| TypeFields {
            number,
            name: typed(&format!("name_{number}"), ""),
            price: typed(&format!("price_{number}"), ""),
            limit: typed(&format!("limit_{number}"), ""),
        });
        Self {
            fields,
            types: types.collect(),
            event_id: EventId::generate(),
            errors,
            frame,
            t,
        }
    }

    /// What is wrong with a field.
    fn error(&self, field: &str) -> Option<&str> {
        let mut errors = self.errors.iter();
        errors
            .find(|(name, _)| name == field)
            .map(|(_, text)| text.as_str())
    }
}

/// `GET /new-event`: the form for a new event.
pub fn show_form(tokens: &TokenVerifier, request: &Request) -> Answer {
    if session::user(request, tokens).is_none() {
        return log_in_first(request.raw_path());
    }
    let form = NewEventPage::of(Frame::of(request, true), None, Vec::new());
    page(request, StatusCode::OK, &form)
}

/// `POST /new-event`: puts an event on sale, and leads to it.
pub async fn create(db: &Db, tokens: &TokenVerifier, request: &Request) -> Answer {
    let form = request.form()?;
    let Some(user) = session::user(request, tokens) else {
        return log_in_first(request.raw_path());
    };
    let frame = Frame::of(request, true);
    match create_of(db, user, &form).await? {
        Ok(event_id) => see_other(&format!("/desk/{event_id}")),
        Err(problem) => {
            let t = frame.language;
            let errors = problem.errors().iter().map(|error| {
                if error.pointer == USED {
                    return ("name".to_owned(), t.desk_used().to_owned());
                }
                let field = field_of(&error.pointer, &form);
                let text = wrong(t, &field, &error.detail);
                (field, text)
            });
            let again = NewEventPage::of(frame, Some(&form), errors.collect());
            page(request, StatusCode::UNPROCESSABLE_ENTITY, &again)
        }
    }
}

/// Makes the event that a form describes, by the rules of the API. The inner problem is one of the form's fields.
async fn create_of(
    db: &Db,
    user: UserId,
    form: &Form,
) -> Result<Result<EventId, Problem>, Problem> {
    let body = Value::Object(body_of(form)).to_string();
    let event: NewEvent = match Fields::parse(body.as_bytes()).and_then(Fields::decode) {
        Ok(event) => event,
        Err(problem) if problem.errors().is_empty() => return Err(problem),
        Err(problem) => return Ok(Err(problem)),
    };
    let (event_id, name, starts_at) = (event.event_id.clone(), event.name.clone(), event.starts_at);
    match (events::create(db, user, event).await, event_id) {
        (Ok(made), _) => Ok(Ok(made.event.event_id)),
        // The form was sent before. It was either sent twice, or changed into another event after the browser's
        // back button.
        (Err(CreateEventError::Exists), Some(event_id)) => {
            let made = own(db, user, &event_id).await?;
            if (made.name, made.starts_at) == (name, starts_at) {
                Ok(Ok(event_id))
            } else {
                Ok(Err(Problem::field(USED, "is that of another event")))
            }
        }
        (Err(error), _) => Err(error.into()),
    }
}

/// Turns a form into the body of `POST /events`. Text that is not a valid number or time is passed on as it was
/// typed, so that the API's rules refuse it.
fn body_of(form: &Form) -> Map<String, Value> {
    let zone: TimeZone = form.text("time_zone").trim().parse().unwrap_or_default();
    let currency: Currency = form.text("currency").trim().parse().unwrap_or_default();
    let (day, time) = (
        form.parse::<NaiveDate>("date"),
        NaiveTime::parse_from_str(form.text("time"), "%H:%M").ok(),
    );
    let starts = day
        .zip(time)
        .and_then(|(day, time)| zone.moment(day.and_time(time)));
    let (mut types, mut quotas) = (Vec::new(), Vec::new());
    for place in filled(form) {
        let text = |name: &str| form.text(&format!("{name}_{place}")).trim();
        let (name, limit) = (text("name"), text("limit"));
        let mut kind = json!({"name": name, "price": amount(text("price"), currency)});
        if !limit.is_empty() {
            // A quota of its own.
            quotas.push(json!({"name": name, "capacity": whole(limit)}));
            kind["quotas"] = json!([{"name": name}]);
        }
        types.push(kind);
    }
    let event_id = Some(form.text("event_id")).filter(|id| !id.is_empty());
    Body::of(form)
        .put("event_id", json!(event_id))
        .text("name")
        .text("venue")
        .put("starts_at", json!(starts.map(|moment| moment.to_rfc3339())))
        .moment("ends_at", &zone)
        .text("time_zone")
        .text("currency")
        .whole("capacity")
        .whole("max_tickets_per_booking")
        .whole("max_per_user")
        .put("ticket_types", types.into())
        .put("quotas", quotas.into())
        .fields
}

/// The rows of the form's ticket types that are filled in.
fn filled(form: &Form) -> Vec<usize> {
    let text = |name: &str, place: usize| form.text(&format!("{name}_{place}")).trim().to_owned();
    let rows = 0..TYPES;
    rows.filter(|place| !text("name", *place).is_empty() || !text("price", *place).is_empty())
        .collect()
}

/// The field of the form that a part of the body is from.
fn field_of(pointer: &str, form: &Form) -> String {
    let types = filled(form);
    let limited = types
        .iter()
        .filter(|row| !form.text(&format!("limit_{row}")).trim().is_empty());
    let limited: Vec<_> = limited.copied().collect();
    let row = |rows: &[usize], place: &str| {
        let place: usize = place.parse().unwrap_or_default();
        rows.get(place).copied().unwrap_or_default()
    };
    let parts: Vec<_> = pointer.trim_start_matches('/').split('/').collect();
    match parts.as_slice() {
        ["starts_at"] => "date".to_owned(),
        ["ticket_types"] => "name_0".to_owned(),
        ["ticket_types", place, "price", ..] => format!("price_{}", row(&types, place)),
        ["ticket_types", place, "units", ..] => format!("limit_{}", row(&types, place)),
        ["ticket_types", place, ..] => format!("name_{}", row(&types, place)),
        ["quotas", place, "name", ..] => format!("name_{}", row(&limited, place)),
        ["quotas", place, ..] => format!("limit_{}", row(&limited, place)),
        [field, ..] => (*field).to_owned(),
        [] => "name".to_owned(),
    }
}

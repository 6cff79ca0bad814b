//! Finding an event, and choosing tickets.

use askama::Template;
use chrono::{Datelike, NaiveDate};
use http::StatusCode;
use shared::auth::TokenVerifier;
use shared::db::Db;
use shared::events::{self, Asker, EventDetails, Listed, Search, TicketType};
use shared::http::{Answer, Request};
use shared::ids::{EventId, TicketTypeId};
use shared::page::Cursor;
use shared::time;
use uuid::Uuid;

use crate::format::{When, money, price};
use crate::frame::Frame;
use crate::language::Language;
use crate::order::{Choice, most_of, offered};
use crate::respond::page;
use crate::session;

/// From this number on, a page says how few tickets are left.
const FEW: i64 = 10;

struct Card {
    path: String,
    name: String,
    venue: String,
    when: When,
    price: String,
    sold_out: bool,
    few: Option<i64>,
}

impl Card {
    fn of(language: Language, listed: Listed) -> Self {
        let Listed {
            event,
            price_from,
            several_prices,
            left,
        } = listed;
        let least = price(language, price_from);
        Self {
            path: format!("/e/{}", event.event_id),
            when: When::of(language, &event.time_zone, event.starts_at),
            price: if several_prices {
                language.price_from(least)
            } else {
                least
            },
            sold_out: left <= 0,
            few: Some(left).filter(|left| (1..=FEW).contains(left)),
            name: event.name.as_str().to_owned(),
            venue: event.venue.as_str().to_owned(),
        }
    }
}

#[derive(Template)]
#[template(path = "events.html")]
struct EventsPage {
    frame: Frame,
    t: Language,
    text: String,
    from: String,
    to: String,
    searching: bool,
    wrong_dates: bool,
    cards: Vec<Card>,
    more: Option<String>,
}

/// `GET /`: the events to come, all or those that fit a search.
pub async fn show_events(db: &Db, tokens: &TokenVerifier, request: &Request) -> Answer {
    let frame = Frame::of(request, session::user(request, tokens).is_some());
    let t = frame.language;
    let field = |name| request.query(name).unwrap_or_default().trim();
    let text = field("q")
        .chars()
        .filter(|character| !character.is_control());
    let text: String = text.take(200).collect();
    let day = |name| {
        let day = field(name).parse::<NaiveDate>().ok()?;
        (1..=9999).contains(&day.year()).then_some(day)
    };
    let (from, to) = (day("from"), day("to"));
    let wrong_dates = from.zip(to).is_some_and(|(from, to)| from > to);
    let search = Search {
        text: text.clone(),
        from,
        to,
    };
    let found = events::search(db, &search, &request.page("events")?).await?;
    let more = found.next_cursor.map(|cursor| {
        let mut query = form_urlencoded::Serializer::new(String::new());
        for name in ["q", "from", "to"] {
            query.append_pair(name, field(name));
        }
        query.append_pair("cursor", Cursor::as_str(&cursor));
        format!("/?{}", query.finish())
    });
    let events = EventsPage {
        searching: !text.is_empty() || from.is_some() || to.is_some(),
        cards: found
            .items
            .into_iter()
            .map(|listed| Card::of(t, listed))
            .collect(),
        from: from.map(|day| day.to_string()).unwrap_or_default(),
        to: to.map(|day| day.to_string()).unwrap_or_default(),
        frame,
        t,
        text,
        wrong_dates,
        more,
    };
    page(request, StatusCode::OK, &events)
}

/// A ticket type, as the form shows it.
struct Row {
    id: String,
    name: String,
    description: Option<String>,
    price: String,
    few: Option<i32>,
    admits: i32,
    offered: Vec<i32>,
    chosen: i32,
    /// Why it can't be had.
    closed: Option<String>,
    error: Option<String>,
}

#[derive(Template)]
#[template(path = "event.html")]
struct EventPage {
    frame: Frame,
    t: Language,
    event_id: EventId,
    name: String,
    venue: String,
    zone: String,
    when: When,
    ends: Option<String>,
    begun: bool,
    rows: Vec<Row>,
    limit: String,
    /// Whether nothing on it costs anything.
    free: bool,
    total: Option<String>,
    /// The promo code as it was typed, and what is wrong with it.
    code: String,
    code_error: Option<String>,
    /// The field that is wrong, and why.
    error: Option<(String, String)>,
    /// New for each form: a form that is sent twice books once.
    idempotency_key: Uuid,
}

impl EventPage {
    /// Whether anything can be chosen.
    fn open(&self) -> bool {
        self.rows.iter().any(|row| !row.offered.is_empty())
    }
}

/// `GET /e/{event_id}`: an event and its tickets; with a choice, what that costs.
///
/// # Errors
/// A page of problems: 404 where there is no such event.
pub async fn show_event(db: &Db, tokens: &TokenVerifier, request: &Request) -> Answer {
    let event_id = request.path("event_id", "event")?;
    let frame = Frame::of(request, session::user(request, tokens).is_some());
    let choice = Choice::of(request.query_fields());
    let asker = Asker::At(request.address());
    let event = events::get_for(db, &event_id, choice.code().as_ref(), asker).await?;
    let wrong = choice.has_wrong_code(&event).then(|| Wrong {
        text: frame.language.err_code().to_owned(),
        about: About::Code,
    });
    show_order(request, frame, StatusCode::OK, event, &choice, wrong)
}

/// What is wrong with a choice.
pub(crate) struct Wrong {
    pub text: String,
    pub about: About,
}

/// Which part of a choice is wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum About {
    All,
    Type(TicketTypeId),
    Code,
}

/// The page of an event with what was chosen, and what is wrong with that.
pub(crate) fn show_order(
    request: &Request,
    frame: Frame,
    status: StatusCode,
    event: EventDetails,
    choice: &Choice,
    wrong: Option<Wrong>,
) -> Answer {
    let t = frame.language;
    let most = most_of(&event);
    let rows: Vec<_> = event
        .ticket_types
        .iter()
        .map(|kind| row(t, &event, kind, choice, wrong.as_ref()))
        .collect();
    let first = rows.iter().find(|row| !row.offered.is_empty());
    let first = first.map(|row| row.id.clone()).unwrap_or_default();
    let begun = event.event.starts_at <= time::now();
    let order = EventPage {
        total: (!choice.is_empty()).then(|| money(t, choice.total(&event))),
        limit: t.limit(t.tickets(most)),
        free: event.ticket_types.iter().all(|kind| kind.price.is_zero()),
        code: choice.typed_code().to_owned(),
        code_error: wrong
            .as_ref()
            .filter(|wrong| wrong.about == About::Code)
            .map(|wrong| wrong.text.clone()),
        error: wrong.map(|wrong| {
            let field = match wrong.about {
                About::All => first,
                About::Type(kind) => kind.to_string(),
                About::Code => "promo_code".to_owned(),
            };
            (field, wrong.text)
        }),
        when: When::of(t, &event.time_zone, event.event.starts_at),
        ends: event.ends_at.map(|ends| {
            let same_day = event.time_zone.local(ends).date_naive()
                == event.time_zone.local(event.event.starts_at).date_naive();
            let ends = When::of(t, &event.time_zone, ends);
            t.until(if same_day { ends.clock } else { ends.text })
        }),
        zone: event.time_zone.as_str().to_owned(),
        event_id: event.event.event_id,
        name: event.event.name.as_str().to_owned(),
        venue: event.event.venue.as_str().to_owned(),
        idempotency_key: Uuid::now_v7(),
        frame,
        t,
        begun,
        rows,
    };
    page(request, status, &order)
}

fn row(
    t: Language,
    event: &EventDetails,
    kind: &TicketType,
    choice: &Choice,
    wrong: Option<&Wrong>,
) -> Row {
    let offered = offered(kind, most_of(event));
    let told = |moment| When::of(t, &event.time_zone, moment).text;
    let now = time::now();
    let closed = if !offered.is_empty() {
        None
    } else if let Some(from) = kind.sale_from.filter(|from| *from > now) {
        Some(t.sale_from(told(from)))
    } else if let Some(until) = kind.sale_until.filter(|until| *until <= now) {
        Some(t.sale_ended(told(until)))
    } else if kind.on_sale {
        Some(t.sold_out().to_owned())
    } else {
        Some(t.unavailable().to_owned())
    };
    let mine = wrong.filter(|wrong| wrong.about == About::Type(kind.ticket_type_id));
    Row {
        id: kind.ticket_type_id.to_string(),
        name: kind.name.as_str().to_owned(),
        description: kind
            .description
            .as_ref()
            .map(|text| text.as_str().to_owned()),
        price: match kind.price_with_code {
            Some(with_code) if with_code != kind.price => {
                t.price_instead(price(t, with_code), price(t, kind.price))
            }
            _ => price(t, kind.price),
        },
        few: Some(kind.available).filter(|left| closed.is_none() && i64::from(*left) <= FEW),
        admits: kind.admits.get(),
        chosen: choice.offered(kind, most_of(event)),
        error: mine.map(|wrong| wrong.text.clone()),
        offered,
        closed,
    }
}

//! Changing an event by a page: what it is, its ticket types, its quotas, its promo codes. Each is a form of its own, read
//! by the rules of the API.

use askama::Template;
use http::StatusCode;
use serde_json::{Map, Value};
use shared::auth::TokenVerifier;
use shared::db::Db;
use shared::events::{self, EventChange, NewQuota, OwnEvent, Quota, QuotaChange};
use shared::http::{
    Answer, Code, Fields, Form, Problem, Request, decode_code, decode_code_change, decode_type,
    decode_type_change,
};
use shared::ids::{EventId, PromoCode, QuotaId, TicketTypeId};

use crate::edit_forms::{self, FormView, Input};
use crate::frame::Frame;
use crate::language::Language;
use crate::organizer::{own, wrong};
use crate::respond::{log_in_first, page, see_other};
use crate::session;

/// Which form was sent.
enum Target {
    Event,
    NewType,
    Type(TicketTypeId),
    NewQuota,
    Quota(QuotaId),
    NewCode,
    Code(PromoCode),
}

impl Target {
    fn of(request: &Request) -> Result<Self, Problem> {
        Ok(match request.route().path {
            "/desk/{event_id}/types" => Self::NewType,
            "/desk/{event_id}/types/{ticket_type_id}" => {
                Self::Type(request.path("ticket_type_id", "ticket type")?)
            }
            "/desk/{event_id}/quotas" => Self::NewQuota,
            "/desk/{event_id}/quotas/{quota_id}" => Self::Quota(request.path("quota_id", "quota")?),
            "/desk/{event_id}/codes" => Self::NewCode,
            "/desk/{event_id}/codes/{code}" => Self::Code(request.path("code", "promo code")?),
            _ => Self::Event,
        })
    }
}

/// Why a form changed nothing: each field, by the name of the API, with what is wrong with it.
struct Refused {
    status: StatusCode,
    errors: Vec<(String, String)>,
}

/// A form that was sent, and what is wrong with it.
struct Sent<'f> {
    action: &'f str,
    form: &'f Form,
    errors: Vec<(String, String)>,
}

#[derive(Template)]
#[template(path = "edit.html")]
struct EditPage {
    frame: Frame,
    t: Language,
    name: String,
    sales_path: String,
    version: i32,
    saved: bool,
    errors: Vec<(String, String)>,
    event: FormView,
    types: Vec<FormView>,
    new_type: FormView,
    quotas: Vec<FormView>,
    new_quota: FormView,
    codes: Vec<FormView>,
    new_code: FormView,
    more: Option<String>,
}

/// `GET /desk/{event_id}/edit`: the forms.
///
/// # Errors
/// A page of problems: 404 where there is no such event, or where it is another person's.
pub async fn show(db: &Db, tokens: &TokenVerifier, request: &Request) -> Answer {
    let event_id: EventId = request.path("event_id", "event")?;
    let Some(user) = session::user(request, tokens) else {
        return log_in_first(request.raw_path());
    };
    let own = own(db, user, &event_id).await?;
    show_forms(db, request, &own, StatusCode::OK, None).await
}

/// `POST` of one of the forms: changes what it says, and leads to the forms again.
pub async fn change(db: &Db, tokens: &TokenVerifier, request: &Request) -> Answer {
    let event_id: EventId = request.path("event_id", "event")?;
    let form = request.form()?;
    let there = format!("/desk/{event_id}/edit");
    let Some(user) = session::user(request, tokens) else {
        return log_in_first(&there);
    };
    let own = own(db, user, &event_id).await?;
    let target = Target::of(request)?;
    let t = Language::of(request);
    // With two tabs open, the second form may have been filled in from an older version.
    let version = form.parse::<i32>("version");
    let changed = if version.is_some_and(|version| version != own.version) {
        Err(conflict("", t.edit_stale().to_owned()))
    } else {
        apply(db, t, &own, &target, &form).await?
    };
    match changed {
        Ok(()) => see_other(&format!("{there}?saved=yes")),
        Err(refused) => {
            let status = refused.status;
            let sent = Sent {
                action: request.raw_path(),
                form: &form,
                errors: refused.errors,
            };
            show_forms(db, request, &own, status, Some(sent)).await
        }
    }
}

/// Shows all forms. The one that was sent keeps its input, and shows its errors.
async fn show_forms(
    db: &Db,
    request: &Request,
    own: &OwnEvent,
    status: StatusCode,
    sent: Option<Sent<'_>>,
) -> Answer {
    let event = own.details(db).await?;
    let wanted = request.page(&format!("codes of {}", own.event_id))?;
    let codes = events::list_codes(db, own, &wanted).await?;
    let there = format!("/desk/{}", own.event_id);
    let frame = Frame::of(request, true).at(format!("{there}/edit"));
    let t = frame.language;
    let mut edit = EditPage {
        name: event.event.name.as_str().to_owned(),
        saved: sent.is_none() && request.query("saved").is_some(),
        event: edit_forms::event(t, &there, &event),
        types: event
            .ticket_types
            .iter()
            .map(|kind| edit_forms::ticket_type(t, &there, &event, kind))
            .collect(),
        new_type: edit_forms::new_type(t, &there, &event),
        quotas: event
            .quotas
            .iter()
            .map(|quota| edit_forms::quota(t, &there, quota))
            .collect(),
        new_quota: edit_forms::new_quota(t, &there),
        codes: codes
            .items
            .iter()
            .map(|code| edit_forms::code(t, &there, &event, code))
            .collect(),
        new_code: edit_forms::new_code(t, &there, &event),
        more: codes
            .next_cursor
            .map(|cursor| format!("{there}/edit?cursor={}", cursor.as_str())),
        errors: Vec::new(),
        sales_path: there,
        version: event.version,
        frame,
        t,
    };
    // The form that was sent may be that of a code on another page of the list. Add it, so that its errors are shown.
    let action = sent.as_ref().map_or("", |sent| sent.action);
    if let Some(code) = action.strip_prefix(&format!("{}/codes/", edit.sales_path))
        && edit.codes.iter().all(|view| view.action != action)
        && let Ok(code) = code.parse()
    {
        let code = events::own_code(db, own, &code).await?;
        let view = edit_forms::code(t, &edit.sales_path, &event, &code);
        edit.codes.push(view);
    }
    if let Some(Sent {
        action,
        form,
        errors,
    }) = sent
    {
        let forms = [
            &mut edit.event,
            &mut edit.new_type,
            &mut edit.new_quota,
            &mut edit.new_code,
        ]
        .into_iter();
        let lists = [&mut edit.types, &mut edit.quotas, &mut edit.codes];
        let mut forms = forms.chain(lists.into_iter().flatten());
        if let Some(view) = forms.find(|view| view.action == action) {
            edit.errors = view.sent(form, errors);
        }
    }
    page(request, status, &edit)
}

/// Makes the change that a form asks for. The inner error is about the form's fields. The outer error is a problem
/// that no field can fix: a fault of ours, or a wrong address.
async fn apply(
    db: &Db,
    t: Language,
    own: &OwnEvent,
    target: &Target,
    form: &Form,
) -> Result<Result<(), Refused>, Problem> {
    let Err(problem) = change_by(db, own, target, form).await else {
        return Ok(Ok(()));
    };
    let least = || problem.member("least").cloned().unwrap_or_default();
    match (problem.code(), target) {
        (Code::CapacityBelowSold, Target::Code(_)) => {
            Ok(Err(conflict("uses", t.edit_least_uses(least()))))
        }
        (Code::CapacityBelowSold, _) => Ok(Err(conflict("capacity", t.edit_least(least())))),
        (Code::PromoExists, _) => Ok(Err(conflict("code", t.edit_code_exists().to_owned()))),
        _ => field_errors(t, problem).map(Err),
    }
}

async fn change_by(db: &Db, own: &OwnEvent, target: &Target, form: &Form) -> Result<(), Problem> {
    let event = own.details(db).await?;
    let read = |body: Map<String, Value>| Fields::parse(Value::Object(body).to_string().as_bytes());
    match target {
        Target::Event => {
            let change = edit_forms::event_body(form, &event);
            let change: EventChange = read(change)?.decode()?;
            events::change_event(db, own, &change).await?;
        }
        Target::NewType => {
            let new = read(edit_forms::new_type_body(form, &event))?;
            let new = decode_type(new, own.currency)?;
            events::add_type(db, own, &new).await?;
        }
        Target::Type(kind) => {
            let change = read(edit_forms::type_body(form, &event, *kind))?;
            let change = decode_type_change(change, own.currency)?;
            events::change_type(db, own, *kind, &change).await?;
        }
        Target::NewQuota => {
            let new: NewQuota = read(edit_forms::quota_body(form, None))?.decode()?;
            events::add_quota(db, own, &new).await?;
        }
        Target::Quota(quota) => {
            let quota_is = |known: &&Quota| known.quota_id == *quota;
            let known = event.quotas.iter().find(quota_is);
            let change = edit_forms::quota_body(form, known);
            let change: QuotaChange = read(change)?.decode()?;
            events::change_quota(db, own, *quota, &change).await?;
        }
        Target::NewCode => {
            let new = read(edit_forms::new_code_body(form, &event))?;
            let new = decode_code(new, own.currency)?;
            if new.ticket_types.is_empty() && form.text("unlocks") == "on" {
                let detail = "must be the ticket type that the code unlocks";
                return Err(Problem::field("/ticket_types", detail));
            }
            events::create_code(db, own, new).await?;
        }
        Target::Code(code) => {
            let known = events::own_code(db, own, code).await?;
            let change = read(edit_forms::code_body(form, &event, &known))?;
            let change = decode_code_change(change, known.kind, own.currency)?;
            events::change_code(db, own, code, &change).await?;
        }
    }
    Ok(())
}

fn conflict(field: &str, text: String) -> Refused {
    Refused {
        status: StatusCode::CONFLICT,
        errors: vec![(field.to_owned(), text)],
    }
}

/// The fields that a problem is about. A problem that names no field is returned as it is.
fn field_errors(t: Language, problem: Problem) -> Result<Refused, Problem> {
    if problem.errors().is_empty() {
        return Err(problem);
    }
    let errors = problem.errors().iter().map(|error| {
        let field = error.pointer.trim_start_matches('/').split('/').next();
        let field = field.unwrap_or_default();
        (field.to_owned(), wrong(t, field, &error.detail))
    });
    Ok(Refused {
        status: StatusCode::UNPROCESSABLE_ENTITY,
        errors: errors.collect(),
    })
}

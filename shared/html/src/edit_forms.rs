//! The forms to change an event: what is in them, and what of the API they say.

use chrono::NaiveDateTime;
use serde_json::{Map, Value, json};
use shared::events::{
    Access, EventDetails, PromoCodeAmount, PromoCodeCounts, PromoCodeDetails, PromoCodeKind, Quota,
    TicketType,
};
use shared::http::Form;
use shared::ids::TicketTypeId;
use shared::money::Currency;
use shared::time::{TimeZone, Timestamp};

use crate::format::money;
use crate::language::Language;

/// As `<input type="datetime-local">` has it: the venue's clocks.
const LOCAL: &str = "%Y-%m-%dT%H:%M";

/// A form.
pub(crate) struct FormView {
    /// Distinguishes its fields from those of other forms.
    pub id: String,
    pub action: String,
    pub legend: String,
    pub fields: Vec<Field>,
    pub button: &'static str,
}

/// A field of a form.
pub(crate) struct Field {
    pub id: String,
    pub name: String,
    pub label: String,
    pub value: String,
    pub required: bool,
    pub error: Option<String>,
    pub input: Input,
}

pub(crate) enum Input {
    /// One of HTML's types of input.
    Line(&'static str),
    /// One of these: a value and its label.
    Choice(Vec<(String, String)>),
    Tick,
}

impl FormView {
    fn new(id: &str, action: String, legend: String, button: &'static str) -> Self {
        Self {
            id: id.to_owned(),
            action,
            legend,
            fields: Vec::new(),
            button,
        }
    }

    fn add(mut self, name: &str, label: impl Into<String>, value: String, input: Input) -> Self {
        self.fields.push(Field {
            id: format!("{}-{name}", self.id),
            name: name.to_owned(),
            label: label.into(),
            value,
            required: false,
            error: None,
            input,
        });
        self
    }

    fn line(self, name: &str, kind: &'static str, label: &str, value: impl ToString) -> Self {
        self.add(name, label, value.to_string(), Input::Line(kind))
    }

    /// As [`Self::line`], of a field that must not be empty.
    fn must(self, name: &str, kind: &'static str, label: &str, value: impl ToString) -> Self {
        let mut form = self.line(name, kind, label, value);
        if let Some(last) = form.fields.last_mut() {
            last.required = true;
        }
        form
    }

    fn moment(self, name: &str, label: &str, zone: &TimeZone, moment: Option<Timestamp>) -> Self {
        let local = moment.map(|moment| zone.local(moment).format(LOCAL).to_string());
        self.line(name, "datetime-local", label, local.unwrap_or_default())
    }

    /// Fills the form with what was sent, and shows what is wrong with it. Returns the id of each field at fault, and
    /// what is wrong with it.
    pub fn sent(&mut self, form: &Form, errors: Vec<(String, String)>) -> Vec<(String, String)> {
        for field in &mut self.fields {
            form.text(&field.name).clone_into(&mut field.value);
        }
        let first = self.fields.first().map(|field| field.id.clone());
        let shown = errors.into_iter().map(|(name, text)| {
            let field = self.fields.iter_mut().find(|field| field.name == name);
            match field {
                Some(field) => {
                    field.error = Some(text.clone());
                    (field.id.clone(), format!("{}: {text}", field.label))
                }
                None => (first.clone().unwrap_or_default(), format!("{name} {text}")),
            }
        });
        shown.collect()
    }
}

fn or_empty<T: ToString>(value: Option<T>) -> String {
    value.map(|value| value.to_string()).unwrap_or_default()
}

/// What the event is.
pub(crate) fn event(t: Language, there: &str, event: &EventDetails) -> FormView {
    let zone = &event.time_zone;
    let known = &event.event;
    FormView::new(
        "event",
        format!("{there}/edit"),
        t.edit_event().to_owned(),
        t.edit_save(),
    )
    .must("name", "text", t.desk_name(), known.name.as_str())
    .must("venue", "text", t.place(), known.venue.as_str())
    .moment("starts_at", t.edit_starts(), zone, Some(known.starts_at))
    .moment("ends_at", t.edit_ends(), zone, event.ends_at)
    .must("time_zone", "text", t.desk_zone(), zone.as_str())
    .must("capacity", "number", t.desk_capacity(), known.capacity)
    .must(
        "max_tickets_per_booking",
        "number",
        t.desk_most(),
        known.max_tickets_per_booking,
    )
    .line(
        "max_per_user",
        "number",
        t.edit_most_per_person(),
        or_empty(event.max_per_user),
    )
    .must(
        "hold_seconds",
        "number",
        t.edit_hold_seconds(),
        event.hold_seconds,
    )
}

/// The form for an existing ticket type.
pub(crate) fn ticket_type(
    t: Language,
    there: &str,
    event: &EventDetails,
    kind: &TicketType,
) -> FormView {
    let zone = &event.time_zone;
    let action = format!("{there}/types/{}", kind.ticket_type_id);
    let id = kind.ticket_type_id.to_string();
    let mut form = FormView::new(&id, action, kind.name.as_str().to_owned(), t.edit_save())
        .must("name", "text", t.desk_name(), kind.name.as_str())
        .line(
            "description",
            "text",
            t.edit_description(),
            kind.description.as_ref().map_or("", |text| text.as_str()),
        )
        .must("price", "text", t.desk_price(), kind.price)
        .must("tax_rate", "text", t.edit_tax(), kind.tax_rate);
    if !kind.is_default {
        form = form.add(
            "access",
            t.edit_access(),
            kind.access.as_ref().to_owned(),
            accesses(t),
        );
    }
    form = form
        .moment("sale_from", t.edit_sale_from(), zone, kind.sale_from)
        .moment("sale_until", t.edit_sale_until(), zone, kind.sale_until)
        .must(
            "min_per_order",
            "number",
            t.edit_least_per_order(),
            kind.min_per_order,
        )
        .must(
            "max_per_order",
            "number",
            t.edit_most_per_order(),
            kind.max_per_order,
        );
    if !kind.is_default {
        form = form.add("archived", t.edit_archived(), String::new(), Input::Tick);
    }
    form
}

/// A ticket type to be added.
pub(crate) fn new_type(t: Language, there: &str, event: &EventDetails) -> FormView {
    let none = (String::new(), t.edit_no_quota().to_owned());
    let quotas = event.quotas.iter().map(|quota| {
        let name = quota.name.as_str().to_owned();
        (name.clone(), name)
    });
    let quotas = std::iter::once(none).chain(quotas).collect();
    let zone = &event.time_zone;
    FormView::new(
        "new-type",
        format!("{there}/types"),
        t.edit_new_type().to_owned(),
        t.edit_add(),
    )
    .must("name", "text", t.desk_name(), "")
    .line("description", "text", t.edit_description(), "")
    .must("price", "text", t.desk_price(), "")
    .line("tax_rate", "text", t.edit_tax(), String::new())
    .add("access", t.edit_access(), "PUBLIC".to_owned(), accesses(t))
    .add(
        "quotas",
        t.edit_quota(),
        String::new(),
        Input::Choice(quotas),
    )
    .line("units", "number", t.edit_units(), "1")
    .line("admits", "number", t.edit_admits(), "1")
    .moment("sale_from", t.edit_sale_from(), zone, None)
    .moment("sale_until", t.edit_sale_until(), zone, None)
    .line("min_per_order", "number", t.edit_least_per_order(), "1")
    .line(
        "max_per_order",
        "number",
        t.edit_most_per_order(),
        event.event.max_tickets_per_booking,
    )
}

fn accesses(t: Language) -> Input {
    let choices = [
        (Access::Public, t.edit_public()),
        (Access::Code, t.edit_by_code()),
        (Access::Hidden, t.edit_hidden()),
    ];
    let choices = choices.map(|(access, label)| (access.as_ref().to_owned(), label.to_owned()));
    Input::Choice(choices.into())
}

/// The form for an existing quota, other than the event's capacity.
pub(crate) fn quota(t: Language, there: &str, quota: &Quota) -> FormView {
    let action = format!("{there}/quotas/{}", quota.quota_id);
    let id = quota.quota_id.to_string();
    FormView::new(&id, action, quota.name.as_str().to_owned(), t.edit_save())
        .must("name", "text", t.desk_name(), quota.name.as_str())
        .must("capacity", "number", t.desk_limit(), quota.capacity)
}

/// A quota to be added.
pub(crate) fn new_quota(t: Language, there: &str) -> FormView {
    FormView::new(
        "new-quota",
        format!("{there}/quotas"),
        t.edit_new_quota().to_owned(),
        t.edit_add(),
    )
    .must("name", "text", t.desk_name(), "")
    .must("capacity", "number", t.desk_limit(), "")
}

/// The form for an existing promo code.
pub(crate) fn code(
    t: Language,
    there: &str,
    event: &EventDetails,
    code: &PromoCodeDetails,
) -> FormView {
    let action = format!("{there}/codes/{}", code.code);
    let id = format!("code-{}", code.code);
    let does = match (code.kind, code.value) {
        (PromoCodeKind::Percent, PromoCodeAmount::Percent(percent)) => t.edit_percent_off(percent),
        (PromoCodeKind::Fixed, PromoCodeAmount::Amount(amount)) => {
            t.edit_amount_off(money(t, amount))
        }
        (_, PromoCodeAmount::Amount(amount)) => t.edit_costs(money(t, amount)),
        _ => t.edit_no_discount().to_owned(),
    };
    let used = code.used.map(|used| t.edit_used(used)).unwrap_or_default();
    let legend = format!("{} – {does} {used}", code.code);
    let form = FormView::new(&id, action, legend.trim_end().to_owned(), t.edit_save());
    let value = match code.value {
        PromoCodeAmount::Percent(percent) => Some(percent.to_string()),
        PromoCodeAmount::Amount(amount) => Some(amount.to_string()),
        PromoCodeAmount::Nothing => None,
    };
    let form = match value {
        Some(value) => form.must("value", "text", t.edit_value(), value),
        None => form,
    };
    form.line("uses", "number", t.edit_uses(), or_empty(code.uses))
        .moment(
            "valid_from",
            t.edit_valid_from(),
            &event.time_zone,
            code.valid_from,
        )
        .moment(
            "valid_until",
            t.edit_valid_until(),
            &event.time_zone,
            code.valid_until,
        )
}

/// A promo code to be made.
pub(crate) fn new_code(t: Language, there: &str, event: &EventDetails) -> FormView {
    let kinds = [
        (PromoCodeKind::Percent, t.edit_kind_percent()),
        (PromoCodeKind::Fixed, t.edit_kind_fixed()),
        (PromoCodeKind::Price, t.edit_kind_price()),
        (PromoCodeKind::None, t.edit_no_discount()),
    ];
    let kinds = kinds.map(|(kind, label)| (kind.as_ref().to_owned(), label.to_owned()));
    let counts = [
        (PromoCodeCounts::Orders, t.edit_counts_orders()),
        (PromoCodeCounts::Tickets, t.edit_counts_tickets()),
    ];
    let counts = counts.map(|(counts, label)| (counts.as_ref().to_owned(), label.to_owned()));
    let all = (String::new(), t.edit_all_types().to_owned());
    let types = event.ticket_types.iter().map(|kind| {
        let name = kind.name.as_str().to_owned();
        (kind.ticket_type_id.to_string(), name)
    });
    let types = std::iter::once(all).chain(types).collect();
    let zone = &event.time_zone;
    FormView::new(
        "new-code",
        format!("{there}/codes"),
        t.edit_new_code().to_owned(),
        t.edit_add(),
    )
    .must("code", "text", t.promo_code(), "")
    .add(
        "kind",
        t.edit_kind(),
        "PERCENT".to_owned(),
        Input::Choice(kinds.into()),
    )
    .line("value", "text", t.edit_value(), "")
    .line("uses", "number", t.edit_uses(), "")
    .add(
        "counts",
        t.edit_counts(),
        "ORDERS".to_owned(),
        Input::Choice(counts.into()),
    )
    .add(
        "ticket_types",
        t.edit_only_type(),
        String::new(),
        Input::Choice(types),
    )
    .add("unlocks", t.edit_unlocks(), String::new(), Input::Tick)
    .moment("valid_from", t.edit_valid_from(), zone, None)
    .moment("valid_until", t.edit_valid_until(), zone, None)
}

/// Reads an amount as people type it, with a point or a comma. Returns null if nothing was typed. Text that may
/// contain a thousands separator is passed on as it was typed, and then refused: 1,000 must not become 1.
pub(crate) fn amount(typed: &str, currency: Currency) -> Value {
    decimal(typed, currency.decimals())
}

fn decimal(typed: &str, most_decimals: u32) -> Value {
    let typed = typed.trim();
    let plain = typed.replace(',', ".");
    let decimals = plain
        .split_once('.')
        .map_or(0, |(_, decimals)| decimals.len());
    let number = serde_json::from_str(&plain);
    let thousands = decimals == 3 && typed.contains(',');
    match number {
        _ if typed.is_empty() => Value::Null,
        _ if thousands => json!(typed),
        Ok(Value::Number(number)) if decimals <= most_decimals as usize => number.into(),
        _ => json!(typed),
    }
}

/// Reads a whole number as people type it. Returns null if nothing was typed. Text with anything but digits is passed
/// on as it was typed, and then refused: 1.000 must not become 1.
pub(crate) fn whole(typed: &str) -> Value {
    let digits = typed.bytes().all(|byte| byte.is_ascii_digit());
    match typed.parse::<u64>() {
        _ if typed.is_empty() => Value::Null,
        Ok(number) if digits => number.into(),
        _ => json!(typed),
    }
}

/// What a form says, as a body of the API. Text that is not a valid number or time is passed on as it was typed, and
/// then refused.
pub(crate) struct Body<'f> {
    form: &'f Form,
    pub fields: Map<String, Value>,
}

impl<'f> Body<'f> {
    pub fn of(form: &'f Form) -> Self {
        Self {
            form,
            fields: Map::new(),
        }
    }

    fn typed(&self, name: &str) -> &'f str {
        self.form.text(name).trim()
    }

    pub fn put(mut self, name: &str, value: Value) -> Self {
        self.fields.insert(name.to_owned(), value);
        self
    }

    pub fn text(self, name: &str) -> Self {
        let text = self.typed(name);
        self.put(name, json!(text))
    }

    /// A text that may be empty.
    fn text_or_null(self, name: &str) -> Self {
        let text = Some(self.typed(name)).filter(|text| !text.is_empty());
        self.put(name, json!(text))
    }

    /// A whole number, null where nothing was typed.
    pub fn whole(self, name: &str) -> Self {
        let number = whole(self.typed(name));
        self.put(name, number)
    }

    /// An amount, in this currency.
    fn amount(self, name: &str, currency: Currency) -> Self {
        let amount = amount(self.typed(name), currency);
        self.put(name, amount)
    }

    /// A percentage with at most two decimals.
    fn percentage(self, name: &str) -> Self {
        let percentage = decimal(self.typed(name), 2);
        self.put(name, percentage)
    }

    /// A moment on the clocks of a zone, null where nothing was typed.
    pub fn moment(self, name: &str, zone: &TimeZone) -> Self {
        let typed = self.typed(name);
        let moment = match NaiveDateTime::parse_from_str(typed, LOCAL) {
            Ok(local) => zone.moment(local).map(|moment| moment.to_rfc3339()),
            Err(_) => None,
        };
        let moment = match (typed, moment) {
            ("", _) => Value::Null,
            (_, Some(moment)) => json!(moment),
            (typed, None) => json!(typed),
        };
        self.put(name, moment)
    }
}

/// Keeps the fields that differ from what the form shows now. Drops a field that the form did not send: the form may
/// be of an older release. Also drops a time that nobody touched: the input has no seconds, and would cut them off.
fn touched(form: &Form, shown: &FormView, mut body: Map<String, Value>) -> Map<String, Value> {
    body.retain(|name, _| {
        let field = shown.fields.iter().find(|field| field.name == *name);
        field.is_none_or(|field| form.differs(name, &field.value))
    });
    body
}

pub(crate) fn event_body(form: &Form, event: &EventDetails) -> Map<String, Value> {
    let zone = form.text("time_zone").trim().parse();
    let zone: TimeZone = zone.unwrap_or_else(|_| event.time_zone.clone());
    let mut body = Body::of(form)
        .text("name")
        .text("venue")
        .text("time_zone")
        .moment("starts_at", &zone)
        .moment("ends_at", &zone)
        .whole("capacity")
        .whole("max_tickets_per_booking")
        .whole("max_per_user")
        .whole("hold_seconds")
        .fields;
    // A form of an older release doesn't have it.
    body.retain(|name, value| name != "hold_seconds" || !value.is_null());
    if zone != event.time_zone {
        // In another zone the same local times are other moments.
        return body;
    }
    touched(form, &self::event(Language::English, "", event), body)
}

pub(crate) fn type_body(form: &Form, event: &EventDetails, id: TicketTypeId) -> Map<String, Value> {
    let zone = &event.time_zone;
    let body = Body::of(form)
        .text("name")
        .text_or_null("description")
        .amount("price", event.event.currency)
        .percentage("tax_rate")
        .text("access")
        .moment("sale_from", zone)
        .moment("sale_until", zone)
        .whole("min_per_order")
        .whole("max_per_order")
        .put("archived", json!(form.text("archived") == "on"))
        .fields;
    let mut types = event.ticket_types.iter();
    match types.find(|kind| kind.ticket_type_id == id) {
        Some(kind) => {
            let shown = ticket_type(Language::English, "", event, kind);
            let has = |name: &str| shown.fields.iter().any(|field| field.name == name);
            let mut body = touched(form, &shown, body);
            body.retain(|name, _| has(name));
            body
        }
        None => body,
    }
}

pub(crate) fn new_type_body(form: &Form, event: &EventDetails) -> Map<String, Value> {
    let zone = &event.time_zone;
    let quota = Some(form.text("quotas")).filter(|name| !name.is_empty());
    let body = Body::of(form)
        .text("name")
        .text_or_null("description")
        .amount("price", event.event.currency)
        .percentage("tax_rate")
        .text("access")
        .whole("min_per_order")
        .whole("max_per_order")
        .whole("units")
        .whole("admits");
    // A ticket that takes two places also takes two units of its quota.
    let units = body.fields.get("units").cloned();
    let quotas: Vec<_> = quota
        .map(|name| json!({"name": name, "units": units}))
        .into_iter()
        .collect();
    body.put("quotas", quotas.into())
        .moment("sale_from", zone)
        .moment("sale_until", zone)
        .fields
}

pub(crate) fn quota_body(form: &Form, known: Option<&Quota>) -> Map<String, Value> {
    let body = Body::of(form).text("name").whole("capacity").fields;
    match known {
        Some(known) => touched(form, &quota(Language::English, "", known), body),
        None => body,
    }
}

pub(crate) fn code_body(
    form: &Form,
    event: &EventDetails,
    known: &PromoCodeDetails,
) -> Map<String, Value> {
    let zone = &event.time_zone;
    let body = Body::of(form)
        .whole("uses")
        .moment("valid_from", zone)
        .moment("valid_until", zone);
    let body = match known.kind {
        PromoCodeKind::None => body.fields,
        PromoCodeKind::Percent | PromoCodeKind::Fixed | PromoCodeKind::Price => {
            body.amount("value", event.event.currency).fields
        }
    };
    touched(form, &code(Language::English, "", event, known), body)
}

pub(crate) fn new_code_body(form: &Form, event: &EventDetails) -> Map<String, Value> {
    let zone = &event.time_zone;
    let only = Some(form.text("ticket_types")).filter(|id| !id.is_empty());
    let unlocks = form.text("unlocks") == "on";
    let types: Vec<_> = only
        .map(|id| json!({"ticket_type_id": id, "unlocks": unlocks}))
        .into_iter()
        .collect();
    Body::of(form)
        .text("code")
        .text("kind")
        .amount("value", event.event.currency)
        .whole("uses")
        .text("counts")
        .put("ticket_types", types.into())
        .moment("valid_from", zone)
        .moment("valid_until", zone)
        .fields
}

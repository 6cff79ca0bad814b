//! Ticket types: what an event sells. A type has a price of its own, and takes units of the event's capacity and of
//! other quotas, which it may share with other types.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use strum::{AsRefStr, EnumString};
use utoipa::ToSchema;

use super::{Event, Label, Price};
use runtime::faults::FailPoint;
use stores::db::{self, Db};
use values::ids::{EventId, PromoCode, QuotaId, TicketTypeId};
use values::money::{Currency, Money};
use values::tax::TaxRate;
use values::tickets::{Admits, Capacity, HoldSeconds, Tickets, Units};
use values::time::{self, TimeZone};

/// The most ticket types that an event has, and the most quotas beside its capacity.
pub const MAX_TYPES: usize = 50;

/// Who may buy a ticket type.
#[derive(
    Debug,
    Clone,
    Copy,
    Default,
    PartialEq,
    Eq,
    Serialize,
    Deserialize,
    ToSchema,
    AsRefStr,
    EnumString,
)]
#[serde(rename_all = "UPPERCASE")]
#[strum(serialize_all = "UPPERCASE")]
pub enum Access {
    /// Everybody.
    #[default]
    Public,
    /// Who has a code that unlocks it.
    Code,
    /// Nobody, by this API.
    Hidden,
}

/// A quota beside the event's capacity, for the ticket types that name it.
#[derive(Debug, ToSchema)]
pub struct NewQuota {
    /// No other quota of the event has this name.
    pub name: Label,
    pub capacity: Capacity,
}

/// What one ticket of a type takes of a quota.
#[derive(Debug, ToSchema)]
pub struct Draw {
    /// The quota's name.
    pub name: Label,
    /// 1 when absent.
    #[schema(required = false)]
    pub units: Option<Units>,
}

/// A ticket type of a new event.
#[derive(Debug, ToSchema)]
pub struct NewTicketType {
    /// No other type of the event has this name.
    pub name: Label,
    #[schema(required = false)]
    pub description: Option<Label>,
    /// Of one ticket; 0 is free.
    #[schema(value_type = Price)]
    pub price: Money,
    /// 0 when absent.
    #[schema(required = false)]
    pub tax_rate: Option<TaxRate>,
    /// Whether a booking without items is of this type. The first type is, where none says so.
    #[schema(required = false)]
    pub is_default: Option<bool>,
    /// PUBLIC when absent.
    #[schema(required = false)]
    pub access: Option<Access>,
    /// Null: from now on.
    #[schema(required = false)]
    pub sale_from: Option<DateTime<Utc>>,
    /// Null: until the event begins.
    #[schema(required = false)]
    pub sale_until: Option<DateTime<Utc>>,
    /// 1 when absent.
    #[schema(required = false)]
    pub min_per_order: Option<Tickets>,
    /// The event's `max_tickets_per_booking` when absent.
    #[schema(required = false)]
    pub max_per_order: Option<Tickets>,
    /// 1 when absent.
    #[schema(required = false)]
    pub admits: Option<Admits>,
    /// What one ticket takes of the event's capacity; 1 when absent.
    #[schema(required = false)]
    pub units: Option<Units>,
    /// What one ticket takes of other quotas.
    #[schema(required = false, value_type = Option<Vec<Draw>>, max_items = 50)]
    pub quotas: Vec<Draw>,
}

/// A ticket type as it is shown.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct TicketType {
    pub ticket_type_id: TicketTypeId,
    pub name: Label,
    pub description: Option<Label>,
    /// Of one ticket.
    pub price: Money,
    /// Of one ticket, with the promo code that was asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(required = false)]
    pub price_with_code: Option<Money>,
    pub tax_rate: TaxRate,
    pub is_default: bool,
    pub access: Access,
    /// Tickets left right now, of this type alone.
    pub available: i32,
    /// Whether its sales are open right now.
    pub on_sale: bool,
    pub sale_from: Option<DateTime<Utc>>,
    pub sale_until: Option<DateTime<Utc>>,
    pub min_per_order: Tickets,
    pub max_per_order: Tickets,
    /// How many people one ticket lets in.
    pub admits: Admits,
}

/// An event with its ticket types.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct EventDetails {
    #[serde(flatten)]
    pub event: Event,
    /// Where the event is, for clocks.
    pub time_zone: TimeZone,
    pub ends_at: Option<DateTime<Utc>>,
    /// How many tickets a person may have; null: any number.
    pub max_per_user: Option<Capacity>,
    /// How long tickets are held.
    pub hold_seconds: HoldSeconds,
    /// Those that everybody may buy. The answer to the request that made the event has all of them.
    pub ticket_types: Vec<TicketType>,
    /// The quotas beside the capacity.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schema(required = false)]
    pub quotas: Vec<Quota>,
    /// The ETag.
    #[serde(skip)]
    #[schema(ignore)]
    pub version: i32,
}

/// A quota beside the event's capacity, as it is shown.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct Quota {
    pub quota_id: QuotaId,
    pub name: Label,
    pub capacity: Capacity,
    /// What is left of it right now.
    pub available: i32,
}

/// The quotas, ticket types and draws of a new event. Their ids are chosen before the statement runs.
pub(super) struct Layout {
    /// Like `types` and `draws`, a JSON list of rows for the statement.
    pub quotas: String,
    pub shown_quotas: Vec<Quota>,
    pub types: String,
    pub draws: String,
    pub ids: Vec<TicketTypeId>,
}

impl Layout {
    /// The rows of an event of this capacity with these types and quotas.
    pub(super) fn of(capacity: Capacity, quotas: &[NewQuota], types: &[NewTicketType]) -> Self {
        let root = QuotaId::generate();
        let quota_ids: Vec<_> = quotas.iter().map(|_| QuotaId::generate()).collect();
        let ids: Vec<_> = types.iter().map(|_| TicketTypeId::generate()).collect();
        let row = |id: QuotaId, name: &str, kind: &str, capacity: Capacity| serde_json::json!({"quota_id": id.uuid(), "name": name, "kind": kind, "capacity": capacity});
        let mut quota_rows = vec![row(root, "Tickets", "ROOT", capacity)];
        let mut draws = Vec::new();
        for (quota, id) in quotas.iter().zip(&quota_ids) {
            quota_rows.push(row(*id, quota.name.as_str(), "SHARED", quota.capacity));
        }
        let default = default_of(types);
        let mut type_rows = Vec::new();
        for (position, (new, id)) in types.iter().zip(&ids).enumerate() {
            type_rows.push(serde_json::json!({
                "ticket_type_id": id.uuid(), "name": new.name, "description": new.description, "position": position,
                "is_default": position == default, "price_minor": new.price.minor(),
                "tax_rate_bp": new.tax_rate.unwrap_or_default().basis_points(),
                "access": new.access.unwrap_or_default().as_ref(),
                "sale_from": new.sale_from, "sale_until": new.sale_until,
                "min_per_order": new.min_per_order.unwrap_or(Tickets::ONE), "max_per_order": new.max_per_order,
                "admits": new.admits.unwrap_or(Admits::ONE),
            }));
            let mut draw = |quota: QuotaId, units: Option<Units>| {
                let units = units.unwrap_or(Units::ONE);
                draws.push(serde_json::json!(
                    {"ticket_type_id": id.uuid(), "quota_id": quota.uuid(), "units": units}
                ));
            };
            draw(root, new.units);
            for wanted in &new.quotas {
                let names = quotas.iter().zip(&quota_ids);
                for (_, quota_id) in names.filter(|(quota, _)| quota.name == wanted.name) {
                    draw(*quota_id, wanted.units);
                }
            }
        }
        let shown_quotas = quotas.iter().zip(&quota_ids).map(|(quota, id)| Quota {
            quota_id: *id,
            name: quota.name.clone(),
            capacity: quota.capacity,
            available: quota.capacity.get(),
        });
        Self {
            quotas: serde_json::Value::from(quota_rows).to_string(),
            shown_quotas: shown_quotas.collect(),
            types: serde_json::Value::from(type_rows).to_string(),
            draws: serde_json::Value::from(draws).to_string(),
            ids,
        }
    }
}

/// The place of the default type among the types of a new event.
pub fn default_of(types: &[NewTicketType]) -> usize {
    let said = types.iter().position(|new| new.is_default == Some(true));
    said.unwrap_or(0)
}

/// How many tickets of a new type there are, were it the only one sold.
pub fn most_of(new: &NewTicketType, capacity: Capacity, quotas: &[NewQuota]) -> i32 {
    let quotas = quotas.iter().map(|quota| (&quota.name, quota.capacity));
    most_by(new.units, &new.quotas, capacity, quotas)
}

/// How many tickets of a type could be sold if it were the only one on sale, given what a ticket takes of the
/// capacity and of these quotas.
pub(super) fn most_by<'q>(
    units: Option<Units>,
    draws: &[Draw],
    capacity: Capacity,
    quotas: impl Iterator<Item = (&'q Label, Capacity)> + Clone,
) -> i32 {
    let of = |capacity: Capacity, units: Option<Units>| {
        capacity.get() / units.unwrap_or(Units::ONE).get()
    };
    let draws = draws.iter().filter_map(|draw| {
        let (_, capacity) = quotas.clone().find(|(name, _)| **name == draw.name)?;
        Some(of(capacity, draw.units))
    });
    draws.fold(of(capacity, units), i32::min)
}

/// The types of an event that was just made, all of it still to be had.
pub(super) fn shown(
    types: Vec<NewTicketType>,
    ids: &[TicketTypeId],
    quotas: &[NewQuota],
    event: &Event,
) -> Vec<TicketType> {
    let default = default_of(&types);
    let now = time::now();
    let shown = types
        .into_iter()
        .zip(ids)
        .enumerate()
        .map(|(position, (new, id))| TicketType {
            ticket_type_id: *id,
            available: most_of(&new, event.capacity, quotas),
            is_default: position == default,
            access: new.access.unwrap_or_default(),
            on_sale: new.sale_from.is_none_or(|from| from <= now)
                && new.sale_until.is_none_or(|until| now < until),
            min_per_order: new.min_per_order.unwrap_or(Tickets::ONE),
            max_per_order: new.max_per_order.unwrap_or(event.max_tickets_per_booking),
            admits: new.admits.unwrap_or(Admits::ONE),
            name: new.name,
            description: new.description,
            price: new.price,
            price_with_code: None,
            tax_rate: new.tax_rate.unwrap_or_default(),
            sale_from: new.sale_from,
            sale_until: new.sale_until,
        });
    shown.collect()
}

struct TypeRow {
    ticket_type_id: TicketTypeId,
    name: Label,
    description: Option<Label>,
    price_minor: i64,
    price_with_code: Option<i64>,
    tax_rate: TaxRate,
    is_default: bool,
    access: String,
    available: i32,
    on_sale: bool,
    sale_from: Option<DateTime<Utc>>,
    sale_until: Option<DateTime<Utc>>,
    min_per_order: Tickets,
    max_per_order: Tickets,
    admits: Admits,
}

impl TypeRow {
    fn in_currency(self, currency: Currency) -> Result<TicketType, sqlx::Error> {
        let with_code = self.price_with_code;
        Ok(TicketType {
            ticket_type_id: self.ticket_type_id,
            name: self.name,
            description: self.description,
            price: Money::from_minor(self.price_minor, currency),
            price_with_code: with_code.map(|minor| Money::from_minor(minor, currency)),
            tax_rate: self.tax_rate,
            is_default: self.is_default,
            access: db::column("access", &self.access)?,
            available: self.available,
            on_sale: self.on_sale,
            sale_from: self.sale_from,
            sale_until: self.sale_until,
            min_per_order: self.min_per_order,
            max_per_order: self.max_per_order,
            admits: self.admits,
        })
    }
}

/// Which of an event's types are shown.
#[derive(Debug)]
pub(super) enum Shown<'c> {
    /// Those that everybody may buy, and those that this code lets people buy.
    With(Option<&'c PromoCode>),
    /// All that are not archived.
    All,
}

/// The types of an event, in the organizer's order. A type's `available` is the least that any of its quotas has for
/// it.
pub(super) async fn list(
    db: &Db,
    event_id: &EventId,
    currency: Currency,
    shown: &Shown<'_>,
) -> Result<Vec<TicketType>, sqlx::Error> {
    let code = match shown {
        Shown::With(code) => *code,
        Shown::All => None,
    };
    let rows = sqlx::query_as!(
        TypeRow,
        r#"
        with stock_left as (
            select q.quota_id,
                   (select coalesce(sum(free), 0)::int from stock where stock.quota_id = q.quota_id)
                   + case when q.kind = 'ROOT' then e.available else 0 end as free
              from quota q join event e using (event_id)
             where event_id = $1 and kind <> 'USES'
        )
        select t.ticket_type_id as "ticket_type_id: TicketTypeId", t.name as "name: Label",
               description as "description: Label", t.price_minor, is_default, access,
               case when o.code is not null then price_with_code(t.price_minor, o.kind, o.value) end as price_with_code,
               tax_rate_bp as "tax_rate: TaxRate",
               (select min(free / units) from ticket_type_quota d join stock_left using (quota_id)
                 where d.ticket_type_id = t.ticket_type_id) as "available!",
               e.status = 'ON_SALE' and e.starts_at > now() and (sale_from <= now()) is not false and (now() < sale_until) is not false as "on_sale!",
               sale_from, sale_until, min_per_order::int as "min_per_order!: Tickets",
               least(max_per_order, max_tickets_per_booking) as "max_per_order!: Tickets",
               admits::int as "admits!: Admits"
          from ticket_type t
          join event e using (event_id)
          left join promo_code_offer o
                 on o.event_id = t.event_id and o.code = $2 and o.ticket_type_id = t.ticket_type_id
         where t.event_id = $1 and archived_at is null
           and ($3 or access = 'PUBLIC' or access = 'CODE' and o.unlocks)
         order by position
        "#,
        event_id as &EventId,
        code as Option<&PromoCode>,
        matches!(shown, Shown::All),
    )
    .fetch_all(db.idempotent(FailPoint("GetTicketTypes")))
    .await?;
    rows.into_iter()
        .map(|row| row.in_currency(currency))
        .collect()
}

/// The quotas of an event beside its capacity: those of types that everybody may buy, or all.
pub(super) async fn quotas(
    db: &Db,
    event_id: &EventId,
    shown: &Shown<'_>,
) -> Result<Vec<Quota>, sqlx::Error> {
    sqlx::query_as!(
        Quota,
        r#"
        select quota_id as "quota_id: QuotaId", name as "name: Label", capacity as "capacity: Capacity",
               (select coalesce(sum(free), 0)::int from stock where stock.quota_id = quota.quota_id) as "available!"
          from quota
         where event_id = $1 and kind = 'SHARED'
           and ($2 or exists (select from ticket_type_quota d join ticket_type t using (ticket_type_id)
                               where d.quota_id = quota.quota_id and t.access = 'PUBLIC' and t.archived_at is null))
         order by name
        "#,
        event_id as &EventId,
        matches!(shown, Shown::All),
    )
    .fetch_all(db.idempotent(FailPoint("GetQuotas")))
    .await
}

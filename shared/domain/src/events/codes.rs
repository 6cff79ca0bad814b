//! Promo codes of an event: they lower prices, or let people buy what is not for everybody. A code of limited uses is a
//! quota like any other, which a booking takes from together with its tickets.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use strum::{AsRefStr, EnumString};
use utoipa::ToSchema;

use super::guesses::Asker;
use super::own::{MAX_READS, OwnEvent, OwnEventError};
use super::resize::resizing;
use super::{AskError, GetEventError, MAX_PRICE, TicketType, get_for};
use runtime::faults::FailPoint;
use stores::db::{self, Db};
use values::amount_schema;
use values::ids::{EventId, PromoCode, QuotaId, TicketTypeId, UserId};
use values::money::{Currency, Money};
use values::page::{Page, Paginated, Position};
use values::tickets::Capacity;

/// What a code does to a price.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema, AsRefStr, EnumString,
)]
#[serde(rename_all = "UPPERCASE")]
#[strum(serialize_all = "UPPERCASE")]
pub enum PromoCodeKind {
    /// Takes a whole percentage off each ticket, rounded half up to minor units.
    Percent,
    /// Takes an amount off each ticket, down to nothing.
    Fixed,
    /// Sets the price of each ticket.
    Price,
    /// Changes no price.
    None,
}

/// What uses up a use of a code.
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
pub enum PromoCodeCounts {
    /// A booking.
    #[default]
    Orders,
    /// Each ticket of a booking that the code is good for.
    Tickets,
}

amount_schema!(
    PromoCodeValue,
    "A whole percentage from 1 to 100 for PERCENT; an amount of the event's currency for FIXED and PRICE.",
    0,
    MAX_PRICE
);

/// A type that a code is good for.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct PromoCodeType {
    pub ticket_type_id: TicketTypeId,
    /// Whether the code lets people buy the type, where its access is CODE.
    #[schema(required = false)]
    pub unlocks: bool,
}

/// A promo code to be made.
#[derive(Debug, Clone, ToSchema)]
#[schema(example = json!({"code": "EARLY", "kind": "PERCENT", "value": 20, "uses": 100}))]
pub struct NewPromoCode {
    pub code: PromoCode,
    pub kind: PromoCodeKind,
    /// Required unless `kind` is NONE.
    #[schema(required = false, value_type = Option<PromoCodeValue>)]
    pub value: PromoCodeAmount,
    /// How often it can be used; null: any number of times.
    #[schema(required = false)]
    pub uses: Option<Capacity>,
    /// ORDERS when absent.
    #[schema(required = false, value_type = Option<PromoCodeCounts>)]
    pub counts: PromoCodeCounts,
    /// Null: from now on.
    #[schema(required = false)]
    pub valid_from: Option<DateTime<Utc>>,
    /// Null: until the event begins.
    #[schema(required = false)]
    pub valid_until: Option<DateTime<Utc>>,
    /// The types that it is good for: all, when absent. At most 50.
    #[schema(required = false, value_type = Option<Vec<PromoCodeType>>, max_items = 50)]
    pub ticket_types: Vec<PromoCodeType>,
}

/// Changes of a promo code: what is absent stays as it is.
#[derive(Debug, ToSchema)]
pub struct PromoCodeChange {
    #[schema(required = false, value_type = PromoCodeValue)]
    pub value: Option<PromoCodeAmount>,
    /// Null: any number of times.
    #[schema(required = false, value_type = Option<Capacity>)]
    pub uses: Option<Option<Capacity>>,
    #[schema(required = false, value_type = Option<DateTime<Utc>>)]
    pub valid_from: Option<Option<DateTime<Utc>>>,
    #[schema(required = false, value_type = Option<DateTime<Utc>>)]
    pub valid_until: Option<Option<DateTime<Utc>>>,
    /// Empty: all.
    #[schema(required = false, value_type = Vec<PromoCodeType>, max_items = 50)]
    pub ticket_types: Option<Vec<PromoCodeType>>,
}

/// The number that a code takes off, or that a ticket costs with it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(untagged)]
pub enum PromoCodeAmount {
    Percent(i64),
    Amount(Money),
    Nothing,
}

impl PromoCodeAmount {
    fn stored(self) -> i64 {
        match self {
            Self::Percent(percent) => percent,
            Self::Amount(amount) => amount.minor(),
            Self::Nothing => 0,
        }
    }

    fn of(kind: PromoCodeKind, stored: i64, currency: Currency) -> Self {
        match kind {
            PromoCodeKind::Percent => Self::Percent(stored),
            PromoCodeKind::Fixed | PromoCodeKind::Price => {
                Self::Amount(Money::from_minor(stored, currency))
            }
            PromoCodeKind::None => Self::Nothing,
        }
    }
}

/// A promo code as its organizer sees it.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct PromoCodeDetails {
    pub code: PromoCode,
    pub kind: PromoCodeKind,
    #[schema(value_type = Option<PromoCodeValue>)]
    pub value: PromoCodeAmount,
    /// Null: any number of times.
    pub uses: Option<Capacity>,
    /// How many of its uses are taken right now; null where they are not limited.
    pub used: Option<i32>,
    pub counts: PromoCodeCounts,
    pub valid_from: Option<DateTime<Utc>>,
    pub valid_until: Option<DateTime<Utc>>,
    /// The types that it is good for: all, where none is named.
    pub ticket_types: Vec<PromoCodeType>,
}

/// What a promo code is good for right now.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct PromoCodeOffer {
    pub code: PromoCode,
    /// Each with its `price_with_code`.
    pub ticket_types: Vec<TicketType>,
}

/// Why a promo code was not made or changed.
#[derive(Debug, thiserror::Error)]
pub enum PromoCodeError {
    #[error("no event of the organizer's")]
    Event(#[from] OwnEventError),
    #[error("the event has no such code")]
    NotFound,
    #[error("too many codes that the event doesn't have")]
    TooManyGuesses { retry_after: u32 },
    #[error("the event has a code of this name")]
    Exists,
    #[error("the event has no such ticket type: type {place}")]
    TypeNotFound { place: usize },
    #[error("the code would end before it begins")]
    EndsBeforeItBegins,
    #[error("{least} uses are taken")]
    BelowUsed { least: i32 },
    #[error("others kept changing the event")]
    Contended,
    #[error("the event store")]
    Database(#[from] sqlx::Error),
}

/// Makes a promo code of `event`.
pub async fn create_code(
    db: &Db,
    event: &OwnEvent,
    new: NewPromoCode,
) -> Result<PromoCodeDetails, PromoCodeError> {
    check_types(db, event, &new.ticket_types).await?;
    // Not repeated, because a repeat would find the code taken by the first try.
    let made = sqlx::query!(
        r#"
        with held as materialized (
            select event_id from event where event_id = $1 and organizer_id = $12 for no key update
        ), uses as (
            insert into quota (quota_id, event_id, name, kind, capacity)
            select $2, event_id, $3, 'USES', $4::int from held where $4::int is not null
            returning quota_id, capacity
        ), opened as (
            insert into stock (quota_id, shard, free)
            select quota_id, shard, free from uses cross join shards_of(capacity)
        ), made as (
            insert into promo_code (event_id, code, kind, value, counts, quota_id, valid_from, valid_until)
            select event_id, $3, $5, $6, $7, (select quota_id from uses), $8, $9 from held
            returning event_id, code
        ), named as (
            insert into promo_code_type (event_id, code, ticket_type_id, unlocks)
            select made.event_id, made.code, named.id, named.unlocks
              from made, unnest($10::uuid[], $11::bool[]) as named (id, unlocks)
        )
        update event e set version = version + 1 from made where e.event_id = made.event_id
        "#,
        &event.event_id as &EventId,
        QuotaId::generate() as QuotaId,
        &new.code as &PromoCode,
        new.uses as Option<Capacity>,
        new.kind.as_ref(),
        new.value.stored(),
        new.counts.as_ref(),
        new.valid_from,
        new.valid_until,
        &ids(&new.ticket_types) as &[TicketTypeId],
        &unlocks(&new.ticket_types),
        event.organizer as UserId,
    )
    .execute(db.once(FailPoint("CreateCode")))
    .await;
    match made {
        Ok(_) => Ok(PromoCodeDetails {
            used: new.uses.map(|_| 0),
            code: new.code,
            kind: new.kind,
            value: new.value,
            uses: new.uses,
            counts: new.counts,
            valid_from: new.valid_from,
            valid_until: new.valid_until,
            ticket_types: new.ticket_types,
        }),
        // `quota_pkey` is violated if this same statement was sent twice.
        Err(error)
            if db::violates(&error, "promo_code_pkey") || db::violates(&error, "quota_pkey") =>
        {
            Err(PromoCodeError::Exists)
        }
        Err(error) => Err(error.into()),
    }
}

fn ids(types: &[PromoCodeType]) -> Vec<TicketTypeId> {
    types.iter().map(|named| named.ticket_type_id).collect()
}

fn unlocks(types: &[PromoCodeType]) -> Vec<bool> {
    types.iter().map(|named| named.unlocks).collect()
}

/// Checks that the event has all of these types. Types are archived, never deleted, so this stays true.
async fn check_types(
    db: &Db,
    event: &OwnEvent,
    types: &[PromoCodeType],
) -> Result<(), PromoCodeError> {
    let known = sqlx::query_scalar!(
        r#"select ticket_type_id as "id: TicketTypeId" from ticket_type where event_id = $1"#,
        &event.event_id as &EventId,
    )
    .fetch_all(db.idempotent(FailPoint("ListTypesOfEvent")))
    .await?;
    let unknown = types
        .iter()
        .position(|named| !known.contains(&named.ticket_type_id));
    unknown.map_or(Ok(()), |place| Err(PromoCodeError::TypeNotFound { place }))
}

/// A page of the promo codes of `event`, by their names.
pub async fn list_codes(
    db: &Db,
    event: &OwnEvent,
    page: &Page<PromoCode>,
) -> Result<Paginated<PromoCodeDetails>, sqlx::Error> {
    let after = page.after().map(|position| &position.id);
    let codes = read_codes(db, event, None, after, page.rows_to_read()).await?;
    // They have no time: their names order them.
    Ok(page.of(codes, |code| Position {
        at: DateTime::UNIX_EPOCH,
        id: code.code.clone(),
    }))
}

async fn read_codes(
    db: &Db,
    event: &OwnEvent,
    only: Option<&PromoCode>,
    after: Option<&PromoCode>,
    limit: i64,
) -> Result<Vec<PromoCodeDetails>, sqlx::Error> {
    let rows = sqlx::query!(
        r#"
        select code as "code: PromoCode", c.kind, value, counts, q.capacity as "uses?: Capacity",
               q.capacity - (select sum(free)::int from stock where stock.quota_id = q.quota_id) as used,
               valid_from, valid_until,
               array(select ticket_type_id from promo_code_type t
                      where (t.event_id, t.code) = (c.event_id, c.code) order by ticket_type_id) as "types!: Vec<TicketTypeId>",
               array(select unlocks from promo_code_type t
                      where (t.event_id, t.code) = (c.event_id, c.code) order by ticket_type_id) as "unlocks!"
          from promo_code c
          left join quota q using (quota_id)
         where c.event_id = $1 and ($2::text is null or code = $2) and ($3::text is null or code > $3)
         order by code
         limit $4
        "#,
        &event.event_id as &EventId,
        only as Option<&PromoCode>,
        after as Option<&PromoCode>,
        limit,
    )
    .fetch_all(db.idempotent(FailPoint("ListCodes")))
    .await?;
    let codes = rows.into_iter().map(|row| {
        let kind = db::column("kind", &row.kind)?;
        let types = row.types.into_iter().zip(row.unlocks);
        let types = types.map(|(ticket_type_id, unlocks)| PromoCodeType {
            ticket_type_id,
            unlocks,
        });
        Ok(PromoCodeDetails {
            code: row.code,
            kind,
            value: PromoCodeAmount::of(kind, row.value, event.currency),
            uses: row.uses,
            used: row.used,
            counts: db::column("counts", &row.counts)?,
            valid_from: row.valid_from,
            valid_until: row.valid_until,
            ticket_types: types.collect(),
        })
    });
    codes.collect()
}

/// One promo code of `event`.
pub async fn own_code(
    db: &Db,
    event: &OwnEvent,
    code: &PromoCode,
) -> Result<PromoCodeDetails, PromoCodeError> {
    let found = read_codes(db, event, Some(code), None, 1).await?;
    found.into_iter().next().ok_or(PromoCodeError::NotFound)
}

/// Changes a promo code of an event: reads it, merges `change` into it and writes it, and starts again if the
/// event changed meanwhile.
pub async fn change_code(
    db: &Db,
    event: &OwnEvent,
    code: &PromoCode,
    change: &PromoCodeChange,
) -> Result<PromoCodeDetails, PromoCodeError> {
    let mut event = event.clone();
    for _ in 0..MAX_READS {
        let mut changed = own_code(db, &event, code).await?;
        if let Some(types) = &change.ticket_types {
            check_types(db, &event, types).await?;
            changed.ticket_types.clone_from(types);
        }
        changed.value = change.value.unwrap_or(changed.value);
        changed.uses = change.uses.unwrap_or(changed.uses);
        changed.valid_from = change.valid_from.unwrap_or(changed.valid_from);
        changed.valid_until = change.valid_until.unwrap_or(changed.valid_until);
        if changed
            .valid_from
            .zip(changed.valid_until)
            .is_some_and(|(from, until)| until <= from)
        {
            return Err(PromoCodeError::EndsBeforeItBegins);
        }
        if write_code(db, &event, &changed).await? {
            return own_code(db, &event, code).await;
        }
        event = event.read_again(db).await?;
    }
    Err(PromoCodeError::Contended)
}

/// Writes a code's new state. Returns whether the event was still as it was read; if not, nothing is written.
async fn write_code(
    db: &Db,
    event: &OwnEvent,
    code: &PromoCodeDetails,
) -> Result<bool, PromoCodeError> {
    let written = resizing!(
        r#"
            select q.quota_id, q.capacity, $5::int as wanted, q.name
              from held join promo_code c using (event_id) join quota q using (quota_id)
             where c.code = $4 and $5::int is not null
        "#,
        r#"uses as (
            insert into quota (quota_id, event_id, name, kind, capacity)
            select $6, c.event_id, c.code, 'USES', $5
              from able join promo_code c using (event_id)
             where c.code = $4 and c.quota_id is null and $5::int is not null
            returning quota_id, capacity
        ), opened as (
            insert into stock (quota_id, shard, free)
            select quota_id, shard, free from uses cross join shards_of(capacity)
        ), changed as (
            update promo_code c
               set value = $7, valid_from = $8, valid_until = $9,
                   quota_id = case when $5::int is not null then coalesce(c.quota_id, (select quota_id from uses)) end
              from able
             where c.event_id = able.event_id and c.code = $4
            returning c.event_id
        ), dropped as (
            delete from promo_code_type t
             using changed
             where t.event_id = changed.event_id and t.code = $4 and t.ticket_type_id <> all ($10::uuid[])
        ), named as (
            insert into promo_code_type (event_id, code, ticket_type_id, unlocks)
            select changed.event_id, $4, named.id, named.unlocks
              from changed, unnest($10::uuid[], $11::bool[]) as named (id, unlocks)
                on conflict (event_id, code, ticket_type_id) do update set unlocks = excluded.unlocks
        ), bumped as (
            update event e set version = version + 1 from changed where e.event_id = changed.event_id
        )"#,
        &event.event_id as &EventId,
        event.organizer as UserId,
        event.version,
        &code.code as &PromoCode,
        code.uses as Option<Capacity>,
        QuotaId::generate() as QuotaId,
        code.value.stored(),
        code.valid_from,
        code.valid_until,
        &ids(&code.ticket_types) as &[TicketTypeId],
        &unlocks(&code.ticket_types),
    )
    .fetch_one(db.idempotent(FailPoint("ChangeCode")))
    .await?;
    match written.least {
        Some(least) => Err(PromoCodeError::BelowUsed { least }),
        None => Ok(written.able),
    }
}

/// What a promo code of an event is good for right now.
///
/// # Errors
/// The code is good for nothing now, or there is no such event.
pub async fn offer_of(
    db: &Db,
    event_id: &EventId,
    code: PromoCode,
    asker: Asker,
) -> Result<PromoCodeOffer, PromoCodeError> {
    let event = get_for(db, event_id, Some(&code), asker)
        .await
        .map_err(|error| match error {
            AskError::Event(GetEventError::NotFound) => {
                PromoCodeError::Event(OwnEventError::NotFound)
            }
            AskError::TooManyGuesses { retry_after } => {
                PromoCodeError::TooManyGuesses { retry_after }
            }
            AskError::Event(GetEventError::Database(cause)) => cause.into(),
        })?;
    let mut ticket_types = event.ticket_types;
    ticket_types.retain(|kind| kind.price_with_code.is_some());
    if ticket_types.is_empty() {
        return Err(PromoCodeError::NotFound);
    }
    Ok(PromoCodeOffer { code, ticket_types })
}

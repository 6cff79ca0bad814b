//! Adding ticket types to an event that is sold, and changing those that it has.

use super::Label;
use super::edit::{EditError, TicketTypeChange, invalid};
use super::own::{MAX_READS, OwnEvent};
use super::types::{Access, Draw, EventDetails, MAX_TYPES, NewTicketType, TicketType, most_by};
use runtime::faults::FailPoint;
use stores::db::Db;
use values::ids::{EventId, TicketTypeId, UserId};
use values::tax::TaxRate;
use values::tickets::{Admits, Tickets, Units};

/// Adds a ticket type to an event, after those that it has.
pub async fn add_type(
    db: &Db,
    event: &OwnEvent,
    new: &NewTicketType,
) -> Result<TicketType, EditError> {
    let id = TicketTypeId::generate();
    let mut event = event.clone();
    for _ in 0..MAX_READS {
        let now = event.details(db).await?;
        if now
            .ticket_types
            .iter()
            .any(|kind| kind.ticket_type_id == id)
        {
            // Added, though its answer was lost.
            return type_of(now, id);
        }
        if now.ticket_types.len() >= MAX_TYPES {
            return Err(invalid("", "the event has 50 ticket types already"));
        }
        check_name(&now, &new.name, None)?;
        check_draws(&now, &new.quotas)?;
        check_new(&now, new)?;
        if insert_type(db, &event, id, new).await? {
            return type_of(event.details(db).await?, id);
        }
        event = event.read_again(db).await?;
    }
    Err(EditError::Contended)
}

async fn insert_type(
    db: &Db,
    event: &OwnEvent,
    id: TicketTypeId,
    new: &NewTicketType,
) -> Result<bool, sqlx::Error> {
    let access = new.access.unwrap_or_default();
    let (names, units) = draws(&new.quotas);
    let inserted = sqlx::query!(
        r#"
        with held as materialized (
            select event_id from event where event_id = $1 and organizer_id = $2 and version = $3 for no key update
        ), made as (
            insert into ticket_type (ticket_type_id, event_id, name, description, position, price_minor, access, sale_from,
                                     sale_until, min_per_order, max_per_order, admits, tax_rate_bp)
            select $4, event_id, $5, $6, (select max(position) + 1 from ticket_type t where t.event_id = held.event_id),
                   $7, $8, $9, $10, $11, $12, $13, $17
              from held
            returning event_id
        ), draws as (
            insert into ticket_type_quota (ticket_type_id, quota_id, units)
            select $4, q.quota_id, coalesce(wanted.units, $14)
              from made
              join quota q using (event_id)
              left join unnest($15::text[], $16::int[]) as wanted (name, units) on q.kind = 'SHARED' and q.name = wanted.name
             where q.kind = 'ROOT' or wanted.name is not null
        )
        update event e set version = version + 1 from made where e.event_id = made.event_id
        "#,
        &event.event_id as &EventId,
        event.organizer as UserId,
        event.version,
        id as TicketTypeId,
        &new.name as &Label,
        new.description.as_ref() as Option<&Label>,
        new.price.minor(),
        access.as_ref(),
        new.sale_from,
        new.sale_until,
        small(new.min_per_order.unwrap_or(Tickets::ONE).get()),
        new.max_per_order.map(|most| small(most.get())),
        small(new.admits.unwrap_or(Admits::ONE).get()),
        new.units.unwrap_or(Units::ONE).get(),
        &names,
        &units,
        new.tax_rate.unwrap_or_default() as TaxRate,
    )
    .execute(db.idempotent(FailPoint("CreateTicketType")))
    .await?;
    Ok(inserted.rows_affected() > 0)
}

/// Changes a ticket type of an event.
pub async fn change_type(
    db: &Db,
    event: &OwnEvent,
    id: TicketTypeId,
    change: &TicketTypeChange,
) -> Result<TicketType, EditError> {
    let mut event = event.clone();
    for _ in 0..MAX_READS {
        let now = event.details(db).await?;
        if let Some(name) = &change.name {
            check_name(&now, name, Some(id))?;
        }
        if let Some(draws) = &change.quotas {
            check_draws(&now, draws)?;
        }
        let draws = change.quotas.as_deref().unwrap_or_default();
        check_units(&now, change.units, draws)?;
        let most_of_event = now.event.max_tickets_per_booking;
        let changed = merged(type_of(now, id)?, change, most_of_event);
        check(&changed, change, most_of_event)?;
        match write_type(db, &event, &changed, change).await? {
            Written::Changed if change.archived == Some(true) => return Ok(changed),
            Written::Changed => return type_of(event.details(db).await?, id),
            Written::Sold => return Err(EditError::TypeSold),
            Written::Stale => event = event.read_again(db).await?,
        }
    }
    Err(EditError::Contended)
}

fn merged(now: TicketType, change: &TicketTypeChange, most_of_event: Tickets) -> TicketType {
    let most = change
        .max_per_order
        .map(|most| most.unwrap_or(most_of_event));
    TicketType {
        name: change.name.clone().unwrap_or(now.name),
        description: change.description.clone().unwrap_or(now.description),
        price: change.price.unwrap_or(now.price),
        tax_rate: change.tax_rate.unwrap_or(now.tax_rate),
        access: change.access.unwrap_or(now.access),
        sale_from: change.sale_from.unwrap_or(now.sale_from),
        sale_until: change.sale_until.unwrap_or(now.sale_until),
        min_per_order: change.min_per_order.unwrap_or(now.min_per_order),
        max_per_order: most.unwrap_or(now.max_per_order),
        admits: change.admits.unwrap_or(now.admits),
        ..now
    }
}

fn check(
    changed: &TicketType,
    change: &TicketTypeChange,
    most_of_event: Tickets,
) -> Result<(), EditError> {
    if changed
        .sale_from
        .zip(changed.sale_until)
        .is_some_and(|(from, until)| until <= from)
    {
        return Err(invalid("/sale_until", "must be after sale_from"));
    }
    if change.max_per_order.is_some() && changed.max_per_order > most_of_event {
        let detail = "must be at most the event's max_tickets_per_booking";
        return Err(invalid("/max_per_order", detail));
    }
    let ordered = change.min_per_order.is_some() || change.max_per_order.is_some();
    if ordered && changed.min_per_order > changed.max_per_order {
        return Err(invalid("/min_per_order", "must be at most max_per_order"));
    }
    if changed.is_default && changed.access != Access::Public {
        return Err(invalid("/access", "must be PUBLIC for the default type"));
    }
    Ok(())
}

/// Makes the same checks as `POST /events` does for a ticket type.
fn check_new(event: &EventDetails, new: &NewTicketType) -> Result<(), EditError> {
    let most_of_event = event.event.max_tickets_per_booking;
    if new.max_per_order.is_some_and(|most| most > most_of_event) {
        let detail = "must be at most the event's max_tickets_per_booking";
        return Err(invalid("/max_per_order", detail));
    }
    let most = new.max_per_order.unwrap_or(most_of_event);
    if new.min_per_order.is_some_and(|least| least > most) {
        return Err(invalid("/min_per_order", "must be at most max_per_order"));
    }
    check_units(event, new.units, &new.quotas)
}

/// Refuses a type that takes more of the capacity, or of a quota, than there is.
fn check_units(
    event: &EventDetails,
    units: Option<Units>,
    draws: &[Draw],
) -> Result<(), EditError> {
    let quotas = event.quotas.iter();
    let quotas = quotas.map(|quota| (&quota.name, quota.capacity));
    if most_by(units, draws, event.event.capacity, quotas) == 0 {
        let detail = "must not exceed the capacity of the event or of a quota";
        return Err(invalid("/units", detail));
    }
    Ok(())
}

enum Written {
    Changed,
    /// Not changed: tickets of the type were booked, and the change is not allowed after that.
    Sold,
    /// Others changed the event.
    Stale,
}

async fn write_type(
    db: &Db,
    event: &OwnEvent,
    changed: &TicketType,
    change: &TicketTypeChange,
) -> Result<Written, EditError> {
    if change.archived == Some(true) && changed.is_default {
        return Err(invalid("/archived", "can't be true of the default type"));
    }
    let fixed = change.admits.is_some() || change.units.is_some() || change.quotas.is_some();
    let (names, units) = draws(change.quotas.as_deref().unwrap_or_default());
    let written = sqlx::query!(
        r#"
        with held as materialized (
            select event_id from event where event_id = $1 and organizer_id = $2 and version = $3 for no key update
        ), able as (
            select event_id
              from held
             where not $14::bool
                or not exists (select from booking b left join booking_item i using (booking_id)
                                where b.event_id = held.event_id
                                  and (i.ticket_type_id = $4 or i.ticket_type_id is null and $13))
        ), changed as (
            update ticket_type t
               set name = $5, description = $6, price_minor = $7, access = $8, sale_from = $9, sale_until = $10,
                   min_per_order = $11, max_per_order = case when $18 then $12 else t.max_per_order end, admits = $19,
                   archived_at = case when $20 then now() end, tax_rate_bp = $22
              from able
             where t.event_id = able.event_id and t.ticket_type_id = $4
            returning t.event_id
        ), wanted as (
            select q.quota_id, coalesce(wanted.units, $15) as units
              from changed
              join quota q using (event_id)
              left join unnest($16::text[], $17::int[]) as wanted (name, units) on q.kind = 'SHARED' and q.name = wanted.name
             where q.kind = 'ROOT' and $15::int is not null or wanted.name is not null
        ), dropped as (
            delete from ticket_type_quota d
             using changed, quota q
             where d.ticket_type_id = $4 and q.quota_id = d.quota_id and q.kind = 'SHARED' and $21
               and d.quota_id not in (select quota_id from wanted)
        ), drawn as (
            insert into ticket_type_quota (ticket_type_id, quota_id, units)
            select $4, quota_id, units from wanted
                on conflict (ticket_type_id, quota_id) do update set units = excluded.units
        ), bumped as (
            update event e
               set version = version + 1, price_minor = case when $13 then $7 else e.price_minor end
              from changed
             where e.event_id = changed.event_id
        )
        select exists (select from held) as "held!", exists (select from able) as "able!"
        "#,
        &event.event_id as &EventId,
        event.organizer as UserId,
        event.version,
        changed.ticket_type_id as TicketTypeId,
        &changed.name as &Label,
        changed.description.as_ref() as Option<&Label>,
        changed.price.minor(),
        changed.access.as_ref(),
        changed.sale_from,
        changed.sale_until,
        small(changed.min_per_order.get()),
        change.max_per_order.flatten().map(|most| small(most.get())),
        changed.is_default,
        fixed,
        change.units.map(Units::get),
        &names,
        &units,
        change.max_per_order.is_some(),
        small(changed.admits.get()),
        change.archived == Some(true),
        change.quotas.is_some(),
        changed.tax_rate as TaxRate,
    )
    .fetch_one(db.idempotent(FailPoint("ChangeTicketType")))
    .await?;
    Ok(match (written.held, written.able) {
        (_, true) => Written::Changed,
        (true, false) => Written::Sold,
        (false, false) => Written::Stale,
    })
}

/// The number as PostgreSQL stores it, a `smallint`. The types of these numbers keep them small enough.
fn small(number: i32) -> i16 {
    i16::try_from(number).unwrap_or(i16::MAX)
}

fn draws(draws: &[Draw]) -> (Vec<String>, Vec<i32>) {
    let draws = draws.iter().map(|draw| {
        let units = draw.units.unwrap_or(Units::ONE);
        (draw.name.as_str().to_owned(), units.get())
    });
    draws.unzip()
}

fn check_name(
    event: &EventDetails,
    name: &Label,
    but: Option<TicketTypeId>,
) -> Result<(), EditError> {
    let mut others = event
        .ticket_types
        .iter()
        .filter(|kind| Some(kind.ticket_type_id) != but);
    if others.any(|kind| kind.name == *name) {
        return Err(invalid("/name", "is already used by another ticket type"));
    }
    Ok(())
}

fn check_draws(event: &EventDetails, draws: &[Draw]) -> Result<(), EditError> {
    let unknown = draws
        .iter()
        .position(|draw| !event.quotas.iter().any(|quota| quota.name == draw.name));
    unknown.map_or(Ok(()), |place| {
        let detail = "must be the name of one of the event's quotas";
        Err(invalid(format!("/quotas/{place}/name"), detail))
    })
}

fn type_of(event: EventDetails, id: TicketTypeId) -> Result<TicketType, EditError> {
    let mut types = event.ticket_types.into_iter();
    types
        .find(|kind| kind.ticket_type_id == id)
        .ok_or(EditError::NotFound("ticket type"))
}

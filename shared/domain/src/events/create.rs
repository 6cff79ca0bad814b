//! Putting an event on sale: the event, its quotas with their stock, and its ticket types, in one statement.

use super::types::{self, Layout};
use super::{Event, EventDetails, Label, NewEvent, event_rows};
use runtime::faults::FailPoint;
use runtime::telemetry;
use stores::db::{self, Db};
use values::ids::{EventId, UserId};
use values::tickets::{Capacity, HoldSeconds, Tickets};
use values::time::TimeZone;

/// Why an event can't be made.
#[derive(Debug, thiserror::Error)]
pub enum CreateEventError {
    #[error("an event of this id exists")]
    Exists,
    #[error("the event store")]
    Database(#[from] sqlx::Error),
}

/// Puts an event on sale, with its ticket types; whoever takes an id first has it.
pub async fn create(
    db: &Db,
    organizer: UserId,
    mut event: NewEvent,
) -> Result<EventDetails, CreateEventError> {
    let event_id = event.event_id.take().unwrap_or_else(EventId::generate);
    telemetry::note("event_id", &event_id);
    if event.ticket_types.is_empty() {
        event.ticket_types.push(event.only_type());
    }
    let Layout {
        quotas,
        shown_quotas,
        types,
        draws,
        ids,
    } = Layout::of(event.capacity, &event.quotas, &event.ticket_types);
    // Not repeated, because a repeat would find the id taken by the first try.
    let inserted = event_rows!(
        r#"
        with made as (
            insert into event (event_id, organizer_id, name, venue, starts_at, price_minor, currency,
                               capacity, available, max_tickets_per_booking, time_zone, ends_at, max_per_user,
                               hold_seconds)
            values ($1, $2, $3, $4, $5, $6, $7, $8, 0, $9, $10, $11, $15, $16)
            returning *
        ), quotas as (
            insert into quota (quota_id, event_id, name, kind, capacity)
            select q.quota_id, event_id, q.name, q.kind, q.capacity
              from made, jsonb_to_recordset($12::text::jsonb) as q (quota_id uuid, name text, kind text, capacity int)
            returning quota_id, capacity
        ), opened as (
            insert into stock (quota_id, shard, free)
            select quota_id, shard, free from quotas cross join shards_of(capacity)
        ), types as (
            insert into ticket_type (ticket_type_id, event_id, name, description, position, is_default, price_minor,
                                     access, sale_from, sale_until, min_per_order, max_per_order, admits, tax_rate_bp)
            select t.ticket_type_id, event_id, t.name, t.description, t.position, t.is_default, t.price_minor,
                   t.access, t.sale_from, t.sale_until, t.min_per_order, t.max_per_order, t.admits,
                   t.tax_rate_bp
              from made, jsonb_to_recordset($13::text::jsonb)
                   as t (ticket_type_id uuid, name text, description text, position smallint, is_default boolean,
                         price_minor bigint, access text, sale_from timestamptz, sale_until timestamptz,
                         min_per_order smallint, max_per_order smallint, admits smallint, tax_rate_bp integer)
        ), draws as (
            insert into ticket_type_quota (ticket_type_id, quota_id, units)
            select d.ticket_type_id, d.quota_id, d.units
              from jsonb_to_recordset($14::text::jsonb) as d (ticket_type_id uuid, quota_id uuid, units smallint)
        )
        "#,
        r#"capacity as "available!""#,
        " from made",
        &event_id as &EventId,
        organizer as UserId,
        &event.name as &Label,
        &event.venue as &Label,
        event.starts_at,
        event.price.minor(),
        event.price.currency().code(),
        event.capacity as Capacity,
        event
            .max_tickets_per_booking
            .unwrap_or(Tickets::DEFAULT_MAX) as Tickets,
        event.time_zone.clone().unwrap_or_default() as TimeZone,
        event.ends_at,
        quotas,
        types,
        draws,
        event.max_per_user as Option<Capacity>,
        event.hold_seconds.unwrap_or(HoldSeconds::DEFAULT) as HoldSeconds,
    )
    .fetch_one(db.once(FailPoint("CreateEvent")))
    .await;
    let made: Event = match inserted {
        Ok(row) => row.try_into()?,
        Err(error) if db::violates(&error, "event_pkey") => return Err(CreateEventError::Exists),
        Err(error) => return Err(error.into()),
    };
    Ok(EventDetails {
        ticket_types: types::shown(event.ticket_types, &ids, &event.quotas, &made),
        time_zone: made.time_zone.clone(),
        ends_at: event.ends_at,
        max_per_user: event.max_per_user,
        hold_seconds: event.hold_seconds.unwrap_or(HoldSeconds::DEFAULT),
        quotas: shown_quotas,
        version: 1,
        event: made,
    })
}

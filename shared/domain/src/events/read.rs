//! Reading events: one with its ticket types, and the list of those to come.

use super::guesses::{self, Asker};
use super::{Event, EventDetails, event_rows, types};
use runtime::faults::FailPoint;
use stores::db::Db;
use values::ids::{EventId, PromoCode};
use values::page::{Page, Paginated, Position};

/// Why an event can't be shown.
#[derive(Debug, thiserror::Error)]
pub enum GetEventError {
    #[error("there is no such event")]
    NotFound,
    #[error("the event store")]
    Database(#[from] sqlx::Error),
}

/// Why an event can't be shown to somebody who asks with a code.
#[derive(Debug, thiserror::Error)]
pub enum AskError {
    #[error("too many codes that the event doesn't have")]
    TooManyGuesses { retry_after: u32 },
    #[error(transparent)]
    Event(#[from] GetEventError),
}

impl From<sqlx::Error> for AskError {
    fn from(cause: sqlx::Error) -> Self {
        Self::Event(cause.into())
    }
}

/// One event, with the ticket types that everybody may buy and those that the promo code unlocks, at the prices with
/// that code. An unknown code changes nothing.
pub async fn get(
    db: &Db,
    event_id: &EventId,
    code: Option<&PromoCode>,
) -> Result<EventDetails, GetEventError> {
    details(db, event_id, &types::Shown::With(code)).await
}

/// The same for `asker`, who may be guessing codes.
///
/// # Errors
/// [`AskError::TooManyGuesses`] after many codes that the event doesn't have.
pub async fn get_for(
    db: &Db,
    event_id: &EventId,
    code: Option<&PromoCode>,
    asker: Asker,
) -> Result<EventDetails, AskError> {
    if code.is_some()
        && let Some(retry_after) = guesses::wait(db, event_id, asker).await?
    {
        return Err(AskError::TooManyGuesses { retry_after });
    }
    let event = get(db, event_id, code).await?;
    let mut types = event.ticket_types.iter();
    if code.is_some() && types.all(|kind| kind.price_with_code.is_none()) {
        guesses::count_miss(db, event_id, asker).await?;
    }
    Ok(event)
}

pub(super) async fn details(
    db: &Db,
    event_id: &EventId,
    shown: &types::Shown<'_>,
) -> Result<EventDetails, GetEventError> {
    let row = event_rows!("where event_id = $1", event_id as &EventId)
        .fetch_optional(db.idempotent(FailPoint("GetEvent")))
        .await?
        .ok_or(GetEventError::NotFound)?;
    let (ends_at, max_per_user) = (row.ends_at, row.max_per_user);
    let (hold_seconds, version) = (row.hold_seconds, row.version);
    let event: Event = row.try_into()?;
    Ok(EventDetails {
        ticket_types: types::list(db, event_id, event.currency, shown).await?,
        quotas: types::quotas(db, event_id, shown).await?,
        time_zone: event.time_zone.clone(),
        ends_at,
        max_per_user,
        hold_seconds,
        version,
        event,
    })
}

/// A page of the events to come, soonest first.
pub async fn list(db: &Db, page: &Page<EventId>) -> Result<Paginated<Event>, sqlx::Error> {
    let after = page.after();
    let rows = event_rows!(
        r#"
         where status = 'ON_SALE' and starts_at > now()
           and ($1::timestamptz is null or (starts_at, event_id) > ($1, $2))
         order by starts_at, event_id
         limit $3
        "#,
        after.map(|position| position.at),
        after.map(|position| &position.id) as Option<&EventId>,
        page.rows_to_read(),
    )
    .fetch_all(db.idempotent(FailPoint("ListEvents")))
    .await?;
    let events = rows
        .into_iter()
        .map(Event::try_from)
        .collect::<Result<Vec<_>, _>>()?;
    Ok(page.of(events, |event| Position {
        at: event.starts_at,
        id: event.event_id.clone(),
    }))
}

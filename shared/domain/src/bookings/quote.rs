//! What a basket would cost. Nothing is taken.

use serde::Serialize;
use utoipa::ToSchema;

use super::Item;
use crate::events::{self, GetEventError};
use stores::db::Db;
use values::ids::{EventId, TicketTypeId};
use values::money::{Currency, Money};
use values::tickets::Tickets;

/// A basket that somebody thinks of.
#[derive(Debug, ToSchema)]
pub struct QuoteRequest {
    /// Each of another type.
    #[schema(required = true, min_items = 1, max_items = 50)]
    pub items: Vec<Item>,
}

/// What one line of a basket costs.
#[derive(Debug, Serialize, ToSchema)]
pub struct QuoteLine {
    pub ticket_type_id: TicketTypeId,
    pub name: String,
    pub quantity: Tickets,
    /// Of one ticket.
    pub price: Money,
    /// Of all of them.
    pub amount: Money,
}

/// What a basket costs now.
#[derive(Debug, Serialize, ToSchema)]
pub struct Quote {
    pub event_id: EventId,
    pub lines: Vec<QuoteLine>,
    pub total: Money,
    pub currency: Currency,
}

/// Why there is no quote.
#[derive(Debug, thiserror::Error)]
pub enum QuoteError {
    #[error("there is no such event")]
    EventNotFound,
    /// Also where not everybody may buy it.
    #[error("the event has no such ticket type: item {item}")]
    TypeNotFound { item: usize },
    #[error("the event store")]
    Database(#[from] sqlx::Error),
}

/// What `items` of an event cost now.
///
/// # Errors
/// See [`QuoteError`].
pub async fn quote(
    db: &Db,
    event_id: &EventId,
    request: QuoteRequest,
) -> Result<Quote, QuoteError> {
    let event = events::get(db, event_id)
        .await
        .map_err(|error| match error {
            GetEventError::NotFound => QuoteError::EventNotFound,
            GetEventError::Database(cause) => cause.into(),
        })?;
    let currency = event.event.currency;
    let lines = request.items.iter().enumerate().map(|(item, wanted)| {
        let mut types = event.ticket_types.iter();
        let kind = types.find(|kind| kind.ticket_type_id == wanted.ticket_type_id);
        let kind = kind.ok_or(QuoteError::TypeNotFound { item })?;
        let minor = kind.price.minor() * i64::from(wanted.quantity.get());
        Ok(QuoteLine {
            ticket_type_id: kind.ticket_type_id,
            name: kind.name.as_str().to_owned(),
            quantity: wanted.quantity,
            price: kind.price,
            amount: Money::from_minor(minor, currency),
        })
    });
    let lines = lines.collect::<Result<Vec<_>, QuoteError>>()?;
    let total = lines.iter().map(|line| line.amount.minor()).sum();
    Ok(Quote {
        event_id: event.event.event_id,
        total: Money::from_minor(total, currency),
        lines,
        currency,
    })
}

//! What a basket would cost. Nothing is taken.

use serde::Serialize;
use utoipa::ToSchema;

use super::Item;
use crate::events::{self, AskError, Asker};
use stores::db::Db;
use values::ids::{EventId, PromoCode, TicketTypeId};
use values::money::{Currency, Money};
use values::tax::TaxRate;
use values::tickets::Tickets;

/// A basket that somebody thinks of.
#[derive(Debug, ToSchema)]
pub struct QuoteRequest {
    /// Each of another type.
    #[schema(required = true, min_items = 1, max_items = 50)]
    pub items: Vec<Item>,
    #[schema(required = false)]
    pub promo_code: Option<PromoCode>,
}

/// What one line of a basket costs.
#[derive(Debug, Serialize, ToSchema)]
pub struct QuoteLine {
    pub ticket_type_id: TicketTypeId,
    pub name: String,
    pub quantity: Tickets,
    /// Of one ticket, without a promo code.
    pub price: Money,
    /// What the promo code takes off all of them.
    pub discount: Money,
    /// Of all of them, with the promo code.
    pub amount: Money,
    /// The tax in `amount`, at `tax_rate` percent of the price without it.
    pub tax: Money,
    pub tax_rate: TaxRate,
}

/// What a basket costs now.
#[derive(Debug, Serialize, ToSchema)]
pub struct Quote {
    pub event_id: EventId,
    pub lines: Vec<QuoteLine>,
    /// What the promo code takes off.
    pub discount: Money,
    /// The tax in `total`.
    pub tax: Money,
    pub total: Money,
    pub currency: Currency,
}

/// Why there is no quote.
#[derive(Debug, thiserror::Error)]
pub enum QuoteError {
    #[error(transparent)]
    Event(#[from] AskError),
    /// Also returned for a type that is neither public nor unlocked by the request's code.
    #[error("the event has no such ticket type: item {item}")]
    TypeNotFound { item: usize },
    #[error("the promo code is not valid for the event now")]
    PromoInvalid,
    #[error("the promo code does not apply to these tickets")]
    PromoForOthers,
}

/// What `items` of an event cost now. `asker` may be guessing codes.
pub async fn quote(
    db: &Db,
    event_id: &EventId,
    request: QuoteRequest,
    asker: Asker,
) -> Result<Quote, QuoteError> {
    let code = request.promo_code.as_ref();
    let event = events::get_for(db, event_id, code, asker).await?;
    let types = &event.ticket_types;
    if code.is_some() && types.iter().all(|kind| kind.price_with_code.is_none()) {
        return Err(QuoteError::PromoInvalid);
    }
    let currency = event.event.currency;
    let mut with_code = false;
    let lines = request.items.iter().enumerate().map(|(item, wanted)| {
        let kind = types
            .iter()
            .find(|kind| kind.ticket_type_id == wanted.ticket_type_id);
        let kind = kind.ok_or(QuoteError::TypeNotFound { item })?;
        with_code |= kind.price_with_code.is_some();
        let of_all = |price: Money| price.minor() * i64::from(wanted.quantity.get());
        let full = of_all(kind.price);
        let amount = of_all(kind.price_with_code.unwrap_or(kind.price));
        let discount = Money::from_minor((full - amount).max(0), currency);
        let amount = Money::from_minor(amount, currency);
        Ok(QuoteLine {
            ticket_type_id: kind.ticket_type_id,
            name: kind.name.as_str().to_owned(),
            quantity: wanted.quantity,
            price: kind.price,
            discount,
            amount,
            tax: kind.tax_rate.part_of(amount),
            tax_rate: kind.tax_rate,
        })
    });
    let lines = lines.collect::<Result<Vec<_>, QuoteError>>()?;
    if code.is_some() && !with_code {
        return Err(QuoteError::PromoForOthers);
    }
    let sum = |of: fn(&QuoteLine) -> Money| {
        let minor = lines.iter().map(|line| of(line).minor()).sum();
        Money::from_minor(minor, currency)
    };
    Ok(Quote {
        event_id: event.event.event_id,
        discount: sum(|line| line.discount),
        tax: sum(|line| line.tax),
        total: sum(|line| line.amount),
        lines,
        currency,
    })
}

//! Bookings: the one path that must never be wrong.
//!
//! ```text
//! hold ─ pay, or expire                                 HELD → PENDING, or HELD → EXPIRED
//! reserve ─ charge ─┬─ paid ────── announce ─ confirm   PENDING → CONFIRMED
//!                   ├─ declined ── release              PENDING → REJECTED
//!                   ├─ busy ────── settle charges       PENDING until it has had its turn
//!                   └─ unknown ─── settle voids         PENDING until the payment record tells
//! ```
//!
//! What holds here:
//! - Tickets are taken and the booking is made in one statement; no booking is without its tickets.
//! - A booking moves by guarded updates only (`… where status = 'PENDING'`), each safe to repeat,
//!   and each move that ends a booking gives its tickets back in the same statement.
//! - The payment record decides: a booking follows it, never the other way round.
//!
//! No transaction is open and no lock is held while the payment or the broker is called.

mod basket;
mod book;
mod cancel;
mod confirm;
mod expire;
mod hold;
mod lines;
mod office;
mod pay;
mod quote;
mod read;
mod reserve;
mod settle;
mod stock;
mod sweep;
#[cfg(test)]
mod tests;

use chrono::{DateTime, Utc};
use serde::Serialize;
use strum::{AsRefStr, EnumString};
use utoipa::ToSchema;

pub use basket::{BookedItem, BookingDetails, Contact, Item, MAX_ITEMS, get_details};
pub use book::{BookError, Booked, BookingOutcome, book};
pub use cancel::{CancelError, cancel};
pub use confirm::confirm;
pub use hold::{HoldPaid, PayHoldError, ReleaseError, bank_page, begin_attempt, release_hold};
pub use office::BoxOffice;
pub use pay::{Paid, pay};
pub use quote::{Quote, QuoteError, QuoteLine, QuoteRequest, quote};
pub use read::{BookedEvent, GetBookingError, list, list_with_events};
pub use reserve::{Reservation, ReserveError, StoredRequest, reserve};
pub use settle::{SettleError, look, settle, settle_payment};
pub use sweep::{Swept, sweep};

use crate::payments::{Charge, MAX_AMOUNT, PaymentMethod};
use stores::db;
use values::amount_schema;
use values::ids::{BookingId, EventId, PaymentId, PromoCode, UserId};
use values::money::{Currency, Money, Number};
use values::tickets::Tickets;
use values::time::Timestamp;

/// Where a booking is on its way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema, AsRefStr, EnumString)]
#[serde(rename_all = "UPPERCASE")]
#[strum(serialize_all = "UPPERCASE")]
pub enum Status {
    /// Its tickets are kept for its buyer until `hold_until`; nobody has tried to pay yet.
    Held,
    /// Its tickets are taken; whether it is paid is not known yet, or, of a hold, not yet paid.
    Pending,
    /// Paid.
    Confirmed,
    /// Declined; its tickets were released.
    Rejected,
    /// Never paid, and now it can't be; its tickets were released.
    Expired,
    /// Was confirmed; its tickets went back, and the money goes back.
    Cancelled,
}

/// Tickets that somebody wants: `tickets` of the event's default type, or `items`.
#[derive(Debug, ToSchema)]
#[schema(example = json!({"user_id": 1, "event_id": "E123", "tickets": 2}))]
pub struct BookingRequest {
    /// The token's user.
    pub user_id: UserId,
    pub event_id: EventId,
    /// At most the event's `max_tickets_per_booking`. Not with `items`.
    #[schema(required = false)]
    pub tickets: Option<Tickets>,
    /// All of them are booked, or none. At most 50, each of another type.
    #[schema(required = false, value_type = Option<Vec<Item>>, min_items = 1, max_items = 50)]
    pub items: Vec<Item>,
    /// `pm_card_visa` when absent. Not with `hold`.
    #[schema(required = false)]
    pub payment_method: Option<PaymentMethod>,
    /// Whether to keep the tickets for a while, to be paid by `POST /bookings/{booking_id}/pay`, instead of charging
    /// now.
    #[schema(required = false)]
    pub hold: Option<bool>,
    /// Lowers prices, or lets the user buy types that need it.
    #[schema(required = false)]
    pub promo_code: Option<PromoCode>,
    /// Refuses the request where the tickets cost something else now.
    #[schema(required = false, value_type = Option<ExpectedAmount>)]
    pub expected_amount: Option<Number>,
    /// Whom to write to.
    #[schema(required = false, value_type = Option<Contact>)]
    pub contact: Contact,
}

amount_schema!(
    ExpectedAmount,
    "In major units of the event's currency, with no more decimals than it has.",
    0,
    MAX_AMOUNT
);

/// How a hold is to be paid.
#[derive(Debug, ToSchema)]
pub struct PayRequest {
    /// `pm_card_visa` when absent.
    #[schema(required = false)]
    pub payment_method: Option<PaymentMethod>,
}

/// A hold that is being paid.
#[derive(Debug, Serialize, ToSchema)]
pub struct PendingPayment {
    #[serde(flatten)]
    pub booking: Booking,
    /// What its buyer has to do.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(required = false)]
    pub next_action: Option<NextAction>,
}

impl From<Booking> for PendingPayment {
    /// Nothing is to be done but to wait.
    fn from(booking: Booking) -> Self {
        Self {
            booking,
            next_action: None,
        }
    }
}

impl PendingPayment {
    /// The owner of the card is asked.
    pub fn asking(booking: Booking) -> Self {
        let url = bank_page(&booking);
        let kind = "redirect_to_url";
        Self {
            booking,
            next_action: Some(NextAction { kind, url }),
        }
    }
}

/// What a buyer has to do before a payment goes on.
#[derive(Debug, Serialize, ToSchema)]
pub struct NextAction {
    /// `redirect_to_url`: open the page.
    #[serde(rename = "type")]
    #[schema(example = "redirect_to_url")]
    pub kind: &'static str,
    /// Where the card's owner says yes or no, below the API's address.
    #[schema(example = "/bank/pay_01a22b51517c6a70369b5104367d1cd1")]
    pub url: String,
}

/// A booking as its owner sees it.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct Booking {
    pub booking_id: BookingId,
    pub user_id: UserId,
    pub event_id: EventId,
    pub tickets: Tickets,
    /// Of all its tickets.
    pub amount: Money,
    pub currency: Currency,
    pub status: Status,
    /// Null until it is known, and for a free booking.
    pub payment_id: Option<PaymentId>,
    pub created_at: DateTime<Utc>,
    /// Until when the tickets are kept for the buyer of a hold.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(required = false)]
    pub hold_until: Option<DateTime<Utc>>,
}

pub(crate) struct BookingRow {
    booking_id: BookingId,
    user_id: UserId,
    event_id: EventId,
    tickets: Tickets,
    amount_minor: i64,
    currency: String,
    status: String,
    payment_id: Option<PaymentId>,
    created_at: Timestamp,
    hold_until: Option<Timestamp>,
}

impl TryFrom<BookingRow> for Booking {
    type Error = sqlx::Error;

    fn try_from(row: BookingRow) -> Result<Self, sqlx::Error> {
        let currency = db::column("currency", &row.currency)?;
        Ok(Self {
            booking_id: row.booking_id,
            user_id: row.user_id,
            event_id: row.event_id,
            tickets: row.tickets,
            amount: Money::from_minor(row.amount_minor, currency),
            currency,
            status: db::column("status", &row.status)?,
            payment_id: row.payment_id,
            created_at: row.created_at,
            hold_until: row.hold_until,
        })
    }
}

/// A query that returns rows of `booking b`. Takes the SQL before the column list, the SQL after it, and
/// the query's parameters. The types stand here and not in `sqlx.toml`, which knows columns of tables only: most
/// of these rows are of a CTE.
macro_rules! booking_rows {
    ($before:tt $(+ $more:tt)*, $after:tt $(, $parameter:expr)* $(,)?) => {
        sqlx::query_as!(
            $crate::bookings::BookingRow,
            $before $(+ $more)*
                + r#" b.booking_id as "booking_id!: _", b.user_id as "user_id!: _", b.event_id as "event_id!: _",
                      b.tickets as "tickets!: _", b.amount_minor as "amount_minor!", b.currency as "currency!",
                      b.status as "status!", b.payment_id as "payment_id: _", b.created_at as "created_at!",
                      b.hold_until "#
                + $after,
            $($parameter),*
        )
    };
}
use booking_rows;

impl Booking {
    /// Its one charge.
    fn charge(&self) -> Charge {
        Charge {
            payment_id: PaymentId::of_booking(self.booking_id),
            booking_id: Some(self.booking_id),
            user_id: self.user_id,
            amount_minor: self.amount.minor(),
            currency: self.currency,
        }
    }
}

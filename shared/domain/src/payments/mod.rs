//! Payments: charged once, or not at all.
//!
//! A payment has one record, written first-writer-wins. It has one entry at the gateway, with the payment's id as its
//! key: charged, declined or cancelled, whichever came first.
//!
//! A booking's record is written by the charge or the void, after the gateway has decided. Until then, the PENDING
//! booking shows that there is something to settle. A payment without a booking has no such row, so its record is
//! written first, as PENDING, and closed with what the gateway says. A closed record only ever moves on to REFUNDED.
//!
//! Every step is safe to repeat, by anyone, at any time.

mod charge;
mod gateway;
mod invoke;
mod pay;
mod record;
mod sweep;
mod unsettled;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize, Serializer};
use strum::{AsRefStr, EnumString};
use utoipa::ToSchema;

pub use charge::{
    ChargeError, GetPaymentError, HoldCharge, Payments, RefundError, authenticate, authentication,
    charge, charge_hold, get, look, refund, settle, void,
};
pub use gateway::{Authentication, GatewayError};
pub use invoke::{ChargeCallError, ChargeFunction, Command, FunctionError, InvokeError, Reply};
pub use pay::{Paid, PayError, PaymentOutcome, pay};
pub use sweep::{PaymentSweeper, SweptPayments, sweep};
pub use unsettled::Unsettled;
pub(crate) use unsettled::enqueue_settlement;

use values::ids::{BookingId, PaymentId, UserId};
use values::money::{Currency, Money};
use values::{amount_schema, deserialize_from_str, string_schema};

/// The database of payments, and of the gateway's books.
const DATABASE: &str = "payment_db";

/// The most that one payment takes, in major units.
pub const MAX_AMOUNT: i64 = 100_000_000_000;

/// Where a payment is on its way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema, AsRefStr)]
#[serde(rename_all = "UPPERCASE")]
#[strum(serialize_all = "UPPERCASE")]
pub enum PaymentStatus {
    /// The gateway was asked, or is about to be; its answer is not known yet.
    Pending,
    /// Charged.
    Success,
    /// Refused by the gateway.
    Declined,
    /// Given up before it was charged; it can't be any more.
    Voided,
    /// Charged, and given back.
    Refunded,
}

/// A card of the simulated gateway, by Stripe's names for test cards.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, AsRefStr, EnumString)]
#[strum(parse_err_ty = UnknownPaymentMethod, parse_err_fn = UnknownPaymentMethod::of)]
pub enum PaymentMethod {
    /// Pays.
    #[default]
    #[strum(serialize = "pm_card_visa")]
    Visa,
    /// Is declined.
    #[strum(serialize = "pm_card_visa_chargeDeclined")]
    ChargeDeclined,
    /// Pays, but the gateway's answer is lost.
    #[strum(serialize = "pm_admit_timeout")]
    Timeout,
    /// Pays once its owner has approved on the bank's page. Declined if no buyer can be asked.
    #[strum(serialize = "pm_card_authenticationRequired")]
    AuthenticationRequired,
}

impl PaymentMethod {
    /// Whether the gateway declines it, where it can't ask its owner.
    fn is_declined(self) -> bool {
        match self {
            Self::Visa | Self::Timeout => false,
            Self::ChargeDeclined | Self::AuthenticationRequired => true,
        }
    }
}

/// A text that names no payment method.
#[derive(Debug, thiserror::Error)]
#[error(
    "must be pm_card_visa, pm_card_visa_chargeDeclined, pm_card_authenticationRequired or pm_admit_timeout"
)]
pub struct UnknownPaymentMethod;

impl UnknownPaymentMethod {
    fn of(_: &str) -> Self {
        Self
    }
}

impl Serialize for PaymentMethod {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_ref())
    }
}

deserialize_from_str!(PaymentMethod);

string_schema!(
    PaymentMethod,
    "A test card: `pm_card_visa` pays, `pm_card_visa_chargeDeclined` is declined, `pm_card_authenticationRequired` asks \
     its owner when it pays a hold and is declined else, `pm_admit_timeout` pays but its answer is lost.",
    "^(pm_card_visa|pm_card_visa_chargeDeclined|pm_card_authenticationRequired|pm_admit_timeout)$"
);

/// What is to be paid, by whom and for what.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Charge {
    pub payment_id: PaymentId,
    pub booking_id: Option<BookingId>,
    // serde buffers the fields of a tagged enum. A buffered number keeps its value, but not its digits.
    #[serde(deserialize_with = "UserId::of_number")]
    pub user_id: UserId,
    /// In minor units of the currency.
    pub amount_minor: i64,
    pub currency: Currency,
}

impl Charge {
    fn amount(&self) -> Money {
        Money::from_minor(self.amount_minor, self.currency)
    }
}

/// A payment as its owner sees it.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct Payment {
    pub payment_id: PaymentId,
    pub user_id: UserId,
    pub amount: Money,
    pub currency: Currency,
    pub status: PaymentStatus,
    pub created_at: DateTime<Utc>,
}

amount_schema!(
    Amount,
    "Above 0, in major units of the currency, with no more decimals than it has.",
    above 0,
    MAX_AMOUNT
);

/// A payment that somebody wants to make.
#[derive(Debug, ToSchema)]
pub struct PaymentRequest {
    /// The token's user.
    pub user_id: UserId,
    #[schema(value_type = Amount)]
    pub amount: Money,
    /// USD when absent.
    #[schema(required = false, value_type = Option<Currency>)]
    pub currency: Option<Currency>,
    /// `pm_card_visa` when absent.
    #[schema(required = false)]
    pub payment_method: Option<PaymentMethod>,
}

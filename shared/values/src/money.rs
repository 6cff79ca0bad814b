//! Money: whole minor units of an ISO 4217 currency inside, a decimal number in JSON.
//!
//! Never a float: a JSON number is read from its own digits, so `0.1` is ten cents and `1e400`
//! is an error, not infinity.

use std::fmt;
use std::str::FromStr;

use rust_decimal::Decimal;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de, ser};
use serde_json::value::RawValue;
use strum::IntoEnumIterator;
use utoipa::openapi::schema::{ObjectBuilder, SchemaType, Type};
use utoipa::openapi::{RefOr, Schema};

use crate::deserialize_from_str;

/// A currency of ISO 4217 that people pay with: no funds codes, metals or test codes, and none that
/// was retired. The list is that of the crate `iso_currency` 0.7.1, which is ISO's of 2026-01-01.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Currency(iso_currency::Currency);

impl Currency {
    /// The three letters.
    pub fn code(self) -> &'static str {
        self.0.code()
    }

    /// Decimals of the major unit: 2 for USD, 0 for JPY, 3 for KWD.
    pub fn decimals(self) -> u32 {
        self.0.exponent().map_or(0, u32::from)
    }
}

impl Default for Currency {
    fn default() -> Self {
        Self(iso_currency::Currency::USD)
    }
}

/// A text that is no currency one can be charged in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("must be a currency of ISO 4217, as USD")]
pub struct UnknownCurrency;

impl FromStr for Currency {
    type Err = UnknownCurrency;

    fn from_str(code: &str) -> Result<Self, UnknownCurrency> {
        iso_currency::Currency::from_code(code)
            .filter(|currency| is_current(*currency))
            .map(Self)
            .ok_or(UnknownCurrency)
    }
}

/// VES is in ISO's list beside VED, which the crate says has replaced it.
fn is_current(currency: iso_currency::Currency) -> bool {
    let retired = currency.is_superseded().is_some() && currency != iso_currency::Currency::VES;
    currency.exponent().is_some() && !currency.is_fund() && !currency.is_special() && !retired
}

impl Serialize for Currency {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.code())
    }
}

deserialize_from_str!(Currency);

impl utoipa::PartialSchema for Currency {
    fn schema() -> RefOr<Schema> {
        let current = iso_currency::Currency::iter().filter(|currency| is_current(*currency));
        ObjectBuilder::new()
            .schema_type(Type::String)
            .description(Some("A currency of ISO 4217."))
            .enum_values(Some(current.map(|currency| currency.code())))
            .into()
    }
}

impl utoipa::ToSchema for Currency {}

/// The most digits that a number may have, before and after the decimal point together. Leading zeros, and
/// trailing zeros of the fraction, don't count. A [`Decimal`] can hold every number of this many digits.
const MAX_DIGITS: usize = 28;

/// A decimal number as it was written in JSON, exact.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Number(Decimal);

impl fmt::Display for Number {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl Number {
    /// Reads a whole number, however it is written: `2`, `2.0` and `2e0` are the same number in JSON.
    pub fn whole<'de, D: Deserializer<'de>>(deserializer: D) -> Option<i64> {
        Self::deserialize(deserializer).ok()?.to_whole()
    }

    /// The whole number that this is, if it is one.
    pub fn to_whole(self) -> Option<i64> {
        let Self(number) = self;
        number
            .is_integer()
            .then(|| i64::try_from(number).ok())
            .flatten()
    }

    /// The whole number of hundredths that this is, if it is one.
    pub fn to_hundredths(self) -> Option<i64> {
        let hundredths = self.0.checked_mul(Decimal::ONE_HUNDRED)?;
        Self(hundredths).to_whole()
    }

    /// So many hundredths, written without zeros at the end.
    pub fn of_hundredths(hundredths: i64) -> Self {
        Self(Decimal::new(hundredths, 2).normalize())
    }
}

impl<'de> Deserialize<'de> for Number {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let written = <&RawValue>::deserialize(deserializer)?.get();
        let is_number = written.starts_with(|first: char| first == '-' || first.is_ascii_digit());
        if !is_number {
            return Err(de::Error::custom("must be a number"));
        }
        exact(written)
            .map(Self)
            .ok_or_else(|| de::Error::custom("must be a number of at most 28 digits"))
    }
}

/// The number that a JSON number is, without zeros at its end; `None` where it has too many digits.
///
/// `Decimal`'s own reading of exponents rounds, and counts zeros that say nothing.
fn exact(written: &str) -> Option<Decimal> {
    let (mantissa, exponent) = written.split_once(['e', 'E']).unwrap_or((written, "0"));
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let digits = format!("{whole}{fraction}");
    let significant = digits.trim_start_matches(['-', '0']).trim_end_matches('0');
    if significant.is_empty() {
        return Some(Decimal::ZERO);
    }
    let zeros = digits.len() - digits.trim_end_matches('0').len();
    let decimals = i64::try_from(fraction.len()).ok()? - i64::try_from(zeros).ok()?;
    let decimals = decimals.checked_sub(exponent.parse().ok()?)?;
    let missing = usize::try_from(decimals.checked_neg()?).unwrap_or(0);
    if significant.len().checked_add(missing)? > MAX_DIGITS {
        return None;
    }
    let number: i128 = format!("{significant}{:0<missing$}", "").parse().ok()?;
    let number = if whole.starts_with('-') {
        -number
    } else {
        number
    };
    Decimal::try_from_i128_with_scale(number, u32::try_from(decimals.max(0)).ok()?).ok()
}

/// An amount of one currency, zero or more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Money {
    minor: i64,
    currency: Currency,
}

/// Why a number is no amount.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MoneyError {
    #[error("must have at most {decimals} decimals in {currency}")]
    TooPrecise {
        decimals: u32,
        currency: &'static str,
    },
    #[error("must be at most {0}")]
    TooLarge(i64),
    #[error("must not be negative")]
    Negative,
}

impl Money {
    /// The amount that `number` major units are.
    ///
    /// # Errors
    /// More decimals than the currency has, more than `most` major units, or less than nothing.
    pub fn new(number: Number, currency: Currency, most: i64) -> Result<Self, MoneyError> {
        let Number(number) = number;
        if number.is_sign_negative() && !number.is_zero() {
            return Err(MoneyError::Negative);
        }
        if number > Decimal::from(most) {
            return Err(MoneyError::TooLarge(most));
        }
        let decimals = currency.decimals();
        if number.scale() > decimals {
            return Err(MoneyError::TooPrecise {
                decimals,
                currency: currency.code(),
            });
        }
        let minor = number * Decimal::from(10_i64.pow(decimals));
        let minor = i64::try_from(minor).map_err(|_| MoneyError::TooLarge(most))?;
        Ok(Self { minor, currency })
    }

    /// An amount that a store kept.
    pub fn from_minor(minor: i64, currency: Currency) -> Self {
        Self { minor, currency }
    }

    /// Whole minor units: cents of USD.
    pub fn minor(self) -> i64 {
        self.minor
    }

    /// The currency.
    pub fn currency(self) -> Currency {
        self.currency
    }

    /// Whether there is nothing to pay.
    pub fn is_zero(self) -> bool {
        self.minor == 0
    }
}

impl fmt::Display for Money {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Decimal::new(self.minor, self.currency.decimals()).fmt(f)
    }
}

/// Only the number: where an amount stands in JSON, its currency stands beside it.
impl Serialize for Money {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        RawValue::from_string(self.to_string())
            .map_err(ser::Error::custom)?
            .serialize(serializer)
    }
}

impl utoipa::PartialSchema for Money {
    fn schema() -> RefOr<Schema> {
        ObjectBuilder::new()
            .schema_type(SchemaType::new(Type::Number))
            .description(Some(
                "Major units of the currency beside it, as 19.99; exact.",
            ))
            .minimum(Some(0))
            .into()
    }
}

impl utoipa::ToSchema for Money {}

#[cfg(test)]
mod tests {
    use super::*;

    fn money(json: &str, currency: &str) -> Result<Money, String> {
        let number: Number = serde_json::from_str(json).map_err(|error| error.to_string())?;
        let currency = currency
            .parse()
            .map_err(|error: UnknownCurrency| error.to_string())?;
        Money::new(number, currency, 1_000_000).map_err(|error| error.to_string())
    }

    #[test]
    fn a_json_number_is_read_exactly_and_written_with_the_currencys_decimals() {
        for (json, currency, minor, written) in [
            ("100.0", "USD", 10_000, "100.00"),
            ("19.99", "USD", 1_999, "19.99"),
            ("0.1", "USD", 10, "0.10"),
            ("1e2", "USD", 10_000, "100.00"),
            ("500.0", "JPY", 500, "500"),
            ("1.234", "KWD", 1_234, "1.234"),
            ("-0.0", "USD", 0, "0.00"),
            ("0e99", "USD", 0, "0.00"),
            ("0e99999999999999999999", "USD", 0, "0.00"),
            ("1999e-2", "USD", 1_999, "19.99"),
            ("0.1999E+2", "USD", 1_999, "19.99"),
            ("2.000000000000000000000000000000", "USD", 200, "2.00"),
            (
                "19990000000000000000000000000000000e-33",
                "USD",
                1_999,
                "19.99",
            ),
            ("999999.999", "KWD", 999_999_999, "999999.999"),
        ] {
            let money = money(json, currency).unwrap();
            assert_eq!(money.minor(), minor, "{json} {currency}");
            assert_eq!(serde_json::to_string(&money).unwrap(), written);
        }
    }

    #[test]
    fn an_invalid_amount_is_refused() {
        for (json, currency) in [
            ("0.001", "USD"),
            ("0.5", "JPY"),
            ("-1", "USD"),
            ("1000000.01", "USD"),
            ("1e400", "USD"),
            ("1e-400", "USD"),
            ("1e99999999999999999999", "USD"),
            ("1e-9223372036854775808", "USD"),
            ("19.9900000000000000000000000000000001e0", "USD"),
            ("0.0000000000000000000000000000000001e0", "USD"),
            ("99999999999999999999999999999999", "USD"),
            ("\"5\"", "USD"),
            ("true", "USD"),
            ("null", "USD"),
            ("5", "usd"),
        ] {
            assert!(money(json, currency).is_err(), "{json} {currency}");
        }
    }

    #[test]
    fn the_largest_amounts_are_exact_in_every_currency() {
        for currency in iso_currency::Currency::iter().filter(|currency| is_current(*currency)) {
            let whole = Money::new(
                serde_json::from_str("100000000000").unwrap(),
                Currency(currency),
                100_000_000_000,
            );
            let written = whole.unwrap().to_string();
            assert!(written.starts_with("100000000000"), "{written}");
        }
    }

    #[test]
    fn a_retired_currency_a_fund_or_a_metal_is_no_currency() {
        let codes = [
            "HRK", "BGN", "SLL", "ZWL", "CUC", "BOV", "CHE", "CHW", "CLF", "COU", "MXV", "USN",
            "UYI", "UYW", "XAD", "XAU", "XDR", "XTS", "XXX", "ANG", "", "EU", "eur",
        ];
        for code in codes {
            assert_eq!(code.parse::<Currency>(), Err(UnknownCurrency), "{code}");
        }
        for code in [
            "VES", "VED", "EUR", "SLE", "ZWG", "XCG", "XAF", "XOF", "XPF", "XCD", "CUP",
        ] {
            assert!(code.parse::<Currency>().is_ok(), "{code}");
        }
    }

    #[test]
    fn a_whole_number_is_one_however_it_is_written() {
        let whole = |text: &str| Number::whole(&mut serde_json::Deserializer::from_str(text));
        for text in [
            "2",
            "2.0",
            "2.00",
            "2e0",
            "0.2e1",
            "20e-1",
            "2.00000000000000000000000000000000",
        ] {
            assert_eq!(whole(text), Some(2), "{text}");
        }
        for text in [
            "2.5",
            "2.0000000000000000000000000000000000001e0",
            "\"2\"",
            "null",
            "true",
            "[2]",
            "1e30",
            "9223372036854775808",
        ] {
            assert_eq!(whole(text), None, "{text}");
        }
    }
}

//! Money: whole minor units of an ISO 4217 currency inside, a decimal number in JSON.
//!
//! Never a float: a JSON number is read from its own digits, so `0.1` is ten cents and `1e400`
//! is an error, not infinity.

use std::fmt;
use std::str::FromStr;

use rust_decimal::Decimal;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de, ser};
use serde_json::value::RawValue;
use utoipa::openapi::schema::{ObjectBuilder, SchemaType, Type};
use utoipa::openapi::{RefOr, Schema};

use crate::http::schema::string_schema;
use crate::ids::parse_string;

/// A currency of ISO 4217 that has minor units or, like JPY, is its own minor unit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Currency(iso_currency::Currency);

impl Currency {
    /// The three letters.
    pub fn code(self) -> &'static str {
        self.0.code()
    }

    /// Decimals of the major unit: 2 for USD, 0 for JPY, 3 for KWD.
    fn decimals(self) -> u32 {
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
        match iso_currency::Currency::from_code(code) {
            // Gold and the test currencies have no minor unit, not even none.
            Some(currency) if currency.exponent().is_some() => Ok(Self(currency)),
            _ => Err(UnknownCurrency),
        }
    }
}

impl Serialize for Currency {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.code())
    }
}

impl<'de> Deserialize<'de> for Currency {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        parse_string(deserializer)
    }
}

string_schema!(Currency, "A currency of ISO 4217.", "^[A-Z]{3}$");

/// A decimal number as it was written in JSON, exact.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Number(Decimal);

impl<'de> Deserialize<'de> for Number {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let written = <&RawValue>::deserialize(deserializer)?.get();
        let is_number = written.starts_with(|first: char| first == '-' || first.is_ascii_digit());
        if !is_number {
            return Err(de::Error::custom("must be a number"));
        }
        Decimal::from_str_exact(written)
            .or_else(|_| Decimal::from_scientific(written))
            .map(|number| Self(number.normalize()))
            .map_err(|_| de::Error::custom("must be a number of at most 28 digits"))
    }
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
        ] {
            let money = money(json, currency).unwrap();
            assert_eq!(money.minor(), minor, "{json} {currency}");
            assert_eq!(serde_json::to_string(&money).unwrap(), written);
        }
    }

    #[test]
    fn what_is_no_amount_is_refused() {
        for (json, currency) in [
            ("0.001", "USD"),
            ("0.5", "JPY"),
            ("-1", "USD"),
            ("1000000.01", "USD"),
            ("1e400", "USD"),
            ("99999999999999999999999999999999", "USD"),
            ("\"5\"", "USD"),
            ("true", "USD"),
            ("null", "USD"),
            ("5", "XAU"),
            ("5", "usd"),
        ] {
            assert!(money(json, currency).is_err(), "{json} {currency}");
        }
    }
}

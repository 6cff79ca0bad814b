//! The tax that is part of a price.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de, ser};
use serde_json::value::RawValue;
use utoipa::openapi::schema::{ObjectBuilder, SchemaType, Type};
use utoipa::openapi::{RefOr, Schema};

use crate::money::{Money, Number};

/// What a whole is in basis points.
const WHOLE: i64 = 10_000;

/// A rate in basis points, which are hundredths of a percent. In JSON it is a percentage.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, sqlx::Type)]
#[sqlx(transparent)]
pub struct TaxRate(i32);

impl TaxRate {
    pub fn basis_points(self) -> i32 {
        self.0
    }

    /// The tax in an amount. What is left of the amount without it is rounded half up to minor units.
    #[must_use]
    pub fn part_of(self, amount: Money) -> Money {
        let whole = WHOLE + i64::from(self.0);
        let (gross, whole) = (i128::from(amount.minor()), i128::from(whole));
        let net = (2 * gross * i128::from(WHOLE) + whole) / (2 * whole);
        // No larger than the amount, so it fits.
        let net = i64::try_from(net).unwrap_or(amount.minor());
        Money::from_minor(amount.minor() - net, amount.currency())
    }
}

impl<'de> Deserialize<'de> for TaxRate {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let points = Number::deserialize(deserializer)?.to_hundredths();
        points
            .filter(|points| (0..=WHOLE).contains(points))
            .and_then(|points| i32::try_from(points).ok())
            .map(Self)
            .ok_or_else(|| de::Error::custom("must be from 0 to 100, with at most two decimals"))
    }
}

impl fmt::Display for TaxRate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Number::of_hundredths(self.0.into()).fmt(f)
    }
}

impl Serialize for TaxRate {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        RawValue::from_string(self.to_string())
            .map_err(ser::Error::custom)?
            .serialize(serializer)
    }
}

impl utoipa::PartialSchema for TaxRate {
    fn schema() -> RefOr<Schema> {
        ObjectBuilder::new()
            .schema_type(SchemaType::new(Type::Number))
            .description(Some(
                "The tax that is part of the price, in percent of the price without it, with at most two decimals.",
            ))
            .minimum(Some(0))
            .maximum(Some(100))
            .into()
    }
}

impl utoipa::ToSchema for TaxRate {}

#[cfg(test)]
mod tests {
    use super::*;

    fn rate(json: &str) -> Result<TaxRate, String> {
        serde_json::from_str(json).map_err(|error| error.to_string())
    }

    #[test]
    fn a_rate_is_a_percentage_with_at_most_two_decimals() {
        for (json, points, written) in [
            ("19", 1900, "19"),
            ("7.70", 770, "7.7"),
            ("0", 0, "0"),
            ("1e2", 10_000, "100"),
            ("5.25", 525, "5.25"),
        ] {
            let rate = rate(json).unwrap();
            assert_eq!(rate.basis_points(), points);
            assert_eq!(serde_json::to_string(&rate).unwrap(), written);
        }
        for json in ["-1", "100.01", "19.001", "\"19\"", "null", "1e30"] {
            rate(json).unwrap_err();
        }
    }

    #[test]
    fn the_tax_is_what_the_net_amount_leaves_of_the_price() {
        for (minor, percent, tax) in [
            (11_900, "19", 1_900),
            (2_500, "19", 399),
            (100, "19", 16),
            (1, "19", 0),
            (0, "19", 0),
            (5_000, "0", 0),
            (3, "100", 1),
            (10_000_000_000_000, "7", 654_205_607_477),
        ] {
            let amount = Money::from_minor(minor, Default::default());
            let part = rate(percent).unwrap().part_of(amount);
            assert_eq!(part.minor(), tax, "{percent} % of {minor}");
        }
    }
}

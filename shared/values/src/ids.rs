//! Identifiers, each a type of its own, so that one can't be passed for another.
//!
//! Those we make are UUIDs of version 7 behind a prefix: they sort by time, which keeps index
//! pages hot, and a reader of a log sees what each names.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use uuid::Uuid;

use crate::money::Number;
use crate::text::InvalidText;
use crate::{deserialize_from_str, integer_schema, string_schema, validated_text};

/// The number of a user, given out by the user store.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, sqlx::Type)]
#[serde(transparent)]
#[sqlx(transparent)]
pub struct UserId(i64);

impl UserId {
    /// Reads a user's number from another function of ours, which always writes a plain integer.
    pub fn of_number<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        i64::deserialize(deserializer).map(Self)
    }

    /// The number itself, for stores that keep plain numbers.
    pub fn get(self) -> i64 {
        self.0
    }
}

impl From<i64> for UserId {
    fn from(number: i64) -> Self {
        Self(number)
    }
}

impl fmt::Display for UserId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl<'de> Deserialize<'de> for UserId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match Number::whole(deserializer) {
            Some(number) if number > 0 => Ok(Self(number)),
            _ => Err(de::Error::custom("must be a positive whole number")),
        }
    }
}

integer_schema!(UserId, "The number of a user.", 1, i64::MAX);

validated_text!(
    /// The name of an event, chosen by its organizer or made by us.
    EventId,
    |text| {
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_".contains(&byte);
        let valid = (1..=64).contains(&text.len()) && text.bytes().all(plain);
        valid.then(|| text.to_owned())
    },
    "must be 1 to 64 letters, digits, '-' or '_'",
    "The name of an event.",
    1,
    64,
    "^[A-Za-z0-9_-]+$"
);

impl EventId {
    /// A new name, for an organizer who gave none.
    pub fn generate() -> Self {
        Self(format!("ev_{}", Uuid::now_v7().simple()))
    }
}

validated_text!(
    /// A promo code of an event. Read in any case, kept in upper case.
    PromoCode,
    |text| {
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
        let valid = (3..=40).contains(&text.len()) && text.bytes().all(plain);
        valid.then(|| text.to_ascii_uppercase())
    },
    "must be 3 to 40 letters, digits or '-'",
    "A promo code, in any case.",
    3,
    40,
    "^[A-Za-z0-9-]+$"
);

macro_rules! prefixed_uuid {
    ($name:ident, $prefix:literal, $doc:literal) => {
        #[doc = $doc]
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, sqlx::Type)]
        #[sqlx(transparent)]
        pub struct $name(Uuid);

        impl $name {
            /// The id with this UUID, as PostgreSQL spells it.
            pub fn of_uuid(text: &str) -> Result<Self, InvalidText> {
                Uuid::try_parse(text)
                    .map(Self)
                    .map_err(|_| InvalidText("must be a UUID"))
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!($prefix, "{}"), self.0.simple())
            }
        }

        impl FromStr for $name {
            type Err = InvalidText;

            fn from_str(text: &str) -> Result<Self, InvalidText> {
                const INVALID: InvalidText =
                    InvalidText(concat!("must be an id that starts with ", $prefix));
                let digits = text.strip_prefix($prefix).ok_or(INVALID)?;
                let id = Uuid::try_parse(digits).map(Self).map_err(|_| INVALID)?;
                // Only the form that we print: an id has one spelling.
                if id.to_string() == text {
                    Ok(id)
                } else {
                    Err(INVALID)
                }
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl $name {
            /// A new id, which is never reused. It is made before the first statement, so that a repeated
            /// statement is recognized by it.
            pub fn generate() -> Self {
                Self(Uuid::now_v7())
            }

            /// The UUID, for stores that keep it as such.
            pub fn uuid(self) -> Uuid {
                self.0
            }
        }

        deserialize_from_str!($name);
        string_schema!($name, $doc, concat!("^", $prefix, "[0-9a-f]{32}$"));
    };
}

prefixed_uuid!(BookingId, "bk_", "Names a booking.");
prefixed_uuid!(PaymentId, "pay_", "Names a payment.");
prefixed_uuid!(TicketTypeId, "tt_", "Names a ticket type of an event.");
prefixed_uuid!(QuotaId, "qt_", "Names a quota of an event.");

impl BookingId {
    /// The booking whose one payment this would be; see [`PaymentId::of_booking`].
    pub fn of_payment(payment: PaymentId) -> Self {
        Self(payment.0)
    }
}

impl PaymentId {
    /// The one payment of a booking.
    ///
    /// Derived, not stored: whoever knows the booking knows which payment record decides it, also
    /// when the answer that would have named it was lost.
    pub fn of_booking(booking: BookingId) -> Self {
        Self(booking.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_read_back_from_what_it_prints_and_from_nothing_else() {
        let id = BookingId::generate();
        assert_eq!(id.to_string().parse(), Ok(id));
        assert!(id.to_string().to_uppercase().parse::<BookingId>().is_err());
        assert!(
            PaymentId::of_booking(id)
                .to_string()
                .parse::<BookingId>()
                .is_err()
        );
        assert!("bk_".parse::<BookingId>().is_err());
    }

    #[test]
    fn an_event_id_has_one_to_sixty_four_plain_characters() {
        assert!("E123".parse::<EventId>().is_ok());
        assert!("a".repeat(64).parse::<EventId>().is_ok());
        for wrong in ["", "a b", "é", "a/b", "a\0", &"a".repeat(65)] {
            assert!(wrong.parse::<EventId>().is_err(), "{wrong:?}");
        }
    }
}

//! A number of tickets.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, de};

use crate::integer_schema;
use crate::money::Number;

/// A number of tickets of one booking: 1 to 100.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, sqlx::Type)]
#[serde(transparent)]
#[sqlx(transparent)]
pub struct Tickets(i32);

impl Tickets {
    /// A single ticket.
    pub const ONE: Self = Self(1);
    /// The most that one booking of an event takes, where its organizer says nothing else.
    pub const DEFAULT_MAX: Self = Self(10);

    /// How many there are.
    pub fn count(self) -> i32 {
        self.0
    }
}

impl<'de> Deserialize<'de> for Tickets {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let number = Number::whole(deserializer).and_then(|number| i32::try_from(number).ok());
        match number {
            Some(number) if (1..=100).contains(&number) => Ok(Self(number)),
            _ => Err(de::Error::custom("must be a whole number from 1 to 100")),
        }
    }
}

impl fmt::Display for Tickets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

integer_schema!(Tickets, "A number of tickets of one booking.", 1, 100);

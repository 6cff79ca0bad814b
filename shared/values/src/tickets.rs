//! Numbers of tickets.

use crate::whole_number;

/// A number that is too small or too large.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("out of range")]
pub struct OutOfRange;

whole_number!(Tickets, i32, 1, 100, "A number of tickets of one booking.");

impl Tickets {
    /// A single ticket.
    pub const ONE: Self = Self(1);
    /// The most that one booking of an event takes, where its organizer says nothing else.
    pub const DEFAULT_MAX: Self = Self(10);
}

whole_number!(
    Capacity,
    i32,
    1,
    1_000_000,
    "How many tickets, or other units, there are."
);

whole_number!(
    Units,
    i32,
    1,
    100,
    "How many units of a quota one ticket of a type takes."
);

impl Units {
    pub const ONE: Self = Self(1);
}

whole_number!(
    Admits,
    i32,
    0,
    20,
    "How many people one unit of a ticket type lets in."
);

impl Admits {
    pub const ONE: Self = Self(1);
}

whole_number!(
    HoldSeconds,
    i32,
    60,
    86_400,
    "For how many seconds tickets are held."
);

impl HoldSeconds {
    pub const DEFAULT: Self = Self(600);
}

//! Moments, at the precision that every store keeps.

use std::time::Duration;

use chrono::{DateTime, DurationRound, TimeDelta, Utc};

/// A moment in UTC; RFC 3339 in JSON.
pub type Timestamp = DateTime<Utc>;

/// Now, in whole milliseconds: what BSON keeps, so that a document read back equals the one written.
pub fn now() -> Timestamp {
    let now = Utc::now();
    now.duration_trunc(TimeDelta::milliseconds(1))
        .unwrap_or(now)
}

/// The moment that was `age` ago.
pub fn ago(age: Duration) -> Timestamp {
    now() - age
}

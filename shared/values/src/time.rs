//! Moments, at the precision that every store keeps.

use std::ops::RangeInclusive;
use std::time::Duration;

use chrono::{
    DateTime, Datelike, DurationRound, FixedOffset, NaiveDateTime, Offset as _, TimeDelta,
    TimeZone as _, Timelike, Utc,
};
use jiff::tz::{self, AmbiguousOffset, TimeZoneDatabase};
use serde::{Deserialize, Deserializer, de};

use crate::validated_text;

/// A moment in UTC; RFC 3339 in JSON.
pub type Timestamp = DateTime<Utc>;

/// Now, in whole milliseconds: what BSON keeps, so that a document read back equals the one written.
pub fn now() -> Timestamp {
    let now = Utc::now();
    now.duration_trunc(TimeDelta::milliseconds(1))
        .unwrap_or(now)
}

/// The first and the last year that RFC 3339 can write, and so the only ones that we know.
const YEARS: RangeInclusive<i32> = 1..=9999;

/// Whether every answer can show this moment, and every cursor can carry it.
pub fn is_presentable(moment: Timestamp) -> bool {
    YEARS.contains(&moment.year())
}

/// A moment as its microseconds say it, if it is presentable.
pub fn from_micros(micros: i64) -> Option<Timestamp> {
    DateTime::from_timestamp_micros(micros).filter(|moment| is_presentable(*moment))
}

/// Reads a time of RFC 3339, in whole microseconds, which is what PostgreSQL keeps. A leap second is
/// taken where one can be, at the end of a day in UTC, and is then the beginning of the next.
pub fn parse(text: &str) -> Option<Timestamp> {
    let moment = DateTime::parse_from_rfc3339(text).ok()?.to_utc();
    let leaps = moment.nanosecond() >= 1_000_000_000;
    let ends_a_day = (moment.hour(), moment.minute(), moment.second()) == (23, 59, 59);
    (!leaps || ends_a_day)
        .then(|| from_micros(moment.timestamp_micros()))
        .flatten()
}

validated_text!(
    /// The name of a time zone of IANA's database, as `Europe/Berlin`.
    TimeZone,
    |name| {
        let zone = TimeZoneDatabase::bundled().get(name);
        // It is found in other spellings, too.
        let known = zone.is_ok_and(|zone| zone.iana_name() == Some(name));
        known.then(|| name.to_owned())
    },
    "must be a time zone of IANA's database, such as Europe/Berlin",
    "The name of a time zone of IANA's database, as Europe/Berlin.",
    1,
    64,
    "^[A-Za-z0-9_+/-]+$"
);

impl TimeZone {
    /// What clocks in this zone show at a moment.
    pub fn local(&self, moment: Timestamp) -> DateTime<FixedOffset> {
        moment.with_timezone(&fixed(self.rules().to_offset(instant(moment))))
    }

    /// What the time of clocks in this zone is called at a moment, as CEST.
    pub fn abbreviation(&self, moment: Timestamp) -> String {
        let rules = self.rules();
        let info = rules.to_offset_info(instant(moment));
        info.abbreviation().to_owned()
    }

    /// The moment at which clocks in this zone show a time. If they show it twice, the first of the two
    /// moments. `None` if they skip it.
    pub fn moment(&self, clock: NaiveDateTime) -> Option<Timestamp> {
        let (date, time) = (clock.date(), clock.time());
        let clock_there = jiff::civil::DateTime::new(
            i16::try_from(date.year()).ok()?,
            i8::try_from(date.month()).ok()?,
            i8::try_from(date.day()).ok()?,
            i8::try_from(time.hour()).ok()?,
            i8::try_from(time.minute()).ok()?,
            i8::try_from(time.second()).ok()?,
            0,
        );
        let offset = match self
            .rules()
            .to_ambiguous_timestamp(clock_there.ok()?)
            .offset()
        {
            AmbiguousOffset::Unambiguous { offset } => offset,
            AmbiguousOffset::Fold { before, .. } => before,
            AmbiguousOffset::Gap { .. } => return None,
        };
        let local = fixed(offset).from_local_datetime(&clock).single()?;
        Some(local.to_utc())
    }

    fn rules(&self) -> tz::TimeZone {
        let known = TimeZoneDatabase::bundled().get(&self.0);
        known.unwrap_or(tz::TimeZone::UTC)
    }
}

/// A moment, as jiff has it.
fn instant(moment: Timestamp) -> jiff::Timestamp {
    let micros = moment.timestamp_micros();
    jiff::Timestamp::from_microsecond(micros).unwrap_or(jiff::Timestamp::MAX)
}

fn fixed(offset: tz::Offset) -> FixedOffset {
    FixedOffset::east_opt(offset.seconds()).unwrap_or_else(|| Utc.fix())
}

impl Default for TimeZone {
    fn default() -> Self {
        Self("UTC".to_owned())
    }
}

/// A moment of a request, as RFC 3339.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Moment(pub Timestamp);

impl<'de> Deserialize<'de> for Moment {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let expected = || {
            de::Error::custom(
                "must be an RFC 3339 time up to the year 9999, such as 2030-06-01T20:00:00Z",
            )
        };
        let text = String::deserialize(deserializer).map_err(|_| expected())?;
        parse(&text).map(Self).ok_or_else(expected)
    }
}

/// The moment that was `age` ago.
pub fn ago(age: Duration) -> Timestamp {
    now() - age
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(text: &str) -> Option<String> {
        parse(text).map(|moment| moment.to_rfc3339_opts(chrono::SecondsFormat::AutoSi, true))
    }

    #[test]
    fn a_time_is_read_to_the_end_of_the_year_9999_in_microseconds() {
        for (text, moment) in [
            ("2040-06-01T20:00:00+02:00", "2040-06-01T18:00:00Z"),
            (
                "2300-01-01T00:00:00.1234567Z",
                "2300-01-01T00:00:00.123456Z",
            ),
            ("9999-12-31T23:59:59Z", "9999-12-31T23:59:59Z"),
            (
                "9999-12-31T22:59:59.999999-01:00",
                "9999-12-31T23:59:59.999999Z",
            ),
        ] {
            assert_eq!(parsed(text).as_deref(), Some(moment), "{text}");
        }
        for text in [
            "9999-12-31T23:59:59-01:00",
            "9999-12-31T23:59:60Z",
            "0000-12-31T23:59:59Z",
            "10000-01-01T00:00:00Z",
            "2040-06-01",
            "2040-06-01T20:00:00",
        ] {
            assert_eq!(parsed(text), None, "{text}");
        }
    }

    #[test]
    fn a_zone_is_known_by_its_exact_name_and_shows_its_clocks() {
        let berlin: TimeZone = "Europe/Berlin".parse().unwrap();
        let clock = |text: &str| {
            berlin
                .local(parse(text).unwrap())
                .format("%H:%M")
                .to_string()
        };
        assert_eq!(clock("2027-03-28T00:59:59Z"), "01:59");
        assert_eq!(clock("2027-03-28T01:00:00Z"), "03:00");
        let moment = |text: &str| {
            let moment = berlin.moment(text.parse().unwrap());
            moment.map(|moment| moment.to_rfc3339_opts(chrono::SecondsFormat::Secs, true))
        };
        assert_eq!(moment("2027-03-28T02:30:00"), None);
        assert_eq!(
            moment("2027-03-28T03:00:00").as_deref(),
            Some("2027-03-28T01:00:00Z")
        );
        assert_eq!(
            moment("2027-10-31T02:30:00").as_deref(),
            Some("2027-10-31T00:30:00Z")
        );
        for unknown in ["", "europe/berlin", "Berlin", "+01:00", "Europe/Berlin "] {
            assert!(unknown.parse::<TimeZone>().is_err(), "{unknown}");
        }
    }

    #[test]
    fn a_leap_second_is_taken_only_where_one_can_be() {
        let next = Some("2040-07-01T00:00:00Z".to_owned());
        assert_eq!(parsed("2040-06-30T23:59:60Z"), next);
        assert_eq!(parsed("2040-07-01T01:59:60+02:00"), next);
        for text in [
            "2040-06-30T20:00:60Z",
            "2040-06-30T23:58:60Z",
            "2040-06-30T23:59:60+02:00",
        ] {
            assert_eq!(parsed(text), None, "{text}");
        }
    }

    #[test]
    fn a_moment_outside_of_the_years_that_can_be_written_is_none() {
        let last = 253_402_300_799_999_999;
        assert!(from_micros(last).is_some());
        for micros in [last + 1, i64::MAX, i64::MIN, -62_135_596_800_000_001] {
            assert_eq!(from_micros(micros), None, "{micros}");
        }
    }
}

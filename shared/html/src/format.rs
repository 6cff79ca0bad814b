//! Moments and amounts as people read them, in their language and on the venue's clocks.

use chrono::{Datelike, Timelike};
use shared::money::{Currency, Money};
use shared::time::{TimeZone, Timestamp};

use crate::language::Language;

const WEEKDAYS: [(&str, &str); 7] = [
    ("Mon", "Mo"),
    ("Tue", "Di"),
    ("Wed", "Mi"),
    ("Thu", "Do"),
    ("Fri", "Fr"),
    ("Sat", "Sa"),
    ("Sun", "So"),
];

const MONTHS: [(&str, &str); 12] = [
    ("Jan", "Jan."),
    ("Feb", "Feb."),
    ("Mar", "März"),
    ("Apr", "Apr."),
    ("May", "Mai"),
    ("Jun", "Juni"),
    ("Jul", "Juli"),
    ("Aug", "Aug."),
    ("Sep", "Sept."),
    ("Oct", "Okt."),
    ("Nov", "Nov."),
    ("Dec", "Dez."),
];

/// A moment, on the clocks of a zone.
#[derive(Debug)]
pub struct When {
    /// As a machine reads it: with the zone's offset.
    pub machine: String,
    /// With its day.
    pub text: String,
    /// Without its day.
    pub clock: String,
    pub weekday: &'static str,
    pub day: u32,
    pub month: &'static str,
    pub year: i32,
}

impl When {
    pub fn of(language: Language, zone: &TimeZone, moment: Timestamp) -> Self {
        let local = zone.local(moment);
        let pick = |(english, german): (&'static str, &'static str)| match language {
            Language::English => english,
            Language::German => german,
        };
        let nth = |index: u32| usize::try_from(index).unwrap_or_default();
        let weekday = WEEKDAYS
            .get(nth(local.weekday().num_days_from_monday()))
            .copied();
        let weekday = pick(weekday.unwrap_or_default());
        let month = pick(MONTHS.get(nth(local.month0())).copied().unwrap_or_default());
        let (day, year) = (local.day(), local.year());
        let zone = zone.abbreviation(moment);
        let zone = match (language, zone.as_str()) {
            (Language::German, "CET") => "MEZ",
            (Language::German, "CEST") => "MESZ",
            (_, zone) => zone,
        };
        let (hour, minute) = (local.hour(), local.minute());
        // Spaces that don't break stand where a line must not.
        let (text, clock) = match language {
            Language::English => (
                format!("{weekday}, {day}\u{a0}{month} {year}, {hour:02}:{minute:02}\u{a0}{zone}"),
                format!("{hour:02}:{minute:02}\u{a0}{zone}"),
            ),
            Language::German => (
                format!(
                    "{weekday}., {day}.\u{a0}{month} {year}, {hour:02}:{minute:02}\u{a0}Uhr\u{a0}{zone}"
                ),
                format!("{hour:02}:{minute:02}\u{a0}Uhr\u{a0}{zone}"),
            ),
        };
        Self {
            machine: local.to_rfc3339(),
            text,
            clock,
            weekday,
            day,
            month,
            year,
        }
    }
}

/// An amount with its currency: 1,290.00 EUR, or 1.290,00 EUR.
pub fn money(language: Language, amount: Money) -> String {
    let (thousands, point) = match language {
        Language::English => (',', '.'),
        Language::German => ('.', ','),
    };
    let plain = amount.to_string();
    let (whole, fraction) = plain.split_once('.').unwrap_or((&plain, ""));
    let mut text = String::new();
    for (place, digit) in whole.chars().enumerate() {
        if place > 0 && (whole.len() - place).is_multiple_of(3) {
            text.push(thousands);
        }
        text.push(digit);
    }
    if !fraction.is_empty() {
        text.push(point);
        text.push_str(fraction);
    }
    format!("{text}\u{a0}{}", amount.currency().code())
}

/// As [`money`], but nothing to pay is "free".
pub fn price(language: Language, amount: Money) -> String {
    if amount.is_zero() {
        language.price_free().to_owned()
    } else {
        money(language, amount)
    }
}

/// So many times an amount.
pub fn times(amount: Money, quantity: i32) -> Money {
    sum(amount.currency(), [(amount, quantity)])
}

/// What several lines cost together.
pub fn sum(currency: Currency, lines: impl IntoIterator<Item = (Money, i32)>) -> Money {
    let lines = lines.into_iter();
    let minor = lines.map(|(amount, quantity)| amount.minor().saturating_mul(quantity.into()));
    Money::from_minor(minor.fold(0, i64::saturating_add), currency)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_moment_is_told_on_the_clocks_of_the_venue_on_both_sides_of_a_change() {
        let berlin = "Europe/Berlin".parse().unwrap();
        let told = |language, text: &str| {
            let moment = shared::time::parse(text).unwrap();
            When::of(language, &berlin, moment)
                .text
                .replace('\u{a0}', " ")
        };
        let (english, german) = (Language::English, Language::German);
        assert_eq!(
            told(english, "2027-03-28T00:59:00Z"),
            "Sun, 28 Mar 2027, 01:59 CET"
        );
        assert_eq!(
            told(english, "2027-03-28T01:00:00Z"),
            "Sun, 28 Mar 2027, 03:00 CEST"
        );
        assert_eq!(
            told(german, "2027-10-31T00:30:00Z"),
            "So., 31. Okt. 2027, 02:30 Uhr MESZ"
        );
        assert_eq!(
            told(german, "2027-10-31T01:30:00Z"),
            "So., 31. Okt. 2027, 02:30 Uhr MEZ"
        );
    }

    #[test]
    fn an_amount_has_the_marks_of_its_language_and_the_decimals_of_its_currency() {
        let told = |language, minor, currency: &str| {
            let amount = Money::from_minor(minor, currency.parse().unwrap());
            money(language, amount).replace('\u{a0}', " ")
        };
        assert_eq!(told(Language::English, 129_000, "EUR"), "1,290.00 EUR");
        assert_eq!(told(Language::German, 129_000, "EUR"), "1.290,00 EUR");
        assert_eq!(told(Language::German, 1_500_000, "JPY"), "1.500.000 JPY");
        assert_eq!(told(Language::English, 999, "KWD"), "0.999 KWD");
    }
}

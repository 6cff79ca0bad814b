//! Lists in pages, by keyset: a page starts after the position where the last one ended, so that
//! no row is shown twice or missed because others came meanwhile.

use std::fmt::Display;
use std::str::FromStr;

use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use ring::digest;
use serde::Serialize;

use crate::time::{self, Timestamp};

/// The most that a page holds.
const MAX_PAGE_SIZE: usize = 100;

/// What a page holds where nobody says how much.
const DEFAULT_PAGE_SIZE: usize = 20;

/// A `limit` or `cursor` that is invalid.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum InvalidPage {
    #[error("must be a whole number from 1 to {MAX_PAGE_SIZE}")]
    Limit,
    #[error("must be the next_cursor of an earlier page of this list")]
    Cursor,
}

/// Where a row stands in its list: a moment, and an id for rows of the same moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Position<Id> {
    pub at: Timestamp,
    pub id: Id,
}

/// A position as clients carry it: a text that only we read.
#[derive(Debug, Serialize)]
#[serde(transparent)]
pub struct Cursor(String);

impl Cursor {
    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Which part of a list is wanted.
#[derive(Debug, Clone)]
pub struct Page<Id> {
    list: String,
    limit: usize,
    after: Option<Position<Id>>,
}

/// One page of a list.
#[derive(Debug, Serialize)]
pub struct Paginated<T> {
    pub items: Vec<T>,
    /// The `cursor` of the next page; null on the last one.
    pub next_cursor: Option<Cursor>,
}

impl<Id: Display + FromStr> Page<Id> {
    /// Parses the query parameters `limit` and `cursor`. `list` names the list and its owner, as in
    /// `bookings of 7`. A cursor is valid only for the list that issued it.
    ///
    /// # Errors
    /// A limit outside 1 to 100, or a cursor that this list didn't give out.
    pub fn parse(
        list: &str,
        limit: Option<&str>,
        cursor: Option<&str>,
    ) -> Result<Self, InvalidPage> {
        let limit = match limit {
            None => DEFAULT_PAGE_SIZE,
            Some(text) => text
                .parse()
                .ok()
                .filter(|limit| (1..=MAX_PAGE_SIZE).contains(limit))
                .ok_or(InvalidPage::Limit)?,
        };
        let after = match cursor {
            None => None,
            Some(text) => Some(decode(list, text).ok_or(InvalidPage::Cursor)?),
        };
        Ok(Self {
            list: list.to_owned(),
            limit,
            after,
        })
    }

    /// How many rows to read: one more than are shown, which tells whether there is a next page.
    pub fn rows_to_read(&self) -> i64 {
        self.limit as i64 + 1
    }

    /// The position that the page starts after.
    pub fn after(&self) -> Option<&Position<Id>> {
        self.after.as_ref()
    }

    /// The page that `rows` make, as many as [`Self::rows_to_read`] said.
    pub fn of<T>(&self, mut rows: Vec<T>, position: impl Fn(&T) -> Position<Id>) -> Paginated<T> {
        let has_next = rows.len() > self.limit;
        rows.truncate(self.limit);
        let next_cursor = rows
            .last()
            .filter(|_| has_next)
            .map(|last| encode(&self.list, &position(last)));
        Paginated {
            items: rows,
            next_cursor,
        }
    }
}

fn encode<Id: Display>(list: &str, position: &Position<Id>) -> Cursor {
    let text = format!("{} {}", position.at.timestamp_micros(), position.id);
    let text = format!("{} {text}", check(list, &text));
    Cursor(BASE64_URL_SAFE_NO_PAD.encode(text))
}

fn decode<Id: FromStr>(list: &str, cursor: &str) -> Option<Position<Id>> {
    let text = String::from_utf8(BASE64_URL_SAFE_NO_PAD.decode(cursor).ok()?).ok()?;
    let (given, text) = text.split_once(' ')?;
    if given != check(list, text) {
        return None;
    }
    let (micros, id) = text.split_once(' ')?;
    let at = time::from_micros(micros.parse().ok()?)?;
    Some(Position {
        at,
        id: id.parse().ok()?,
    })
}

/// What binds a cursor to its list. It keeps mistakes out, not attackers: a position that somebody
/// makes up shows them nothing that a list of theirs would not.
fn check(list: &str, text: &str) -> String {
    let digest = digest::digest(&digest::SHA256, format!("{list}\n{text}").as_bytes());
    BASE64_URL_SAFE_NO_PAD.encode(&digest.as_ref()[..12])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::EventId;

    #[test]
    fn a_cursor_is_read_back_by_its_own_list_and_a_forged_one_refused() {
        let id: EventId = "E123".parse().unwrap();
        for micros in [0, 1, 253_402_300_799_999_999, -62_135_596_800_000_000] {
            let at = time::from_micros(micros).unwrap();
            let position = Position { at, id: id.clone() };
            let Cursor(text) = encode("events", &position);
            assert_eq!(decode("events", &text), Some(position));
            assert_eq!(decode::<EventId>("bookings of 7", &text), None);
            let mut bytes = text.into_bytes();
            for index in 0..bytes.len() {
                let kept = bytes[index];
                bytes[index] = if kept == b'A' { b'B' } else { b'A' };
                let forged = String::from_utf8(bytes.clone()).unwrap();
                assert_eq!(decode::<EventId>("events", &forged), None, "{forged}");
                bytes[index] = kept;
            }
        }
        let plain = BASE64_URL_SAFE_NO_PAD.encode("1700000000000000 E123");
        for forged in ["", "%", "AAAA", "MTIzNDU", &plain, &"A".repeat(10_000)] {
            assert_eq!(decode::<EventId>("events", forged), None, "{forged:.20}");
        }
    }

    #[test]
    fn a_page_shows_its_limit_and_tells_of_the_next() {
        let page = Page::<EventId>::parse("events", Some("2"), None).unwrap();
        let position = |_: &i32| Position {
            at: crate::time::now(),
            id: "E".parse().unwrap(),
        };
        assert!(page.of(vec![1, 2, 3], position).next_cursor.is_some());
        assert!(page.of(vec![1, 2], position).next_cursor.is_none());
        for limit in ["0", "101", "-1", "x", "", "1.0", "18446744073709551616"] {
            assert!(
                Page::<EventId>::parse("events", Some(limit), None).is_err(),
                "{limit}"
            );
        }
    }
}

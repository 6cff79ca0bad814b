//! Values as strings in JSON.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, de};

/// Reads a JSON string as a `T`, with `T`'s own words where it is none.
pub fn parse_string<'de, D, T>(deserializer: D) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: FromStr<Err: fmt::Display>,
{
    let text =
        String::deserialize(deserializer).map_err(|_| de::Error::custom("must be a string"))?;
    text.parse().map_err(de::Error::custom)
}

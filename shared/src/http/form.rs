//! The fields of a form that a browser has sent.

use std::collections::HashMap;
use std::str::FromStr;

use serde::de::DeserializeOwned;

/// The fields of a form, each a text.
#[derive(Debug)]
pub struct Form(HashMap<String, String>);

impl Form {
    pub(super) fn of(fields: HashMap<String, String>) -> Self {
        Self(fields)
    }

    /// A field as it was typed; empty where it is not there.
    pub fn text(&self, name: &str) -> &str {
        self.0.get(name).map_or("", String::as_str)
    }

    /// Whether a field is there and is not this.
    pub fn differs(&self, name: &str, value: &str) -> bool {
        self.0.get(name).is_some_and(|typed| typed != value)
    }

    /// All fields.
    pub fn fields(&self) -> impl Iterator<Item = (&str, &str)> {
        let fields = self.0.iter();
        fields.map(|(name, value)| (name.as_str(), value.as_str()))
    }

    /// A field as a value of the business that is a string in JSON; `None` where it is no such value.
    pub fn value<T: DeserializeOwned>(&self, name: &str) -> Option<T> {
        serde_json::from_value(self.text(name).into()).ok()
    }

    /// A field that may be empty. The outer `None` means that it is invalid.
    pub fn optional<T: DeserializeOwned>(&self, name: &str) -> Option<Option<T>> {
        match self.text(name) {
            "" => Some(None),
            _ => self.value(name).map(Some),
        }
    }

    /// Parses a field. Returns `None` if its text is no valid `T`.
    pub fn parse<T: FromStr>(&self, name: &str) -> Option<T> {
        self.text(name).parse().ok()
    }
}

//! A JSON object decoded field by field, so that one answer names every field at fault.

use std::collections::BTreeMap;
use std::fmt;

use serde::de::{DeserializeOwned, MapAccess, Visitor};
use serde::{Deserialize, Deserializer, de};
use serde_json::Value;
use serde_json::value::RawValue;

use super::problem::{Code, FieldError, Problem};
use crate::money::Number;

/// A request that a JSON object is decoded into.
pub trait Decode: Sized {
    /// Takes the fields that it needs. Returns `None` if one is invalid; `fields` has recorded the error.
    fn decode(fields: &mut Fields) -> Option<Self>;
}

/// The fields of a request's body that were not taken yet, and the errors found so far.
#[derive(Debug)]
pub struct Fields {
    left: Vec<(String, Box<RawValue>)>,
    errors: Vec<FieldError>,
}

impl Fields {
    /// Reads `body` as one JSON object.
    ///
    /// # Errors
    /// No JSON, no object, or a name that stands twice: readers that take the first and readers
    /// that take the last would see two different requests.
    pub fn parse(body: &[u8]) -> Result<Self, Problem> {
        serde_json::from_slice::<Object>(body)
            .map(|Object(left)| Self {
                left,
                errors: Vec::new(),
            })
            .map_err(|error| {
                Problem::new(
                    Code::MalformedRequest,
                    format!("The body must be a JSON object: {error}."),
                )
            })
    }

    /// No body: no fields.
    pub(super) fn none() -> Self {
        Self {
            left: Vec::new(),
            errors: Vec::new(),
        }
    }

    /// Refuses every field: for a request that takes none.
    ///
    /// # Errors
    /// 422 with every field that there is.
    pub fn refuse_all(self) -> Result<(), Problem> {
        self.finish(Some(()))
    }

    /// The object's canonical form, the same for every body that means the same: fields by name, numbers
    /// by value, strings unescaped.
    pub(super) fn canonical(&self) -> String {
        let fields: BTreeMap<_, _> = self
            .left
            .iter()
            .map(|(name, value)| (name, canonical(value)))
            .collect();
        serde_json::json!(fields).to_string()
    }

    /// Takes a field that must be there; `None` after noting why it can't be taken.
    pub fn required<T: DeserializeOwned>(&mut self, name: &str) -> Option<T> {
        let Some(value) = self.take(name) else {
            self.reject(name, "is required");
            return None;
        };
        self.read(name, &value)
    }

    /// Takes a field that may be absent or null. The outer `None` means that it is invalid, and its error
    /// recorded; the inner `None` means that there is no value.
    pub fn optional<T: DeserializeOwned>(&mut self, name: &str) -> Option<Option<T>> {
        match self.take(name) {
            None => Some(None),
            Some(value) if value.get() == "null" => Some(None),
            Some(value) => self.read(name, &value).map(Some),
        }
    }

    /// Notes that a field can't be taken.
    pub fn reject(&mut self, name: &str, detail: impl fmt::Display) {
        let name = name.replace('~', "~0").replace('/', "~1");
        self.errors.push(FieldError {
            pointer: format!("/{name}"),
            detail: detail.to_string(),
        });
    }

    /// Decodes them as a request.
    ///
    /// # Errors
    /// 422 with every field at fault, or left over.
    pub fn decode<T: Decode>(mut self) -> Result<T, Problem> {
        let request = T::decode(&mut self);
        self.finish(request)
    }

    fn finish<T>(mut self, request: Option<T>) -> Result<T, Problem> {
        for (name, _) in std::mem::take(&mut self.left) {
            self.reject(&name, "is not a field of this request");
        }
        match request {
            Some(request) if self.errors.is_empty() => Ok(request),
            _ => Err(Problem::validation(self.errors)),
        }
    }

    fn take(&mut self, name: &str) -> Option<Box<RawValue>> {
        let index = self.left.iter().position(|(key, _)| key == name)?;
        Some(self.left.swap_remove(index).1)
    }

    fn read<T: DeserializeOwned>(&mut self, name: &str, value: &RawValue) -> Option<T> {
        match serde_json::from_str(value.get()) {
            Ok(value) => Some(value),
            Err(error) => {
                let text = error.to_string();
                // The position is one inside the field, of no use to who sent the whole.
                let detail = text.split(" at line ").next().unwrap_or(&text);
                self.reject(name, detail);
                None
            }
        }
    }
}

/// A JSON value with numbers as strings: as floats, two of them may be equal.
fn canonical(value: &RawValue) -> Value {
    if let Ok(number) = serde_json::from_str::<Number>(value.get()) {
        return serde_json::json!({"number": number.to_string()});
    }
    // No request has an object or a list in it, so that one never gets as far as being compared.
    serde_json::from_str(value.get()).unwrap_or_default()
}

struct Object(Vec<(String, Box<RawValue>)>);

impl<'de> Deserialize<'de> for Object {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct ObjectVisitor;

        impl<'de> Visitor<'de> for ObjectVisitor {
            type Value = Object;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a JSON object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Object, A::Error> {
                let mut fields: Vec<(String, Box<RawValue>)> = Vec::new();
                while let Some((name, value)) = map.next_entry::<String, Box<RawValue>>()? {
                    if fields.iter().any(|(known, _)| *known == name) {
                        return Err(de::Error::custom("duplicate field name"));
                    }
                    // No request has more than ten fields. This ends the search above, whose cost
                    // grows with the square of their number.
                    if fields.len() == 64 {
                        return Err(de::Error::custom("it has too many fields"));
                    }
                    fields.push((name, value));
                }
                Ok(Object(fields))
            }
        }

        deserializer.deserialize_map(ObjectVisitor)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::{EventId, UserId};

    fn errors(body: &str) -> String {
        let mut fields = Fields::parse(body.as_bytes()).unwrap();
        let user = fields.required::<UserId>("user_id");
        let event = fields.optional::<EventId>("event_id");
        let both = user.zip(event);
        fields
            .finish(both)
            .map_or_else(|problem| format!("{problem:?}"), |_| String::new())
    }

    #[test]
    fn every_field_at_fault_is_named() {
        let found = errors(r#"{"user_id": -1, "event_id": "a b", "a/b": 1}"#);
        for pointer in ["\"/user_id\"", "\"/event_id\"", "\"/a~1b\""] {
            assert!(found.contains(pointer), "{pointer} in {found}");
        }
        assert!(errors("{}").contains("is required"));
        assert_eq!(errors(r#"{"user_id": 1, "event_id": null}"#), "");
    }

    #[test]
    fn a_body_is_the_same_however_it_is_written_and_another_where_a_value_differs() {
        let canonical = |body: &str| Fields::parse(body.as_bytes()).unwrap().canonical();
        let body = canonical(r#"{"user_id":1,"event_id":"Eé","tickets":2,"amount":0.10}"#);
        for same in [
            r#" { "tickets" : 2.0 , "amount": 1e-1, "event_id" : "E\u00e9", "user_id" : 1 } "#,
            r#"{"amount":0.1,"event_id":"\u0045é","user_id":10e-1,"tickets":2}"#,
        ] {
            assert_eq!(canonical(same), body, "{same}");
        }
        for other in [
            r#"{"user_id":1,"event_id":"Eé","tickets":2}"#,
            r#"{"user_id":1,"event_id":"Eé","tickets":"2","amount":0.1}"#,
            r#"{"user_id":1,"event_id":"Eé","tickets":["2"],"amount":0.1}"#,
            r#"{"user_id":1,"event_id":"E","tickets":2,"amount":0.1}"#,
            r#"{"user_id":1,"event_id":"Eé","tickets":2,"amount":0.1000000000000000000001}"#,
            r#"{"user_id":1,"event_id":"Eé","tickets":2,"amount":0.1,"payment_method":null}"#,
        ] {
            assert_ne!(canonical(other), body, "{other}");
        }
    }

    #[test]
    fn what_is_no_single_object_is_malformed() {
        for body in [
            "",
            "[]",
            "1",
            "{",
            "{\"a\":1}x",
            "{\"a\":1,\"a\":1}",
            "{\"\\ud800\":1}",
        ] {
            assert!(Fields::parse(body.as_bytes()).is_err(), "{body:.60}");
        }
        assert!(Fields::parse(b"{\"a\":\"\xff\"}").is_err());
    }
}

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

/// Decodes a request of independent fields, each by the method of [`Fields`] that is named behind it.
macro_rules! decode {
    ($request:ty { $($field:ident: $method:ident $(($read:ty))?),+ $(,)? }) => {
        impl $crate::http::body::Decode for $request {
            fn decode(fields: &mut $crate::http::body::Fields) -> Option<Self> {
                // Take every field before returning `None` for one, so that all errors are recorded.
                $(let $field = fields.$method $(::<$read>)? (stringify!($field));)+
                Some(Self { $($field: $field?,)+ })
            }
        }
    };
}

pub(super) use decode;

/// The fields of a request's body that were not taken yet, and the errors found so far.
#[derive(Debug)]
pub struct Fields {
    /// Where the object is in the body, as a JSON Pointer: empty for the body itself.
    at: String,
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
            .map(|object| Self::of(String::new(), object))
            .map_err(|error| {
                Problem::new(
                    Code::MalformedRequest,
                    format!("The body must be a JSON object: {error}."),
                )
            })
    }

    /// No body: no fields.
    pub(super) fn none() -> Self {
        Self::of(String::new(), Object(Vec::new()))
    }

    fn of(at: String, Object(left): Object) -> Self {
        Self {
            at,
            left,
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

    /// Takes the new value of a property that is always set. The inner `None` means that it stays as it is.
    pub fn changed<T: DeserializeOwned>(&mut self, name: &str) -> Option<Option<T>> {
        match self.take(name) {
            None => Some(None),
            Some(value) => self.read(name, &value).map(Some),
        }
    }

    /// Takes the new value of an optional property. The outermost `None` means that the field is invalid. Inside it,
    /// `None` means that the property stays as it is, `Some(None)` that it is removed, and `Some(Some(…))` that it
    /// gets this value.
    pub fn changed_or_removed<T: DeserializeOwned>(
        &mut self,
        name: &str,
    ) -> Option<Option<Option<T>>> {
        self.changed(name)
    }

    /// Takes the new elements of a list that is there always. The inner `None` means that they stay as they are.
    pub fn changed_list<T: Decode>(&mut self, name: &str, most: usize) -> Option<Option<Vec<T>>> {
        if !self.names(name) {
            return Some(None);
        }
        if !self.has(name) {
            self.take(name);
            self.reject(name, "must be a list");
            return None;
        }
        self.list(name, most).map(Some)
    }

    /// Whether a field is there, null too, and was not taken yet.
    pub fn names(&self, name: &str) -> bool {
        self.left.iter().any(|(key, _)| key == name)
    }

    /// Takes a list of objects that may be absent or null, and then is empty. `None` after noting what is wrong.
    pub fn list<T: Decode>(&mut self, name: &str, most: usize) -> Option<Vec<T>> {
        self.list_by(name, most, T::decode)
    }

    /// As [`Self::list`], each object by `decode`.
    pub fn list_by<T>(
        &mut self,
        name: &str,
        most: usize,
        decode: impl Fn(&mut Self) -> Option<T>,
    ) -> Option<Vec<T>> {
        let Some(list) = self.optional::<Vec<Box<RawValue>>>(name)? else {
            return Some(Vec::new());
        };
        if list.len() > most {
            self.reject(name, format!("must have at most {most} elements"));
            return None;
        }
        let elements: Vec<_> = list
            .iter()
            .enumerate()
            .map(|(index, element)| self.nested(&format!("{name}/{index}"), element, &decode))
            .collect();
        elements.into_iter().collect()
    }

    /// Takes an object that may be absent or null. `None` after noting what is wrong.
    pub fn object<T: Decode>(&mut self, name: &str) -> Option<Option<T>> {
        match self.optional::<Box<RawValue>>(name)? {
            None => Some(None),
            Some(object) => self.nested(name, &object, T::decode).map(Some),
        }
    }

    /// Reads what is at a place below this object as an object.
    fn nested<T>(
        &mut self,
        place: &str,
        element: &RawValue,
        decode: impl Fn(&mut Self) -> Option<T>,
    ) -> Option<T> {
        let at = format!("{}/{place}", self.at);
        match serde_json::from_str::<Object>(element.get()) {
            Ok(object) => {
                let mut fields = Self::of(at, object);
                let decoded = decode(&mut fields);
                fields.reject_left();
                let sound = fields.errors.is_empty();
                self.errors.append(&mut fields.errors);
                decoded.filter(|_| sound)
            }
            Err(error) => {
                self.errors.push(FieldError {
                    pointer: at,
                    detail: format!("must be an object: {}", without_position(&error)),
                });
                None
            }
        }
    }

    /// Whether a field is there, other than null, and was not taken yet.
    pub fn has(&self, name: &str) -> bool {
        let mut left = self.left.iter();
        left.any(|(key, value)| key == name && value.get() != "null")
    }

    /// Takes a field that can't be given here; notes so, unless it is absent or null.
    pub fn refuse(&mut self, name: &str, detail: impl fmt::Display) {
        if self.take(name).is_some_and(|value| value.get() != "null") {
            self.reject(name, detail);
        }
    }

    /// Notes that a field can't be taken.
    pub fn reject(&mut self, name: &str, detail: impl fmt::Display) {
        let name = name.replace('~', "~0").replace('/', "~1");
        self.reject_at(&name, detail);
    }

    /// Records an error at a JSON Pointer, which is relative to this object and has no leading slash.
    pub fn reject_at(&mut self, pointer: &str, detail: impl fmt::Display) {
        self.errors.push(FieldError {
            pointer: format!("{}/{pointer}", self.at),
            detail: detail.to_string(),
        });
    }

    /// Decodes them as a request.
    ///
    /// # Errors
    /// 422 with every field at fault, or left over.
    pub fn decode<T: Decode>(self) -> Result<T, Problem> {
        self.decode_by(T::decode)
    }

    /// As [`Self::decode`], by `decode`.
    ///
    /// # Errors
    /// 422 with every field at fault, or left over.
    pub fn decode_by<T>(
        mut self,
        decode: impl FnOnce(&mut Self) -> Option<T>,
    ) -> Result<T, Problem> {
        let request = decode(&mut self);
        self.finish(request)
    }

    fn reject_left(&mut self) {
        for (name, _) in std::mem::take(&mut self.left) {
            self.reject(&name, "is not a field of this request");
        }
    }

    fn finish<T>(mut self, request: Option<T>) -> Result<T, Problem> {
        self.reject_left();
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
                self.reject(name, without_position(&error));
                None
            }
        }
    }
}

/// An error's message without its position. The position is relative to the field, and so of no use to a
/// client that sent the whole body.
fn without_position(error: &serde_json::Error) -> String {
    let text = error.to_string();
    let detail = text.split(" at line ").next().unwrap_or(&text);
    detail.to_owned()
}

/// How deep lists and objects may be nested in a body that is compared with another: no request has more.
const MAX_DEPTH: usize = 8;

/// A JSON value with numbers as strings: as floats, two of them may be equal.
fn canonical(value: &RawValue) -> Value {
    canonical_to(value, MAX_DEPTH)
}

fn canonical_to(value: &RawValue, depth: usize) -> Value {
    let Some(deeper) = depth.checked_sub(1) else {
        // No request is nested this deeply, so this body is refused and its canonical form never compared.
        return Value::Null;
    };
    let text = value.get();
    if let Ok(number) = serde_json::from_str::<Number>(text) {
        return serde_json::json!({"number": number.to_string()});
    }
    if let Ok(list) = serde_json::from_str::<Vec<&RawValue>>(text) {
        let list = list
            .into_iter()
            .map(|element| canonical_to(element, deeper));
        return list.collect();
    }
    if let Ok(Object(fields)) = serde_json::from_str::<Object>(text) {
        let fields = fields
            .iter()
            .map(|(name, value)| (name, canonical_to(value, deeper)));
        // In a field of its own, so that no object of a client looks like a number.
        return serde_json::json!({"object": fields.collect::<BTreeMap<_, _>>()});
    }
    // A string, a boolean or null; or something that no request has, so that the body is refused.
    serde_json::from_str(text).unwrap_or_default()
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
                    // No request has as many fields. This ends the search above, whose cost
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
    fn what_is_at_fault_in_a_list_is_named_by_its_place() {
        struct Wanted;
        impl Decode for Wanted {
            fn decode(fields: &mut Fields) -> Option<Self> {
                fields.required::<UserId>("user_id").map(|_| Self)
            }
        }
        let errors = |body: &str| {
            let mut fields = Fields::parse(body.as_bytes()).unwrap();
            let list = fields.list::<Wanted>("list", 3);
            let finished = fields.finish(list.map(|list| list.len()));
            finished.map_or_else(
                |problem| format!("{problem:?}"),
                |length| length.to_string(),
            )
        };
        assert_eq!(errors(r#"{"list": [{"user_id": 1}, {"user_id": 2}]}"#), "2");
        assert_eq!(errors(r#"{"list": null}"#), "0");
        assert_eq!(errors("{}"), "0");
        for (body, pointer) in [
            (
                r#"{"list": [{"user_id": 1}, {"user_id": 0}]}"#,
                "\"/list/1/user_id\"",
            ),
            (
                r#"{"list": [{"user_id": 1, "x/y": 2}]}"#,
                "\"/list/0/x~1y\"",
            ),
            (r#"{"list": [{"user_id": 1, "user_id": 1}]}"#, "\"/list/0\""),
            (r#"{"list": [[]]}"#, "\"/list/0\""),
            (r#"{"list": {}}"#, "\"/list\""),
            (r#"{"list": [1, 2, 3, 4]}"#, "\"/list\""),
        ] {
            let found = errors(body);
            assert!(found.contains(pointer), "{pointer} in {found}");
        }
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
        let nested = canonical(r#"{"items":[{"id":"a","n":1},{"id":"b","n":20}]}"#);
        let same = r#"{"items":[{"n":1.0,"id":"a"},{"n":2e1,"id":"\u0062"}]}"#;
        assert_eq!(canonical(same), nested);
        for other in [
            r#"{"items":[{"id":"b","n":20},{"id":"a","n":1}]}"#,
            r#"{"items":[{"id":"a","n":1},{"id":"b","n":20.5}]}"#,
            r#"{"items":[{"id":"a","n":1},{"id":"b","n":{"number":"20"}}]}"#,
            r#"{"items":{"id":"a","n":1}}"#,
        ] {
            assert_ne!(canonical(other), nested, "{other}");
        }
        let deep = format!("{{\"a\":{}{}}}", "[".repeat(100), "]".repeat(100));
        assert!(canonical(&deep).len() < 100);
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

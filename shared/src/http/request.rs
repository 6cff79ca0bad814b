//! A request as a handler reads it.

use std::str::FromStr;

use http::HeaderName;
use http::header::{AUTHORIZATION, CONTENT_TYPE};
use lambda_http::RequestExt;

use super::body::Fields;
use super::page::Page;
use super::problem::{Code, Problem};
use super::routes::Route;
use crate::idempotency::{IdempotencyKey, Repeatable, RequestHash};

/// The largest body taken, in bytes.
const LARGEST_BODY: usize = 64 * 1024;

const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");

/// One request to one route.
#[derive(Debug)]
pub struct Request {
    route: &'static Route,
    inner: lambda_http::Request,
}

impl Request {
    /// Takes a request of Lambda's for `route`.
    pub(super) fn new(route: &'static Route, inner: lambda_http::Request) -> Result<Self, Problem> {
        if inner.body().len() > LARGEST_BODY {
            let detail = format!("The body must be at most {LARGEST_BODY} bytes.");
            return Err(Problem::new(Code::PayloadTooLarge, detail));
        }
        Ok(Self { route, inner })
    }

    /// The token behind `Authorization: Bearer`.
    ///
    /// # Errors
    /// 401 where there is none.
    pub fn bearer_token(&self) -> Result<&str, Problem> {
        self.header(&AUTHORIZATION)?
            .and_then(|value| std::str::from_utf8(value).ok())
            .and_then(|value| value.split_once(' '))
            .filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"))
            .map(|(_, token)| token.trim())
            .ok_or_else(|| {
                Problem::unauthorized(
                    "Send the token that POST /login gives, as 'Authorization: Bearer …'.",
                )
            })
    }

    /// A parameter of the route's path; what can't be its kind of id names nothing.
    ///
    /// # Errors
    /// 404.
    pub fn path<T: FromStr>(&self, name: &str, what: &str) -> Result<T, Problem> {
        self.inner
            .path_parameters_ref()
            .and_then(|parameters| parameters.first(name))
            .and_then(|text| text.parse().ok())
            .ok_or_else(|| Problem::not_found(what))
    }

    /// The text behind the fixed part of the route's path.
    pub fn raw_path(&self) -> &str {
        self.inner.raw_http_path()
    }

    /// Which part of a list is wanted.
    ///
    /// # Errors
    /// 422, see [`Page::parse`].
    pub fn page<Id: std::fmt::Display + FromStr>(&self) -> Result<Page<Id>, Problem> {
        let query = self.inner.query_string_parameters_ref();
        let parameter = |name| query.and_then(|query| query.first(name));
        Page::parse(parameter("limit"), parameter("cursor"))
    }

    /// The fields of a JSON body.
    ///
    /// # Errors
    /// 415 for another content type, 400 for a body that is no JSON object.
    pub fn fields(&self) -> Result<Fields, Problem> {
        let content_type = self.header(&CONTENT_TYPE)?.unwrap_or_default();
        let essence = content_type
            .split(|byte| *byte == b';')
            .next()
            .unwrap_or_default();
        if !essence
            .trim_ascii()
            .eq_ignore_ascii_case(b"application/json")
        {
            let detail = format!(
                "{} {} takes 'Content-Type: application/json'.",
                self.route.method, self.route.path
            );
            return Err(Problem::new(Code::UnsupportedMediaType, detail));
        }
        Fields::parse(self.inner.body())
    }

    /// The request's idempotency key with the hash that binds it to this body, if it has one.
    ///
    /// # Errors
    /// 400 for a key that can't be one.
    pub fn repeatable(&self) -> Result<Option<Repeatable>, Problem> {
        let Some(value) = self.header(&IDEMPOTENCY_KEY)? else {
            return Ok(None);
        };
        let key = IdempotencyKey::parse(value).ok_or_else(|| {
            Problem::new(
                Code::MalformedRequest,
                "Idempotency-Key must be 1 to 255 printable ASCII characters.",
            )
        })?;
        Ok(Some(Repeatable {
            key,
            hash: RequestHash::of(self.inner.body()),
        }))
    }

    /// The one value of a header. Two values would be two readings.
    fn header(&self, name: &HeaderName) -> Result<Option<&[u8]>, Problem> {
        let mut values = self.inner.headers().get_all(name).iter();
        let first = values.next().map(|value| value.as_bytes());
        match values.next() {
            None => Ok(first),
            Some(_) => Err(Problem::new(
                Code::MalformedRequest,
                format!("The header {name} stands twice."),
            )),
        }
    }
}

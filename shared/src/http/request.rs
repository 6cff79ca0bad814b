//! A request as a handler reads it, from API Gateway's event (payload format 2.0).
//!
//! The event is never turned into a URL. None is needed, and clients choose the host, the scheme and the
//! query, which don't always form a valid one.

use std::collections::HashMap;
use std::fmt::Display;
use std::net::{IpAddr, Ipv4Addr};
use std::str::FromStr;

use aws_lambda_events::apigw::ApiGatewayV2httpRequest;
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use http::header::{
    ACCEPT_LANGUAGE, AUTHORIZATION, CONTENT_ENCODING, CONTENT_TYPE, HOST, IF_MATCH, ORIGIN,
};
use http::{HeaderMap, HeaderName};

use super::body::Fields;
use super::form::Form;
use super::problem::{Code, Problem};
use super::routes::{PAGES, Route};
use crate::auth::TokenVerifier;
use crate::idempotency::{IdempotencyKey, IdempotentRequest, RequestHash};
use crate::ids::UserId;
use crate::page::{InvalidPage, Page};
use crate::telemetry;

/// The largest body taken, in bytes.
const MAX_BODY_BYTES: usize = 64 * 1024;

const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");

/// One request to one route.
#[derive(Debug, Clone)]
pub struct Request {
    route: &'static Route,
    path: String,
    path_parameters: HashMap<String, String>,
    query: HashMap<String, String>,
    headers: HeaderMap,
    cookies: Vec<String>,
    address: IpAddr,
    body: Vec<u8>,
}

impl Request {
    /// Reads an event for `route`.
    ///
    /// # Errors
    /// 400 for what can't be read, 413 for a body that is too large.
    pub(super) fn read(route: &'static Route, event: &str) -> Result<Self, Problem> {
        Self::of(route, parse(event)?)
    }

    /// Reads an event for one of the pages that `function` serves.
    ///
    /// # Errors
    /// 404 where it serves no such page; else as [`Self::read`].
    pub(super) fn read_page(function: &str, event: &str) -> Result<Self, Problem> {
        let event = parse(event)?;
        let (method, path) = (&event.request_context.http.method, path(&event));
        let route = PAGES
            .iter()
            .find(|route| route.function == function && route.serves(method.as_str(), &path))
            .ok_or_else(|| Problem::not_found("page"))?;
        Self::of(route, event)
    }

    fn of(route: &'static Route, event: ApiGatewayV2httpRequest) -> Result<Self, Problem> {
        let path = path(&event);
        let address = event.request_context.http.source_ip;
        let query = match &event.raw_query_string {
            Some(query) => form_urlencoded::parse(query.as_bytes())
                .into_owned()
                .collect(),
            None => event
                .query_string_parameters
                .iter()
                .map(|(name, value)| (name.to_owned(), value.to_owned()))
                .collect(),
        };
        let body = event.body.unwrap_or_default();
        let body = if event.is_base64_encoded {
            BASE64_STANDARD
                .decode(body)
                .map_err(|_| malformed("The body is not valid base64."))?
        } else {
            body.into_bytes()
        };
        if body.len() > MAX_BODY_BYTES {
            let detail = format!("The body must be at most {MAX_BODY_BYTES} bytes.");
            return Err(Problem::new(Code::PayloadTooLarge, detail));
        }
        Ok(Self {
            route,
            path,
            path_parameters: event.path_parameters,
            query: once_each(query)?,
            headers: event.headers,
            cookies: event.cookies.unwrap_or_default(),
            address: address
                .and_then(|address| address.parse().ok())
                .unwrap_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED)),
            body,
        })
    }

    /// The route that it is for.
    pub fn route(&self) -> &'static Route {
        self.route
    }

    /// Where it comes from. Behind a proxy of one's own, that is the proxy.
    pub fn address(&self) -> IpAddr {
        self.address
    }

    /// The value of a cookie; none where it is not sent, or sent twice.
    pub fn cookie(&self, name: &str) -> Option<&str> {
        let header = self.headers.get(http::header::COOKIE);
        let header = header.and_then(|value| value.to_str().ok()).into_iter();
        let cookies = self.cookies.iter().map(String::as_str).chain(header);
        let mut values = cookies
            .flat_map(|cookies| cookies.split(';'))
            .filter_map(|cookie| cookie.trim().split_once('='))
            .filter(|(known, _)| *known == name)
            .map(|(_, value)| value);
        let first = values.next();
        first.filter(|_| values.next().is_none())
    }

    /// A parameter of the query.
    pub fn query(&self, name: &str) -> Option<&str> {
        self.query.get(name).map(String::as_str)
    }

    /// All parameters of the query.
    pub fn query_fields(&self) -> impl Iterator<Item = (&str, &str)> {
        let query = self.query.iter();
        query.map(|(name, value)| (name.as_str(), value.as_str()))
    }

    /// The languages that the browser prefers, as it says it.
    pub fn accept_language(&self) -> Option<&str> {
        let value = self.header(&ACCEPT_LANGUAGE).ok().flatten()?;
        std::str::from_utf8(value).ok()
    }

    /// The fields of a form that a page of ours has sent.
    ///
    /// # Errors
    /// 403 where another site has sent it, 415 where it is no form, 400 for a field that stands twice.
    pub fn form(&self) -> Result<Form, Problem> {
        let text = |name| {
            Ok::<_, Problem>(std::str::from_utf8(self.header(name)?.unwrap_or_default()).ok())
        };
        let (origin, host) = (text(&ORIGIN)?, text(&HOST)?);
        let origin = origin.and_then(|origin| {
            // Accept plain HTTP from this machine only: elsewhere, anybody on the network path could
            // send forms.
            let is_local =
                |host: &&str| host.starts_with("127.0.0.1") || host.starts_with("localhost");
            let plain = || origin.strip_prefix("http://").filter(is_local);
            origin.strip_prefix("https://").or_else(plain)
        });
        if origin.is_none() || origin != host {
            let detail = "A form is taken from this site only.";
            return Err(Problem::new(Code::Forbidden, detail));
        }
        let content_type = self.header(&CONTENT_TYPE)?.unwrap_or_default();
        let essence = content_type.split(|byte| *byte == b';').next();
        if !essence
            .unwrap_or_default()
            .trim_ascii()
            .eq_ignore_ascii_case(b"application/x-www-form-urlencoded")
        {
            let detail = "Send 'Content-Type: application/x-www-form-urlencoded'.";
            return Err(Problem::new(Code::UnsupportedMediaType, detail));
        }
        let fields = form_urlencoded::parse(&self.body).into_owned().collect();
        Ok(Form::of(once_each(fields)?))
    }

    /// The token behind `Authorization: Bearer`.
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

    /// The user whose token the request carries.
    ///
    /// # Errors
    /// 401 for a token that is missing, forged, expired or made for something else.
    pub fn user(&self, tokens: &TokenVerifier) -> Result<UserId, Problem> {
        let user = tokens.verify(self.bearer_token()?).ok_or_else(|| {
            Problem::unauthorized("This token is invalid or has expired. Log in again.")
        })?;
        telemetry::note_user(user);
        Ok(user)
    }

    /// The id in the route's path. Later log lines carry it, if it is one of `telemetry::request_span`.
    ///
    /// # Errors
    /// 404 if it can't be an id of this kind.
    pub fn path<T: FromStr + Display>(&self, name: &str, what: &str) -> Result<T, Problem> {
        let id = self
            .path_parameters
            .get(name)
            .and_then(|text| text.parse().ok())
            .ok_or_else(|| Problem::not_found(what))?;
        telemetry::note(name, &id);
        Ok(id)
    }

    /// The whole path, without the stage that may stand before it.
    pub fn raw_path(&self) -> &str {
        &self.path
    }

    /// The version that the client read, from the header `If-Match`. `None` if the header is absent or `*`. A tag
    /// that isn't one of ours counts as a version that nothing has.
    ///
    /// # Errors
    /// 400 for a header that is given twice.
    pub fn if_match(&self) -> Result<Option<i32>, Problem> {
        let Some(tag) = self.header(&IF_MATCH)?.map(<[u8]>::trim_ascii) else {
            return Ok(None);
        };
        if tag == b"*" {
            return Ok(None);
        }
        let tag = std::str::from_utf8(tag).ok();
        let number = tag.and_then(|tag| tag.strip_prefix('"')?.strip_suffix('"')?.parse().ok());
        Ok(Some(number.unwrap_or(0)))
    }

    /// Which part of `list` is wanted, see [`Page::parse`].
    ///
    /// # Errors
    /// 422, see [`Page::parse`].
    pub fn page<Id>(&self, list: &str) -> Result<Page<Id>, Problem>
    where
        Id: Display + FromStr,
    {
        let parameter = |name| self.query.get(name).map(String::as_str);
        Page::parse(list, parameter("limit"), parameter("cursor")).map_err(|invalid| {
            let pointer = match invalid {
                InvalidPage::Limit => "/limit",
                InvalidPage::Cursor => "/cursor",
            };
            Problem::field(pointer, invalid.to_string())
        })
    }

    /// The fields of a JSON body.
    ///
    /// # Errors
    /// 415 for another content type or a content coding, 400 for a body that is no JSON object.
    pub fn fields(&self) -> Result<Fields, Problem> {
        match self.header(&CONTENT_TYPE)? {
            Some(_) => self.json(),
            None => Err(self.unsupported()),
        }
    }

    /// The fields of a JSON body that is optional, as is its content type. Without a body, there are no fields.
    pub fn optional_fields(&self) -> Result<Fields, Problem> {
        if self.body.is_empty() {
            return Ok(Fields::none());
        }
        self.json()
    }

    fn json(&self) -> Result<Fields, Problem> {
        if let Some(coding) = self.header(&CONTENT_ENCODING)?
            && !coding.trim_ascii().eq_ignore_ascii_case(b"identity")
        {
            let detail = "Send the body without a Content-Encoding.";
            return Err(Problem::new(Code::UnsupportedMediaType, detail));
        }
        if let Some(content_type) = self.header(&CONTENT_TYPE)? {
            let mut parts = content_type.split(|byte| *byte == b';');
            let essence = parts.next().unwrap_or_default().trim_ascii();
            if !essence.eq_ignore_ascii_case(b"application/json") {
                return Err(self.unsupported());
            }
        }
        Fields::parse(&self.body)
    }

    fn unsupported(&self) -> Problem {
        let detail = format!(
            "{} {} takes 'Content-Type: application/json'.",
            self.route.method, self.route.path
        );
        Problem::new(Code::UnsupportedMediaType, detail)
    }

    /// The request's idempotency key with the hash that binds it to these fields, if it has one.
    pub fn idempotency(&self, fields: &Fields) -> Result<Option<IdempotentRequest>, Problem> {
        let Some(value) = self.header(&IDEMPOTENCY_KEY)? else {
            return Ok(None);
        };
        let key = IdempotencyKey::parse(value).ok_or_else(|| {
            malformed("Idempotency-Key must be 1 to 255 printable ASCII characters.")
        })?;
        Ok(Some(IdempotentRequest {
            key,
            hash: RequestHash::of(fields.canonical().as_bytes()),
        }))
    }

    /// The value of a header. A header that is given twice is ambiguous, and refused.
    fn header(&self, name: &HeaderName) -> Result<Option<&[u8]>, Problem> {
        let mut values = self.headers.get_all(name).iter();
        let first = values.next().map(|value| value.as_bytes());
        match values.next() {
            None => Ok(first),
            Some(_) => Err(malformed(&format!("The header {name} is given twice."))),
        }
    }
}

fn parse(event: &str) -> Result<ApiGatewayV2httpRequest, Problem> {
    serde_json::from_str(event).map_err(|_| malformed("The request can't be read."))
}

fn malformed(detail: &str) -> Problem {
    Problem::new(Code::MalformedRequest, detail)
}

/// The parameters of a query, or the fields of a form, by their names. Two of one name would be two readings.
fn once_each(parameters: Vec<(String, String)>) -> Result<HashMap<String, String>, Problem> {
    let mut query = HashMap::new();
    for (name, value) in parameters {
        if query.insert(name, value).is_some() {
            return Err(malformed("A parameter is given twice."));
        }
    }
    Ok(query)
}

/// The path as the routes spell it. API Gateway puts the name of a stage other than the default, or the
/// path of a custom domain's mapping, before the path. The route key has neither.
fn path(event: &ApiGatewayV2httpRequest) -> String {
    let whole = event.raw_path.as_deref().unwrap_or("/");
    let key = event.request_context.route_key.as_deref();
    let parts = key
        .and_then(|key| key.split_once(' '))
        .map(|(_, path)| path.matches('/').count());
    let start = parts.and_then(|parts| whole.rmatch_indices('/').nth(parts.checked_sub(1)?));
    match start {
        Some((start, _)) => whole[start..].to_owned(),
        None => whole.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::super::routes;
    use super::*;

    fn event(changes: Value) -> Value {
        let mut event = json!({
            "version": "2.0", "routeKey": "POST /bookings", "rawPath": "/bookings", "rawQueryString": "",
            "headers": {"content-type": "application/json", "host": "localhost"},
            "requestContext": {
                "http": {"method": "POST", "path": "/bookings"}, "stage": "$default", "routeKey": "POST /bookings",
            },
            "body": "{}", "isBase64Encoded": false,
        });
        for (name, value) in changes.as_object().unwrap() {
            event[name] = value.clone();
        }
        event
    }

    fn read(event: &Value) -> Result<Request, Problem> {
        Request::read(&routes::CREATE_BOOKING, &event.to_string())
    }

    fn status(answer: Result<impl Sized, Problem>) -> u16 {
        answer.map_or_else(
            |problem| problem.into_response("").status().as_u16(),
            |_| 200,
        )
    }

    #[test]
    fn odd_hosts_schemes_and_queries_are_read_as_any_other() {
        for proto in ["https,http", "", "1", "\u{7f}"] {
            let event = event(json!({"headers": {"x-forwarded-proto": proto}}));
            assert!([200, 400].contains(&status(read(&event))), "{proto:?}");
        }
        for host in ["localhost:99999", "a b", "[", "%zz", "", "::"] {
            assert_eq!(
                status(read(&event(json!({"headers": {"host": host}})))),
                200,
                "{host}"
            );
        }
        let long = format!("x={}", "a".repeat(70_000));
        for query in ["x=\"a\"", "<>", "%", "%ff", "=", "&&", "x={}|^`", &long] {
            let event = event(json!({"rawQueryString": query}));
            assert_eq!(status(read(&event)), 200, "{query:.20}");
        }
    }

    #[test]
    fn what_can_not_be_read_is_malformed() {
        let body = json!({"body": "no base64!", "isBase64Encoded": true});
        assert_eq!(status(read(&event(body))), 400);
        assert_eq!(status(read(&event(json!({"headers": {"a b": "c"}})))), 400);
        assert_eq!(status(read(&event(json!({"headers": {"a": "b\nc"}})))), 400);
        assert_eq!(
            status(read(&event(json!({"rawQueryString": "a=1&b=2&a=1"})))),
            400
        );
        assert_eq!(status(read(&json!({}))), 400);
        assert_eq!(status(Request::read(&routes::LOGIN, "no JSON")), 400);
    }

    #[test]
    fn a_body_is_taken_as_json_without_a_coding() {
        let with = |headers: Value| read(&event(json!({"headers": headers}))).unwrap();
        let json = "application/json";
        for (headers, expected, optional) in [
            (json!({"content-type": json}), 200, 200),
            (
                json!({"content-type": "Application/JSON; charset=utf-8"}),
                200,
                200,
            ),
            (
                json!({"content-type": json, "content-encoding": "identity"}),
                200,
                200,
            ),
            (
                json!({"content-type": json, "content-encoding": "gzip"}),
                415,
                415,
            ),
            (
                json!({"content-type": json, "content-encoding": ""}),
                415,
                415,
            ),
            (json!({"content-type": "text/plain"}), 415, 415),
            (json!({}), 415, 200),
        ] {
            let request = with(headers.clone());
            assert_eq!(status(request.fields()), expected, "{headers}");
            assert_eq!(status(request.optional_fields()), optional, "{headers}");
        }
        let none = read(&event(json!({"headers": {}, "body": null}))).unwrap();
        assert_eq!(
            (status(none.fields()), status(none.optional_fields())),
            (415, 200)
        );
    }

    #[test]
    fn a_path_is_told_without_its_stage_or_mapping() {
        for (key, raw, path) in [
            ("GET /docs", "/docs", "/docs"),
            ("GET /docs", "/prod/docs", "/docs"),
            ("GET /docs/{asset}", "/prod/v1/docs/a.css", "/docs/a.css"),
            ("POST /e/{event_id}/book", "/prod/e/e/book", "/e/e/book"),
            ("GET /e/{event_id}", "/e/book", "/e/book"),
            ("$default", "/docs", "/docs"),
        ] {
            let context =
                json!({"http": {"method": "GET", "path": raw}, "routeKey": key, "stage": "prod"});
            let event = event(json!({"rawPath": raw, "requestContext": context}));
            assert_eq!(read(&event).unwrap().raw_path(), path, "{key} {raw}");
        }
    }

    /// Builds an event from bytes that proptest chose. This is far faster than nested strategies, and so
    /// allows many cases.
    struct Choices<'a>(std::slice::Iter<'a, u8>);

    impl Choices<'_> {
        fn byte(&mut self) -> usize {
            self.0.next().copied().unwrap_or_default().into()
        }

        fn of<T: Copy>(&mut self, all: &[T]) -> T {
            all[self.byte() % all.len()]
        }

        fn text(&mut self) -> String {
            const PARTS: [&str; 32] = [
                "",
                "a",
                "E123",
                "1",
                "-1",
                "99999",
                "https,http",
                ":",
                "/",
                "%",
                "%zz",
                "%ff",
                "%00",
                "\"",
                "<",
                ">",
                "[",
                "]",
                "{",
                "}",
                "&",
                "=",
                "limit=",
                "cursor=",
                "Bearer ",
                " ",
                "\n",
                "\0",
                "é",
                "\u{202e}",
                "🎟",
                "application/json",
            ];
            (0..self.byte() % 6).map(|_| self.of(&PARTS)).collect()
        }

        fn texts(&mut self, names: &[&str]) -> Value {
            let entries = (0..self.byte() % 4).map(|_| {
                let name = match self.byte() % 4 {
                    0 => self.text(),
                    _ => self.of(names).to_owned(),
                };
                (name, Value::from(self.text()))
            });
            Value::Object(entries.collect())
        }

        /// A part of the event, now and then of another type than it should be.
        fn or_odd(&mut self, part: Value) -> Value {
            match self.byte() % 16 {
                0 => Value::Null,
                1 => json!(1e300),
                2 => json!([part]),
                _ => part,
            }
        }

        fn body(&mut self) -> Value {
            let fields = self.texts(&["user_id", "event_id", "tickets", "payment_method"]);
            let numbers = fields.to_string().replace("\"1\"", "1");
            match self.byte() % 4 {
                0 => Value::Null,
                1 => self.text().into(),
                2 => BASE64_STANDARD.encode(numbers).into(),
                _ => numbers.into(),
            }
        }

        fn event(&mut self) -> Value {
            let headers = self.texts(&[
                "host",
                "x-forwarded-proto",
                "x-forwarded-port",
                "content-type",
                "content-encoding",
                "authorization",
                "idempotency-key",
                "cookie",
                "content-length",
            ]);
            let parameters = self.texts(&["booking_id", "event_id", "payment_id", "asset"]);
            let (key, path, query) = (self.text(), self.text(), self.text());
            let (headers, body) = (self.or_odd(headers), self.body());
            json!({
                "version": "2.0", "routeKey": &key, "rawPath": self.or_odd(path.clone().into()),
                "rawQueryString": self.or_odd(query.into()), "headers": headers, "cookies": [self.text()],
                "queryStringParameters": self.texts(&["limit", "cursor"]),
                "pathParameters": self.or_odd(parameters), "body": self.or_odd(body),
                "isBase64Encoded": self.byte().is_multiple_of(4),
                "requestContext": {
                    "http": {"method": self.of(&["GET", "POST", "HEAD", "odd", ""]), "path": path},
                    "routeKey": key, "stage": self.text(), "domainName": self.text(),
                },
            })
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 100_000, failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn no_event_makes_the_decoding_panic_or_fail(choices in vec(any::<u8>(), 0..120)) {
            let event = Choices(choices.iter()).event();
            let decoded = read(&event).and_then(|request| {
                drop(request.bearer_token());
                drop(request.path::<crate::ids::BookingId>("booking_id", "booking"));
                drop(request.page::<crate::ids::EventId>("events"));
                drop(request.optional_fields());
                let fields = request.fields()?;
                request.idempotency(&fields)?;
                fields.decode::<crate::bookings::BookingRequest>().map(drop)
            });
            let status = status(decoded);
            prop_assert!((200..500).contains(&status), "{status}");
        }
    }
}

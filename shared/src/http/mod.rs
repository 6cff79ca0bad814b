//! The HTTP side of a function: a request decoded, a response encoded, one log line each.
//!
//! A function serves one [`Route`]: the table in [`routes`] names every route with its answers,
//! and [`openapi`] is made from that same table.

pub mod answers;
mod body;
mod decode;
mod decode_code;
mod decode_event;
mod errors;
mod form;
pub mod openapi;
mod problem;
mod request;
pub mod routes;

use std::time::{Instant, SystemTime};

use aws_lambda_events::apigw::ApiGatewayV2httpResponse;
use aws_lambda_events::encodings::Body;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use http::header::{
    CACHE_CONTROL, CONTENT_TYPE, ETAG, HeaderValue, LOCATION, RETRY_AFTER, SET_COOKIE,
    X_CONTENT_TYPE_OPTIONS,
};
use http::{HeaderName, StatusCode};
use lambda_runtime::Diagnostic;
use runtime::invocation::{self, Invocation, ServiceFuture};
use serde::Serialize;
use serde_json::value::to_raw_value;
use tracing::Instrument;

pub use body::{Decode, Fields};
pub use decode_code::{decode_code, decode_code_change};
pub use decode_event::{decode_type, decode_type_change};
pub use form::Form;
pub use problem::{Code, FieldError, Problem};
pub use request::Request;
pub use routes::Route;

use crate::{Error, calls, faults, telemetry};

/// A response to a request.
pub type Response = http::Response<Body>;

/// What a function answers a request with.
pub type Answer = Result<Response, Problem>;

/// Says that this response repeats the one that an earlier request with the same key had.
const IDEMPOTENT_REPLAYED: HeaderName = HeaderName::from_static("idempotent-replayed");

/// What answers requests. Not generic, so that the code around it is compiled once, here, and not in each function.
type Handler = &'static (dyn Fn(Request) -> BoxFuture<'static, Answer> + Send + Sync);

/// Answers the requests of `route` with `handle` until Lambda ends the process.
///
/// Every request leaves one log line with its function, route, status and elapsed milliseconds,
/// and a failed one a second with the whole chain of causes.
pub async fn serve<App, Handle, Answering>(
    route: &'static Route,
    app: &'static App,
    handle: Handle,
) -> Result<(), Error>
where
    App: Send + Sync + 'static,
    Handle: Fn(&'static App, Request) -> Answering + Copy + Send + Sync + 'static,
    Answering: Future<Output = Answer> + Send + 'static,
{
    let handler = handler(app, handle);
    let answers = move |invocation: Invocation| {
        let request_id = invocation.context.request_id.clone();
        let read = Request::read(route, invocation.payload.get());
        let show = move |problem: Problem| problem.into_response(&request_id);
        let answer = answer(
            invocation.context.deadline(),
            Some(route),
            read,
            Box::new(show),
            handler,
        );
        returned(route.function, &invocation.context.request_id, answer)
    };
    invocation::run(Box::new(answers)).await
}

/// Answers the requests for pages of `function` with `handle` until Lambda ends the process; a problem is a page
/// too, which `show` makes.
pub async fn serve_pages<App, Handle, Answering>(
    function: &'static str,
    app: &'static App,
    handle: Handle,
    show: fn(&Problem, Option<&Request>) -> Response,
) -> Result<(), Error>
where
    App: Send + Sync + 'static,
    Handle: Fn(&'static App, Request) -> Answering + Copy + Send + Sync + 'static,
    Answering: Future<Output = Answer> + Send + 'static,
{
    let handler = handler(app, handle);
    let answers = move |invocation: Invocation| {
        let read = Request::read_page(function, invocation.payload.get());
        let asked = read.as_ref().ok().cloned();
        let route = asked.as_ref().map(Request::route);
        let show = move |problem: Problem| show(&problem, asked.as_ref());
        let answer = answer(
            invocation.context.deadline(),
            route,
            read,
            Box::new(show),
            handler,
        );
        returned(function, &invocation.context.request_id, answer)
    };
    invocation::run(Box::new(answers)).await
}

fn handler<App, Handle, Answering>(app: &'static App, handle: Handle) -> Handler
where
    App: Send + Sync + 'static,
    Handle: Fn(&'static App, Request) -> Answering + Copy + Send + Sync + 'static,
    Answering: Future<Output = Answer> + Send + 'static,
{
    Box::leak(Box::new(move |request| handle(app, request).boxed()))
}

/// The answer as Lambda takes it, with what is logged on the way marked as this request's.
fn returned(
    function: &'static str,
    request_id: &str,
    answer: impl Future<Output = Response> + Send + 'static,
) -> ServiceFuture {
    let span = telemetry::request_span(function, request_id);
    let answer = async { to_raw_value(&encode(answer.await)).map_err(Error::from) };
    let answer = faults::returning(function, answer.boxed());
    let answer = answer.map(|answered| answered.map_err(Diagnostic::from));
    answer.instrument(span).boxed()
}

/// Answers one request. There is always a response: `show` renders a problem.
async fn answer(
    deadline: SystemTime,
    route: Option<&'static Route>,
    read: Result<Request, Problem>,
    show: Box<dyn FnOnce(Problem) -> Response + Send>,
    handler: Handler,
) -> Response {
    let started = Instant::now();
    let handled = async {
        let request = read?;
        calls::until(deadline, handler(request)).await
    };
    let response = handled.await.unwrap_or_else(|problem| show(problem.log()));
    tracing::info!(
        method = route.map(|route| route.method),
        route = route.map(|route| route.path),
        status = response.status().as_u16(),
        elapsed_ms = telemetry::elapsed_ms(started),
        "request completed"
    );
    response
}

/// A response as API Gateway takes it.
fn encode(response: Response) -> ApiGatewayV2httpResponse {
    let (mut parts, body) = response.into_parts();
    let mut answer = ApiGatewayV2httpResponse::default();
    if let http::header::Entry::Occupied(cookies) = parts.headers.entry(SET_COOKIE) {
        let (_, cookies) = cookies.remove_entry_mult();
        let cookies = cookies.filter_map(|cookie| cookie.to_str().ok().map(str::to_owned));
        answer.cookies = cookies.collect();
    }
    answer.status_code = parts.status.as_u16().into();
    answer.headers = parts.headers;
    answer.is_base64_encoded = matches!(body, Body::Binary(_));
    answer.body = Some(body);
    answer
}

/// A JSON response.
pub fn json(status: StatusCode, body: &impl Serialize) -> Response {
    match serde_json::to_string(body) {
        Ok(text) => text_response(status, "application/json", text),
        Err(cause) => Problem::internal("writing the response", cause)
            .log()
            .into_response(""),
    }
}

/// 200 with `body`.
pub fn ok(body: &impl Serialize) -> Response {
    json(StatusCode::OK, body)
}

/// 200 with an event, or with something else that has a version. The version is the ETag.
pub fn ok_of_version(body: &impl Serialize, version: i32) -> Response {
    let mut response = ok(body);
    if let Ok(tag) = HeaderValue::from_str(&format!("\"{version}\"")) {
        response.headers_mut().insert(ETAG, tag);
    }
    response
}

/// 201 with `body`.
pub fn created(body: &impl Serialize) -> Response {
    json(StatusCode::CREATED, body)
}

/// 202 with `body`. The outcome will be found at `location`, which is first worth a look after
/// `retry_after` seconds.
pub fn accepted(body: &impl Serialize, location: &str, retry_after: u32) -> Response {
    let mut response = json(StatusCode::ACCEPTED, body);
    let headers = response.headers_mut();
    if let Ok(location) = HeaderValue::from_str(location) {
        headers.insert(LOCATION, location);
    }
    headers.insert(RETRY_AFTER, HeaderValue::from(retry_after));
    response
}

/// An HTML page.
pub fn html(status: StatusCode, text: String) -> Response {
    text_response(status, "text/html; charset=utf-8", text)
}

/// An answer, marked as the one that an earlier request with the same key had if it was `replayed`.
pub fn marked(answer: Answer, replayed: bool) -> Answer {
    match answer {
        answer if !replayed => answer,
        Ok(mut response) => {
            response
                .headers_mut()
                .insert(IDEMPOTENT_REPLAYED, HeaderValue::from_static("true"));
            Ok(response)
        }
        Err(problem) => Err(problem.replayed()),
    }
}

/// A file that is the same until the next release.
pub fn asset(content_type: &str, bytes: Vec<u8>) -> Response {
    let mut response = Response::new(Body::Binary(bytes));
    let headers = response.headers_mut();
    if let Ok(content_type) = HeaderValue::from_str(content_type) {
        headers.insert(CONTENT_TYPE, content_type);
    }
    headers.insert(
        CACHE_CONTROL,
        HeaderValue::from_static("public, max-age=3600"),
    );
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    response
}

fn text_response(status: StatusCode, content_type: &'static str, text: String) -> Response {
    let mut response = Response::new(Body::Text(text));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    // Availability and a person's bookings are true only now.
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

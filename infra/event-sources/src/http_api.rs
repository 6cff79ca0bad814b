//! API Gateway's HTTP API, and Lambda's Invoke API beside it.
//!
//! Rules of API Gateway's that hold here: the routes of the template and no others; events of
//! payload format 2.0, repeated headers joined by commas; bodies of at most 10 MB; CORS as the template
//! has it; an integration that takes longer than 30 seconds is given up. Where API Gateway answers itself
//! it does so in a form of its own; here these answers are problem documents like all others.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use aws_lambda_events::apigw::ApiGatewayV2httpResponse;
use axum::Router;
use axum::body::{Body, Bytes, to_bytes};
use axum::extract::rejection::RawPathParamsRejection;
use axum::extract::{DefaultBodyLimit, RawPathParams, Request, State};
use axum::response::Response;
use axum::routing::{any, post};
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use chrono::Utc;
use http::HeaderMap;
use http::header::{COOKIE, HeaderValue, SET_COOKIE};
use serde_json::{Value, json};
use shared::Error;
use shared::http::routes::{ALL, PAGES};
use shared::http::{Code, Problem, Route};
use tokio::net::TcpListener;
use tokio::time::timeout;
use uuid::Uuid;

use crate::connection::Connections;
use crate::cors::Cors;
use crate::invoke_api;
use crate::lambda::{Invoked, Lambda};

type PathParameters = Result<RawPathParams, RawPathParamsRejection>;

const MAX_BODY_BYTES: usize = 10 * 1024 * 1024;
const INTEGRATION_TIMEOUT: Duration = Duration::from_secs(30);

/// Whether a URL has this character in no place: a client has to encode it.
fn is_unencoded(character: char) -> bool {
    !character.is_ascii_graphic() || "\"<>\\^`{|}".contains(character)
}

/// Answers requests at `address` for as long as the process lives, and at the same port of IPv6's
/// loopback address, where `cargo lambda invoke` and some others look for it.
///
/// # Errors
/// The address can't be listened at.
pub async fn serve(address: SocketAddr, lambda: Lambda, cors: &Cors) -> Result<(), Error> {
    let listener = TcpListener::bind(address)
        .await
        .map_err(|error| format!("listening at {address}: {error}"))?;
    let router = cors.apply(router(lambda));
    let other = SocketAddr::new(IpAddr::V6(Ipv6Addr::LOCALHOST), address.port());
    match TcpListener::bind(other).await {
        Ok(listener) => {
            let serving = axum::serve(Connections(listener), router.clone());
            tokio::spawn(serving.into_future());
        }
        Err(error) => {
            tracing::warn!(address = %other, %error, "not serving at IPv6's loopback address")
        }
    }
    tracing::info!(%address, "HTTP API listening");
    axum::serve(Connections(listener), router).await?;
    Ok(())
}

fn router(lambda: Lambda) -> Router {
    let mut router = Router::new().route(
        "/2015-03-31/functions/{function}/invocations",
        post(invoke_api::invoke).layer(DefaultBodyLimit::max(invoke_api::MAX_EVENT_BYTES)),
    );
    let mut by_path = HashMap::<&str, Vec<&'static Route>>::new();
    for route in ALL.iter().chain(PAGES) {
        by_path.entry(route.path).or_default().push(route);
    }
    for (path, routes) in by_path {
        let serve = move |State(lambda): State<Lambda>,
                          parameters: PathParameters,
                          request: Request| async move {
            // A parameter that is no UTF-8 names nothing.
            let Ok(parameters) = parameters else {
                return not_found().await;
            };
            let method = request.method().as_str();
            match routes
                .iter()
                .find(|route| route.methods().contains(&method))
            {
                Some(route) => integrate(&lambda, route, &parameters, request).await,
                None => not_found().await,
            }
        };
        router = router.route(path, any(serve));
    }
    router.fallback(not_found).with_state(lambda)
}

async fn not_found() -> Response {
    respond(Problem::not_found("route"), "")
}

/// Has the route's function answer a request.
async fn integrate(
    lambda: &Lambda,
    route: &Route,
    parameters: &RawPathParams,
    request: Request,
) -> Response {
    let request_id = Uuid::now_v7().to_string();
    let event = match event(route, parameters, request, &request_id).await {
        Ok(event) => event,
        Err(problem) => return respond(problem, &request_id),
    };
    let invoked = timeout(
        INTEGRATION_TIMEOUT,
        lambda.invoke(route.function, event.to_string()),
    )
    .await;
    let problem = match invoked {
        Ok(Ok(Invoked::Answered(answer))) => match answered(&answer) {
            Ok(response) => return response,
            Err(error) => Problem::internal("reading the function's answer", error),
        },
        Ok(Ok(Invoked::Failed(error))) => {
            let error = String::from_utf8_lossy(&error).into_owned();
            tracing::error!(
                function = route.function,
                request_id,
                error,
                "the function failed"
            );
            Problem::internal("invoking the function", error)
        }
        Ok(Err(error)) => {
            tracing::error!(function = route.function, request_id, %error, "invocation not started");
            Problem::unavailable("invoking the function", error)
        }
        Err(elapsed) => {
            tracing::error!(
                function = route.function,
                request_id,
                "the function took too long"
            );
            Problem::unavailable("waiting for the function", elapsed)
        }
    };
    respond(problem, &request_id)
}

/// The event that API Gateway makes of a request.
async fn event(
    route: &Route,
    parameters: &RawPathParams,
    request: Request,
    request_id: &str,
) -> Result<Value, Problem> {
    let malformed = |detail: &str| Problem::new(Code::MalformedRequest, detail);
    let (parts, body) = request.into_parts();
    if parts
        .uri
        .query()
        .is_some_and(|query| query.contains(is_unencoded))
    {
        return Err(malformed("Percent-encode the query."));
    }
    let body = to_bytes(body, MAX_BODY_BYTES).await.map_err(|_| {
        Problem::new(
            Code::PayloadTooLarge,
            "The body could not be read, or is more than 10 MB.",
        )
    })?;
    let mut headers = HeaderMap::new();
    let mut cookies = None;
    for name in parts.headers.keys() {
        let values = parts
            .headers
            .get_all(name)
            .iter()
            .map(HeaderValue::to_str)
            .collect::<Result<Vec<_>, _>>();
        let values = values
            .map_err(|_| malformed("A header has characters that are not printable ASCII."))?;
        if name == COOKIE {
            cookies = Some(
                values
                    .iter()
                    .flat_map(|value| value.split("; "))
                    .map(str::to_owned)
                    .collect::<Vec<_>>(),
            );
            continue;
        }
        let joined = HeaderValue::from_str(&values.join(","))
            .map_err(|_| malformed("A header can't be read."))?;
        headers.insert(name, joined);
    }
    let (body, is_base64_encoded) = event_body(body);
    let now = Utc::now();
    let headers: HashMap<_, _> = headers
        .iter()
        .map(|(name, value)| (name.as_str(), value.to_str().unwrap_or_default()))
        .collect();
    Ok(json!({
        "version": "2.0",
        "routeKey": format!("{} {}", parts.method, route.path),
        "rawPath": parts.uri.path(),
        "rawQueryString": parts.uri.query().unwrap_or_default(),
        "cookies": cookies,
        "headers": headers,
        "queryStringParameters": query_parameters(parts.uri.query().unwrap_or_default()),
        "pathParameters": parameters.iter().collect::<HashMap<_, _>>(),
        "requestContext": {
            "accountId": "000000000000",
            "apiId": "local",
            "domainName": headers.get("host"),
            "http": {
                "method": parts.method.as_str(),
                "path": parts.uri.path(),
                "protocol": "HTTP/1.1",
                "sourceIp": "127.0.0.1",
                "userAgent": headers.get("user-agent"),
            },
            "requestId": request_id,
            "routeKey": format!("{} {}", parts.method, route.path),
            "stage": "$default",
            "time": now.format("%d/%b/%Y:%T %z").to_string(),
            "timeEpoch": now.timestamp_millis(),
        },
        "body": body,
        "isBase64Encoded": is_base64_encoded,
    }))
}

/// The parameters of a query, those of the same name joined by commas.
fn query_parameters(query: &str) -> HashMap<String, String> {
    let mut parameters = HashMap::<String, String>::new();
    for (name, value) in form_urlencoded::parse(query.as_bytes()) {
        parameters
            .entry(name.into_owned())
            .and_modify(|joined| *joined = format!("{joined},{value}"))
            .or_insert_with(|| value.into_owned());
    }
    parameters
}

/// A body as it stands in an event: a text, or base64 where it is none.
fn event_body(body: Bytes) -> (Option<String>, bool) {
    if body.is_empty() {
        return (None, false);
    }
    match String::from_utf8(body.into()) {
        Ok(text) => (Some(text), false),
        Err(binary) => (Some(BASE64_STANDARD.encode(binary.into_bytes())), true),
    }
}

/// The response that a function's answer says.
fn answered(answer: &[u8]) -> Result<Response, Error> {
    let answer: ApiGatewayV2httpResponse = serde_json::from_slice(answer)?;
    let body = answer.body.as_deref().unwrap_or_default();
    let body = if answer.is_base64_encoded {
        BASE64_STANDARD.decode(body)?
    } else {
        body.to_vec()
    };
    let mut response = Response::new(Body::from(body));
    *response.status_mut() = u16::try_from(answer.status_code)?.try_into()?;
    response.headers_mut().extend(answer.headers);
    response.headers_mut().extend(answer.multi_value_headers);
    for cookie in answer.cookies {
        let cookie = HeaderValue::from_str(&cookie)?;
        response.headers_mut().append(SET_COOKIE, cookie);
    }
    Ok(response)
}

fn respond(problem: Problem, request_id: &str) -> Response {
    problem
        .into_response(request_id)
        .map(|body| Body::from(body.to_vec()))
}

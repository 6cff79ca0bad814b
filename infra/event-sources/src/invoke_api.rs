//! Lambda's own Invoke API, for functions that invoke functions and for `cargo lambda invoke`.

use axum::body::{Body, Bytes};
use axum::extract::rejection::BytesRejection;
use axum::extract::{Path, State};
use axum::response::Response;
use http::header::{ACCEPT, ACCEPT_ENCODING, AUTHORIZATION, CONTENT_TYPE, HeaderValue, USER_AGENT};
use http::{HeaderMap, StatusCode};
use serde_json::json;

use crate::lambda::{InvokeError, Invoked, Lambda};

/// The largest event that Lambda takes, in bytes.
pub const MAX_EVENT_BYTES: usize = 6 * 1024 * 1024;

const INVOCATION_TYPE: &str = "x-amz-invocation-type";
const FUNCTION_ERROR: &str = "x-amz-function-error";
const ERROR_TYPE: &str = "x-amzn-errortype";

/// Invokes a function with the event that is the request's body.
pub async fn invoke(
    State(lambda): State<Lambda>,
    Path(function): Path<String>,
    headers: HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Response {
    let Ok(event) = body else {
        return refused(
            StatusCode::PAYLOAD_TOO_LARGE,
            "RequestTooLargeException",
            "The event must be at most 6 MB.",
        );
    };
    let event = if event.is_empty() {
        Bytes::from_static(b"{}")
    } else {
        event
    };
    let awaits = headers
        .get(INVOCATION_TYPE)
        .is_none_or(|value| value != "Event");
    if !awaits {
        tokio::spawn(async move { lambda.invoke(&function, event).await });
        return with_status(StatusCode::ACCEPTED, Bytes::new());
    }
    match lambda.invoke(&function, event).await {
        Ok(Invoked::Answered(answer)) => with_status(StatusCode::OK, answer),
        Ok(Invoked::Failed(error)) => {
            let mut response = with_status(function_error_status(&headers), error);
            let unhandled = HeaderValue::from_static("Unhandled");
            response.headers_mut().insert(FUNCTION_ERROR, unhandled);
            response
        }
        Err(InvokeError::NoSuchFunction(_)) => refused(
            StatusCode::NOT_FOUND,
            "ResourceNotFoundException",
            "There is no such function.",
        ),
        Err(InvokeError::Throttled) => refused(
            StatusCode::TOO_MANY_REQUESTS,
            "TooManyRequestsException",
            "Rate exceeded.",
        ),
        Err(InvokeError::BrokenOff(_)) => refused(
            StatusCode::BAD_GATEWAY,
            "ServiceException",
            "The invocation broke off.",
        ),
    }
}

/// Lambda answers 200 to a function's error, and marks it by a header. `cargo lambda invoke` looks at
/// the status alone. It is told by what it sends: `Accept: */*` and none of the other usual headers.
fn function_error_status(headers: &HeaderMap) -> StatusCode {
    let usual = [AUTHORIZATION, USER_AGENT, ACCEPT_ENCODING, CONTENT_TYPE];
    let is_cargo_lambda = headers.get(ACCEPT).is_some_and(|value| value == "*/*")
        && !usual.iter().any(|name| headers.contains_key(name));
    if is_cargo_lambda {
        StatusCode::INTERNAL_SERVER_ERROR
    } else {
        StatusCode::OK
    }
}

fn with_status(status: StatusCode, body: Bytes) -> Response {
    let mut response = Response::new(Body::from(body));
    *response.status_mut() = status;
    response
}

/// An invocation that was not begun: as AWS's clients read it, and as `cargo lambda` does.
fn refused(status: StatusCode, kind: &'static str, message: &str) -> Response {
    let body = json!({"Message": message, "errorType": kind, "errorMessage": message});
    let mut response = with_status(status, body.to_string().into());
    let kind = HeaderValue::from_static(kind);
    response.headers_mut().insert(ERROR_TYPE, kind);
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_functions_error_is_200_to_every_client_but_cargo_lambda() {
        let status = |names: &[(http::HeaderName, &'static str)]| {
            let headers = names.iter().cloned();
            let headers = headers.map(|(name, value)| (name, HeaderValue::from_static(value)));
            function_error_status(&headers.collect())
        };
        let cargo_lambda = (ACCEPT, "*/*");
        let error = StatusCode::INTERNAL_SERVER_ERROR;
        assert_eq!(status(std::slice::from_ref(&cargo_lambda)), error);
        // Python's http.client, reqwest with a JSON body, curl, and a client that signs.
        assert_eq!(status(&[(ACCEPT_ENCODING, "identity")]), StatusCode::OK);
        for other in [
            (CONTENT_TYPE, "application/json"),
            (USER_AGENT, "curl/8"),
            (AUTHORIZATION, "AWS4-HMAC-SHA256"),
        ] {
            assert_eq!(status(&[cargo_lambda.clone(), other]), StatusCode::OK);
        }
        assert_eq!(status(&[]), StatusCode::OK);
    }
}

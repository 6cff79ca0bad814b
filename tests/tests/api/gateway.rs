//! What API Gateway does before a function is asked, and what no request may do to one.

use serde_json::{Value, json};
use shared::http::routes::ALL;
use tests::{Answer, TestApp, setting};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// Sends bytes as they are, and reads until the connection is closed: all interim answers and the last.
async fn raw(app: &TestApp, request: &[u8]) -> String {
    let address = app.url.strip_prefix("http://").unwrap();
    let mut stream = TcpStream::connect(address).await.unwrap();
    // The server may answer and close before it has read everything, so a failed write is no error.
    drop(stream.write_all(request).await);
    let mut answer = Vec::new();
    drop(stream.read_to_end(&mut answer).await);
    String::from_utf8_lossy(&answer).into_owned()
}

async fn get_with(app: &TestApp, target: &str, headers: &str) -> String {
    let request = format!("GET {target} HTTP/1.1\r\n{headers}Connection: close\r\n\r\n");
    raw(app, request.as_bytes()).await
}

fn status(answer: &str) -> u16 {
    let status = answer.strip_prefix("HTTP/1.1 ").unwrap_or_default();
    status
        .get(..3)
        .unwrap_or_default()
        .parse()
        .unwrap_or_default()
}

#[tokio::test]
async fn odd_hosts_and_schemes_are_answered_as_any_other() {
    let app = TestApp::start().await;
    for headers in [
        "Host: x\r\nX-Forwarded-Proto: https,http\r\n",
        "Host: x\r\nX-Forwarded-Proto: \r\n",
        "Host: x\r\nX-Forwarded-Proto: 1\r\n",
        "Host: localhost:99999\r\n",
        "Host: a b\r\n",
        "Host: [\r\n",
        "Host: %zz\r\n",
        "Host: \r\n",
    ] {
        let answer = get_with(&app, "/events?limit=1", headers).await;
        assert_eq!(status(&answer), 200, "{headers:?}: {answer}");
    }
    let long = format!("/events?limit=1&x={}", "a".repeat(60_000));
    let answer = get_with(&app, &long, "Host: x\r\n").await;
    assert_eq!(status(&answer), 200, "{answer:.200}");
}

#[tokio::test]
async fn a_query_that_is_not_encoded_is_malformed() {
    let app = TestApp::start().await;
    for target in [
        "/events?x=\"a\"",
        "/events?x=<a>",
        "/events?x={a}",
        "/events?x=a|b^c`d",
        "/events?x=a\\b",
        "/events?x=a b",
        "/events?x=\u{7f}",
    ] {
        let answer = get_with(&app, target, "Host: x\r\n").await;
        assert_eq!(status(&answer), 400, "{target:?}: {answer}");
        assert!(
            answer.contains("application/problem+json"),
            "{target:?}: {answer}"
        );
        assert!(
            answer.contains("/problems/malformed-request"),
            "{target:?}: {answer}"
        );
    }
    let answer = raw(&app, b"no HTTP at all\r\n\r\n").await;
    assert!(answer.contains("/problems/malformed-request"), "{answer}");
}

#[tokio::test]
async fn a_query_parameter_given_twice_is_malformed() {
    let app = TestApp::start().await;
    let user = app.user().await;
    for path in ["/events", "/bookings", "/notifications"] {
        for query in [
            "limit=1&limit=1",
            "limit=1&%6cimit=2",
            "x=1&y=2&x=3",
            "cursor=&cursor=",
        ] {
            let answer = app.get(&user, &format!("{path}?{query}")).await;
            assert_eq!(
                (answer.status, answer.problem()),
                (400, "malformed-request"),
                "{path}?{query}"
            );
        }
    }
}

#[tokio::test]
async fn head_is_answered_where_get_is_and_without_a_body() {
    let app = TestApp::start().await;
    let user = app.user().await;
    let made = app
        .post(&user, "/events", TestApp::event_body(json!({})))
        .await;
    let event = made.text("event_id");
    let codes = format!("/events/{event}/promo-codes");
    app.post(&user, &codes, json!({"code": "HELLO", "kind": "NONE"}))
        .await;
    let booking = app.book(&user, &event, 1).await;
    for route in ALL.iter().filter(|route| route.method == "GET") {
        let path = route
            .path
            .replace("{event_id}", &event)
            .replace("{booking_id}", &booking.text("booking_id"))
            .replace("{payment_id}", &booking.text("payment_id"))
            .replace("{code}", "HELLO")
            .replace("{asset}", "swagger-ui.css");
        let get = app.get(&user, &path).await;
        let head = app.request("HEAD", &path).bearer_auth(&user.token);
        let head = head.send().await.unwrap();
        assert_eq!((get.status, head.status().as_u16()), (200, 200), "{path}");
        assert_eq!(
            head.headers()["content-type"],
            get.headers["content-type"],
            "{path}"
        );
        assert_eq!(head.text().await.unwrap(), "", "{path}");
    }
    let nothing = app.request("HEAD", "/events/nothing").send().await.unwrap();
    assert_eq!(nothing.status(), 404);
    let posted = app.request("HEAD", "/login").send().await.unwrap();
    assert_eq!(posted.status(), 404);
}

#[tokio::test]
async fn a_preflight_is_answered_for_the_templates_origins_and_for_no_other() {
    let app = TestApp::start().await;
    let preflight = async |origin: &str| {
        let request = app.request("OPTIONS", "/bookings").header("origin", origin);
        let request = request
            .header("access-control-request-method", "POST")
            .header(
                "access-control-request-headers",
                "authorization,idempotency-key",
            );
        request.send().await.unwrap()
    };
    let allowed = preflight("https://shop.example").await;
    assert_eq!(allowed.status(), 204);
    let header = |name: &str| {
        let value = allowed
            .headers()
            .get(name)
            .map(|value| value.to_str().unwrap());
        value.unwrap_or_default().to_ascii_lowercase()
    };
    assert_eq!(
        header("access-control-allow-origin"),
        "https://shop.example"
    );
    assert_eq!(header("access-control-max-age"), "3600");
    for name in ["authorization", "content-type", "idempotency-key"] {
        assert!(
            header("access-control-allow-headers").contains(name),
            "{name}"
        );
    }
    for method in ["get", "head", "post"] {
        assert!(
            header("access-control-allow-methods").contains(method),
            "{method}"
        );
    }
    let refused = preflight("https://evil.example").await;
    assert!(
        !refused
            .headers()
            .contains_key("access-control-allow-origin")
    );
    let listing = app
        .request("GET", "/events?limit=1")
        .header("origin", "https://shop.example");
    let listed = app.send(listing).await;
    assert_eq!(
        listed.header("access-control-allow-origin"),
        Some("https://shop.example")
    );
    assert!(
        listed
            .header("access-control-expose-headers")
            .unwrap()
            .contains("retry-after")
    );
}

#[tokio::test]
async fn a_client_that_expects_100_continue_is_told_so() {
    let app = TestApp::start().await;
    let body = json!({"username": "nobody-at-all", "password": "password123"}).to_string();
    let request = format!(
        "POST /login HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nExpect: 100-continue\r\n\
         Content-Length: {}\r\nConnection: close\r\n\r\n{body}",
        body.len()
    );
    let answer = raw(&app, request.as_bytes()).await;
    let (interim, last) = answer.split_once("\r\n\r\n").unwrap();
    assert_eq!((status(interim), status(last)), (100, 401), "{answer}");
}

#[tokio::test]
async fn the_invoke_api_takes_6_mb_and_no_more() {
    let app = TestApp::start().await;
    let invoke = async |size: usize| {
        let event = format!("\"{}\"", "a".repeat(size - 2));
        let path = "/2015-03-31/functions/list-events/invocations";
        app.request("POST", path).body(event).send().await.unwrap()
    };
    let answer: Value = invoke(6 * 1024 * 1024).await.json().await.unwrap();
    assert_eq!(
        answer["statusCode"], 400,
        "the function itself has answered: {answer}"
    );
    assert_eq!(invoke(6 * 1024 * 1024 + 1).await.status(), 413);
}

#[tokio::test]
async fn a_body_with_a_content_coding_is_not_taken() {
    let app = TestApp::start().await;
    let user = app.user().await;
    let paths = [
        "/users",
        "/login",
        "/events",
        "/bookings",
        "/payments",
        "/bookings/bk_1/cancel",
    ];
    for path in paths {
        let with = async |coding: &str| {
            let request = app.request("POST", path).bearer_auth(&user.token);
            let request = request.header("content-type", "application/json");
            app.send(request.header("content-encoding", coding).body("{}"))
                .await
        };
        for coding in ["gzip", "br", "identity, gzip", "x"] {
            let answer = with(coding).await;
            assert_eq!(
                (answer.status, answer.problem()),
                (415, "unsupported-media-type"),
                "{path} {coding}"
            );
        }
        assert_ne!(with("identity").await.status, 415, "{path}");
    }
}

/// An event of a stage that isn't the default one, for one of the docs' routes.
fn staged(route: &str, path: &str) -> Value {
    json!({
        "version": "2.0", "routeKey": route, "rawPath": format!("/prod{path}"), "rawQueryString": "",
        "headers": {"host": "api.example.org"},
        "pathParameters": {"asset": path.rsplit('/').next()},
        "requestContext": {
            "http": {"method": "GET", "path": format!("/prod{path}")}, "stage": "prod", "routeKey": route,
        },
    })
}

#[tokio::test]
async fn the_docs_work_below_a_stages_name() {
    let app = TestApp::start().await;
    let answered = async |route: &str, path: &str| {
        let answer = app.invoke("api-docs", &staged(route, path)).await.unwrap();
        assert_eq!(answer["statusCode"], 200, "{path}: {answer}");
        answer["body"].as_str().unwrap().to_owned()
    };
    let page = answered("GET /docs", "/docs").await;
    for part in page.split('"').filter(|part| part.contains("docs/")) {
        assert!(part.starts_with("docs/"), "{part} is not below /prod/");
        answered("GET /docs/{asset}", &format!("/{part}")).await;
    }
    let described: Value =
        serde_json::from_str(&answered("GET /openapi.json", "/openapi.json").await).unwrap();
    assert_eq!(described["servers"][0]["url"], "./");
}

#[tokio::test]
async fn the_invoke_apis_errors_are_what_cargo_lambda_reads() {
    let app = TestApp::start().await;
    let client = reqwest::Client::new();
    let unsigned = async |function: &str| {
        let url = format!("{}/2015-03-31/functions/{function}/invocations", app.url);
        let answer = client.post(url).body("{}").send().await.unwrap();
        let status = answer.status();
        (status.as_u16(), answer.json::<Value>().await.unwrap())
    };
    for (function, status, kind) in [
        ("no-such-function", 404, "ResourceNotFoundException"),
        ("settle-bookings", 500, "InvalidEvent"),
    ] {
        let (answered, error) = unsigned(function).await;
        assert_eq!(
            (answered, &error["errorType"]),
            (status, &json!(kind)),
            "{error}"
        );
        for name in ["errorType", "errorMessage"] {
            assert!(
                error[name].as_str().is_some_and(|text| !text.is_empty()),
                "{error}"
            );
        }
    }
    // Another client is told as by Lambda: 200, and that it failed in a header.
    assert!(app.invoke("settle-bookings", &json!({})).await.is_err());
}

/// A body for a cancel, with a content type or without.
#[tokio::test]
async fn a_cancel_takes_no_body_or_an_empty_object() {
    let app = TestApp::start().await;
    let (user, event) = (app.user().await, app.event_with(9).await);
    let cancel = async |body: Option<&'static str>, content_type: Option<&str>| -> Answer {
        let booking = app.book(&user, &event, 1).await.text("booking_id");
        let path = format!("/bookings/{booking}/cancel");
        let mut request = app.request("POST", &path).bearer_auth(&user.token);
        if let Some(content_type) = content_type {
            request = request.header("content-type", content_type);
        }
        if let Some(body) = body {
            request = request.body(body);
        }
        app.send(request).await
    };
    let json = Some("application/json");
    assert_eq!(cancel(None, None).await.status, 200);
    assert_eq!(cancel(Some("{}"), json).await.status, 200);
    assert_eq!(cancel(Some("{}"), None).await.status, 200);
    let fields = cancel(Some(r#"{"tickets": [1], "reason": "ill"}"#), json).await;
    assert_eq!(
        (fields.status, fields.problem()),
        (422, "validation-failed")
    );
    assert_eq!(fields.pointers().len(), 2, "{fields:?}");
    assert_eq!(cancel(Some(""), json).await.status, 200);
    for wrong in ["{", "[]", "null", "1"] {
        let answer = cancel(Some(wrong), json).await;
        assert_eq!(
            (answer.status, answer.problem()),
            (400, "malformed-request"),
            "{wrong:?}"
        );
    }
    let plain = cancel(Some("{}"), Some("text/plain")).await;
    assert_eq!(plain.problem(), "unsupported-media-type");
}

#[test]
fn the_stack_of_the_tests_has_an_origin_of_its_own() {
    assert!(setting("ADMIT_CORS").contains("https://shop.example"));
}

//! Whatever is sent: a 4xx that says what to mend, and nothing stored.

use serde_json::{Value, json};
use tests::TestApp;

#[tokio::test]
async fn every_field_outside_its_rules_is_pointed_at() {
    let app = TestApp::start().await;
    let user = app.user().await;
    let event = |fields: Value| ("/events", TestApp::event_body(fields));
    let long = |length: usize| "x".repeat(length);
    let booking = json!({"user_id": user.id, "event_id": "E", "tickets": 1});
    let payment = json!({"user_id": user.id, "amount": 1});
    let with = |base: &Value, name: &str, value: Value| {
        let mut body = base.clone();
        body[name] = value;
        body
    };
    let account = json!({"username": "somebody", "password": "password123"});
    let mut cases = vec![
        ("/name", event(json!({"name": ""}))),
        ("/name", event(json!({"name": long(201)}))),
        ("/name", event(json!({"name": "a\u{0}b"}))),
        ("/venue", event(json!({"venue": 5}))),
        ("/event_id", event(json!({"event_id": "a b"}))),
        ("/event_id", event(json!({"event_id": long(65)}))),
        (
            "/starts_at",
            event(json!({"starts_at": "2020-01-01T00:00:00Z"})),
        ),
        ("/starts_at", event(json!({"starts_at": "tomorrow"}))),
        ("/price", event(json!({"price": -1}))),
        ("/price", event(json!({"price": 1_000_001}))),
        ("/price", event(json!({"price": 0.001}))),
        ("/price", event(json!({"price": "5"}))),
        ("/price", event(json!({"price": 0.5, "currency": "JPY"}))),
        ("/currency", event(json!({"currency": "usd"}))),
        ("/currency", event(json!({"currency": "XXX"}))),
        ("/capacity", event(json!({"capacity": 0}))),
        ("/capacity", event(json!({"capacity": 1_000_001}))),
        ("/capacity", event(json!({"capacity": 1.5}))),
        (
            "/max_tickets_per_booking",
            event(json!({"max_tickets_per_booking": 101})),
        ),
        ("/organizer", event(json!({"organizer": 1}))),
    ];
    for tickets in [
        json!(0),
        json!(-1),
        json!(101),
        json!(1.5),
        json!("2"),
        json!(null),
        json!(true),
        json!(u64::MAX),
    ] {
        cases.push((
            "/tickets",
            ("/bookings", with(&booking, "tickets", tickets)),
        ));
    }
    for amount in [
        json!(0),
        json!(-5),
        json!(10_000_001),
        json!(0.001),
        json!("1"),
        json!([1]),
        json!(1e300),
    ] {
        cases.push(("/amount", ("/payments", with(&payment, "amount", amount))));
    }
    for id in [
        json!("1"),
        json!(0),
        json!(-1),
        json!(1.5),
        json!(null),
        json!(u64::MAX),
    ] {
        cases.push(("/user_id", ("/payments", with(&payment, "user_id", id))));
    }
    for (pointer, name, value) in [
        ("/username", "username", json!("ab")),
        ("/username", "username", json!(long(65))),
        ("/username", "username", json!("a b c")),
        ("/password", "password", json!("1234567")),
        ("/password", "password", json!(long(129))),
        ("/password", "password", json!("password\u{0}")),
        ("/email", "email", json!("nobody")),
        ("/admin", "admin", json!(true)),
    ] {
        cases.push((pointer, ("/users", with(&account, name, value))));
    }
    for (pointer, (path, body)) in cases {
        let answer = app.post(&user, path, body.clone()).await;
        assert_eq!(
            (answer.status, answer.problem()),
            (422, "validation-failed"),
            "{path} {body}"
        );
        assert_eq!(answer.pointers(), [pointer], "{path} {body}");
    }
}

#[tokio::test]
async fn a_body_that_is_no_json_object_is_malformed_on_every_route() {
    let app = TestApp::start().await;
    let user = app.user().await;
    let twice = format!("{{\"user_id\":{0},\"user_id\":{0},\"amount\":1}}", user.id);
    let deep = format!("{{\"a\":{}{}}}", "[".repeat(20_000), "]".repeat(20_000));
    let bodies: [&[u8]; 8] = [
        b"",
        b"{",
        b"[]",
        b"null",
        b"\"x\"",
        b"{\"a\":\"\xff\"}",
        b"\xef\xbb\xbf{}",
        twice.as_bytes(),
    ];
    for path in ["/users", "/login", "/events", "/bookings", "/payments"] {
        for body in bodies {
            let request = app
                .request("POST", path)
                .bearer_auth(&user.token)
                .header("content-type", "application/json");
            let answer = app.send(request.body(body.to_vec())).await;
            assert_eq!(
                (answer.status, answer.problem()),
                (400, "malformed-request"),
                "{path} {body:.40?}"
            );
        }
        let nested = app
            .request("POST", path)
            .bearer_auth(&user.token)
            .header("content-type", "application/json");
        let nested = app.send(nested.body(deep.clone())).await;
        assert_eq!(nested.status, 422, "{path}");
        let plain = app
            .request("POST", path)
            .bearer_auth(&user.token)
            .header("content-type", "text/plain")
            .body("{}");
        assert_eq!(
            app.send(plain).await.problem(),
            "unsupported-media-type",
            "{path}"
        );
        let large = app
            .request("POST", path)
            .bearer_auth(&user.token)
            .header("content-type", "application/json");
        let large = app.send(large.body("x".repeat(64 * 1024 + 1))).await;
        assert_eq!(
            (large.status, large.problem()),
            (413, "payload-too-large"),
            "{path}"
        );
    }
}

#[tokio::test]
async fn odd_paths_queries_and_headers_are_client_errors() {
    let app = TestApp::start().await;
    let user = app.user().await;
    for path in [
        "/nowhere",
        "/bookings/",
        "/bookings/x",
        "/bookings/%00",
        "/bookings/%ff",
        "/bookings/..%2f..",
        "/payments/x",
        "/events/%00",
        "/events/a%20b",
        "/docs/nothing",
        "/docs/..%2fCargo.toml",
    ] {
        let answer = app.get(&user, path).await;
        assert_eq!(
            (answer.status, answer.problem()),
            (404, "not-found"),
            "{path}"
        );
    }
    for query in [
        "limit=0",
        "limit=101",
        "limit=x",
        "limit=",
        "limit=-1",
        "cursor=x",
        "cursor=",
        "cursor=%00%ff",
    ] {
        for path in ["/events", "/bookings", "/notifications"] {
            let answer = app.get(&user, &format!("{path}?{query}")).await;
            let pointer = format!("/{}", query.split('=').next().unwrap());
            assert_eq!(
                (answer.status, answer.pointers()),
                (422, vec![pointer.as_str()]),
                "{path}?{query}"
            );
        }
    }
    for method in ["DELETE", "PUT", "PATCH"] {
        let answer = app
            .send(app.request(method, "/bookings").bearer_auth(&user.token))
            .await;
        assert_eq!(answer.status, 404, "{method}");
    }
    for key in [&b""[..], b"caf\xe9", &[b'k'; 256]] {
        let request = app
            .request("POST", "/payments")
            .bearer_auth(&user.token)
            .json(&json!({"user_id": user.id, "amount": 1}));
        let value = reqwest::header::HeaderValue::from_bytes(key).unwrap();
        let answer = app.send(request.header("idempotency-key", value)).await;
        assert_eq!(
            (answer.status, answer.problem()),
            (400, "malformed-request")
        );
    }
}

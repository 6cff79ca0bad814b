//! Whatever is sent: a 4xx that says what to mend, and nothing stored.

use serde_json::{Value, json};
use tests::{TestApp, User};

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
        (
            "/starts_at",
            event(json!({"starts_at": "9999-12-31T23:59:59-01:00"})),
        ),
        (
            "/starts_at",
            event(json!({"starts_at": "2040-06-01T20:00:60Z"})),
        ),
        ("/price", event(json!({"price": -1}))),
        ("/price", event(json!({"price": 1_000_000_000.01}))),
        (
            "/price",
            event(json!({"price": 1_000_000_001, "currency": "VND"})),
        ),
        ("/price", event(json!({"price": 0.001}))),
        ("/price", event(json!({"price": "5"}))),
        ("/price", event(json!({"price": 0.5, "currency": "JPY"}))),
        ("/currency", event(json!({"currency": "usd"}))),
        ("/currency", event(json!({"currency": "XXX"}))),
        ("/currency", event(json!({"currency": "HRK"}))),
        ("/currency", event(json!({"currency": "CHE"}))),
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
        json!(100_000_000_001_i64),
        json!(100_000_000_000.01),
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
    for email in [
        "Ana <ana@example.org>",
        "<ana@example.org>",
        "ana@localhost",
        "ana@[127.0.0.1]",
        "ana@127.0.0.1",
        "ana@[IPv6:::1]",
        &format!("ana@{}example.org", "a.".repeat(125)),
    ] {
        cases.push(("/email", ("/users", with(&account, "email", json!(email)))));
    }
    for blank in [
        "\u{200b}",
        "\u{2060}\u{feff}",
        "\u{ad}",
        "\u{34f}",
        "\u{115f}",
        "\u{1160}",
        "\u{3164}",
        "\u{2800}",
        "\u{fe0f}",
        " \u{a0}\u{3000}",
        "a\u{2028}b",
        "a\u{2029}b",
        "a\u{202e}b",
        "a\u{2066}b",
        "a\u{fdd0}b",
        "a\u{ffff}b",
        "a\u{85}b",
        "a\nb",
    ] {
        cases.push(("/name", event(json!({"name": blank}))));
        cases.push(("/venue", event(json!({"venue": blank}))));
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
async fn what_is_at_the_edge_of_its_rules_is_taken_and_kept_exactly() {
    let app = TestApp::start().await;
    let user = app.user().await;
    for (fields, shown) in [
        (
            json!({"price": 1_500_000, "currency": "VND"}),
            json!({"price": 1_500_000}),
        ),
        (
            json!({"price": 1_000_000_000, "currency": "KWD"}),
            json!({"price": 1_000_000_000.0}),
        ),
        (
            json!({"price": 999_999_999.99}),
            json!({"price": 999_999_999.99}),
        ),
        (
            json!({"price": 5, "currency": "VES"}),
            json!({"currency": "VES"}),
        ),
        (
            json!({"capacity": 100.0, "max_tickets_per_booking": 4.0}),
            json!({"capacity": 100, "max_tickets_per_booking": 4}),
        ),
        (
            json!({"starts_at": "9999-12-31T23:59:59Z"}),
            json!({"starts_at": "9999-12-31T23:59:59Z"}),
        ),
        (
            json!({"starts_at": "2300-06-01T20:00:00.123456789+02:00"}),
            json!({"starts_at": "2300-06-01T18:00:00.123456Z"}),
        ),
        (
            json!({"starts_at": "2040-06-30T23:59:60Z"}),
            json!({"starts_at": "2040-07-01T00:00:00Z"}),
        ),
        (
            json!({"name": "عرض 👩\u{200d}🚀", "venue": "한국"}),
            json!({"name": "عرض 👩\u{200d}🚀"}),
        ),
        (json!({"name": "x".repeat(200)}), json!({})),
    ] {
        let made = app.event(fields.clone()).await;
        for (name, value) in shown.as_object().unwrap() {
            assert_eq!(made.body[name], *value, "{fields}");
        }
        let path = format!("/events/{}", made.text("event_id"));
        let shown = app.send(app.request("GET", &path)).await;
        for (name, value) in made.body.as_object().unwrap() {
            assert_eq!(shown.body[name], *value, "{fields}");
        }
    }
    let most = json!({"user_id": user.id, "amount": 100_000_000_000_i64, "currency": "KWD"});
    let paid = app.post(&user, "/payments", most).await;
    assert_eq!(
        (paid.status, paid.body["amount"].as_f64()),
        (201, Some(100_000_000_000.0)),
        "{paid:?}"
    );
    let entry = app.gateway_entry(&paid.text("payment_id")).await.unwrap();
    assert_eq!(entry.get_i64("amount_minor").unwrap(), 100_000_000_000_000);
    // The highest price, times the most tickets.
    let event = json!({"price": 1_000_000_000, "currency": "KWD", "max_tickets_per_booking": 100});
    let event = app.event(event).await.text("event_id");
    let body = json!({"user_id": user.id, "event_id": event, "tickets": 100.0});
    let booked = app.post(&user, "/bookings", body).await;
    assert_eq!(
        (booked.status, booked.body["amount"].as_f64()),
        (201, Some(100_000_000_000.0)),
        "{booked:?}"
    );
    for (name, value) in [
        ("password", "p".repeat(128)),
        ("password", "pass word\u{2028}é🎟".to_owned()),
        ("email", format!("{}@example.org", "a".repeat(64))),
    ] {
        let mut account = json!({"username": format!("u{}", uuid::Uuid::now_v7().simple()), "password": "password123"});
        account[name] = json!(value);
        let registered = app.send(app.request("POST", "/users").json(&account)).await;
        assert_eq!(registered.status, 201, "{name} {value}: {registered:?}");
        let credentials = json!({"username": account["username"], "password": account["password"]});
        let session = app
            .send(app.request("POST", "/login").json(&credentials))
            .await;
        assert_eq!(session.status, 200, "{name} {value}");
    }
}

#[tokio::test]
async fn a_cursor_is_taken_by_the_list_that_made_it_and_by_no_other() {
    let app = TestApp::start().await;
    let (user, stranger) = (app.user().await, app.user().await);
    let far = json!({"starts_at": "9999-12-31T23:59:59.999999Z", "capacity": 9});
    let event = app.event(far.clone()).await.text("event_id");
    app.event(far).await;
    for who in [&user, &stranger] {
        for _ in 0..2 {
            let booking = app.book(who, &event, 1).await.text("booking_id");
            app.await_notification(who, &booking).await;
        }
    }
    let next = async |path: &str, who: &User| {
        let page = app.get(who, &format!("{path}?limit=1")).await;
        (path.to_owned(), who.id, page.text("next_cursor"))
    };
    let cursors = [
        next("/events", &user).await,
        next("/bookings", &user).await,
        next("/bookings", &stranger).await,
        next("/notifications", &user).await,
    ];
    for (from, owner, cursor) in &cursors {
        for (path, who) in [
            ("/events", &user),
            ("/bookings", &user),
            ("/notifications", &user),
        ] {
            let answer = app.get(who, &format!("{path}?cursor={cursor}")).await;
            let own = path == from && *owner == who.id;
            assert_eq!(
                answer.status,
                if own { 200 } else { 422 },
                "{from}'s in {path}"
            );
            let forged = format!("{path}?cursor={cursor}A");
            assert_eq!(
                app.get(who, &forged).await.pointers(),
                ["/cursor"],
                "{forged}"
            );
        }
    }
    // Each cursor of ours is taken back, to the end of the list and of all years.
    let mut path = "/events?limit=100".to_owned();
    while let Some(cursor) = app.get(&user, &path).await.body["next_cursor"].as_str() {
        path = format!("/events?limit=100&cursor={cursor}");
    }
    assert_eq!(app.get(&user, &path).await.status, 200);
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

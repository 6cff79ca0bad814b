//! Users and events.

use futures_util::future::join_all;
use serde_json::json;
use tests::stack::{children, peak_mib, pid};
use tests::{TestApp, User};
use uuid::Uuid;

#[tokio::test]
async fn a_username_is_one_persons_however_it_is_capitalized() {
    let app = TestApp::start().await;
    let user = app.user().await;
    let body = json!({"username": user.name.to_uppercase(), "password": "password123"});
    let taken = app.send(app.request("POST", "/users").json(&body)).await;
    assert_eq!((taken.status, taken.problem()), (409, "username-taken"));
    let session = app.send(app.request("POST", "/login").json(&body)).await;
    assert_eq!(session.body["user_id"], user.id);
}

#[tokio::test]
async fn one_of_several_racing_registrations_of_a_name_wins() {
    let app = TestApp::start().await;
    let body =
        json!({"username": format!("r{}", Uuid::now_v7().simple()), "password": "password123"});
    let answers =
        join_all((0..8).map(|_| app.send(app.request("POST", "/users").json(&body)))).await;
    assert_eq!(
        answers.iter().filter(|answer| answer.status == 201).count(),
        1
    );
    assert_eq!(
        answers.iter().filter(|answer| answer.status == 409).count(),
        7
    );
}

#[tokio::test]
async fn a_wrong_password_and_an_unknown_name_are_answered_alike() {
    let app = TestApp::start().await;
    let user = app.user().await;
    let mut bodies = Vec::new();
    for name in [user.name.as_str(), "nobody-of-this-name", "x", "\0"] {
        let body = json!({"username": name, "password": "wrong"});
        let answer = app.send(app.request("POST", "/login").json(&body)).await;
        assert_eq!(
            (answer.status, answer.problem()),
            (401, "invalid-credentials"),
            "{name}"
        );
        assert!(answer.header("www-authenticate").is_some());
        bodies.push(answer.body["detail"].clone());
    }
    assert!(bodies.iter().all(|detail| *detail == bodies[0]));
}

#[tokio::test]
async fn a_process_does_not_grow_with_the_passwords_it_has_seen() {
    let app = TestApp::start().await;
    let user = app.user().await;
    let credentials = json!({"username": user.name, "password": "password123"});
    for _ in 0..100 {
        let answer = app.send(app.request("POST", "/login").json(&credentials));
        assert_eq!(answer.await.status, 200);
    }
    let processes = children(pid("event-sources").unwrap());
    let peaks: Vec<_> = processes
        .iter()
        .filter(|(_, name)| name == "login")
        .filter_map(|(pid, _)| peak_mib(*pid))
        .collect();
    // Argon2's 19 MiB and the process itself.
    assert!(
        !peaks.is_empty() && peaks.iter().all(|peak| *peak < 100),
        "{peaks:?}"
    );
}

#[tokio::test]
async fn guessing_a_password_is_slowed_down_also_for_a_name_that_nobody_has() {
    let app = TestApp::start().await;
    let name = format!("g{}", Uuid::now_v7().simple());
    let body = json!({"username": name, "password": "wrong-password"});
    let mut refused = None;
    for _ in 0..11 {
        let answers =
            join_all((0..10).map(|_| app.send(app.request("POST", "/login").json(&body)))).await;
        refused = answers.into_iter().find(|answer| answer.status == 429);
    }
    let refused = refused.expect("no login was refused");
    assert_eq!(refused.problem(), "too-many-requests");
    assert!(refused.header("retry-after").is_some());
}

#[tokio::test]
async fn names_that_can_not_exist_have_a_count_of_failures_each() {
    let app = TestApp::start().await;
    let fail = async |name: &str| {
        let body = json!({"username": name, "password": "wrong-password"});
        app.send(app.request("POST", "/login").json(&body))
            .await
            .status
    };
    let name = format!("no such name {}", Uuid::now_v7());
    let mut statuses = Vec::new();
    for _ in 0..11 {
        statuses.extend(join_all((0..10).map(|_| fail(&name))).await);
    }
    assert!(statuses.contains(&429), "guessing at one is slowed down");
    for other in ["x", "a b", &format!("{name}!"), ""] {
        assert_eq!(fail(other).await, 401, "{other:?}");
    }
}

#[tokio::test]
async fn an_event_is_shown_as_it_was_made() {
    let app = TestApp::start().await;
    let made = app
        .event(json!({"price": 1500, "currency": "JPY", "max_tickets_per_booking": 4}))
        .await;
    assert_eq!(made.body["available"], 100);
    assert_eq!(made.body["price"], 1500);
    assert_eq!(made.body["starts_at"], "2040-06-01T20:00:00Z");
    let shown = app
        .send(app.request("GET", &format!("/events/{}", made.text("event_id"))))
        .await;
    for (name, value) in made.body.as_object().unwrap() {
        assert_eq!(shown.body[name], *value);
    }
    let user = app.user().await;
    let refused = app.book(&user, &made.text("event_id"), 5).await;
    assert_eq!(
        (refused.status, refused.pointers()),
        (422, vec!["/tickets"])
    );
    let again = TestApp::event_body(json!({"event_id": made.text("event_id")}));
    assert_eq!(
        app.post(&user, "/events", again).await.problem(),
        "event-exists"
    );
    let missing = app.send(app.request("GET", "/events/no-such-event")).await;
    assert_eq!(missing.problem(), "not-found");
}

#[tokio::test]
async fn events_are_listed_soonest_first_in_pages_without_gaps() {
    let app = TestApp::start().await;
    // All of one moment, as most events of these tests are: then their ids tell their order.
    let mut made = Vec::new();
    for _ in 0..5 {
        made.push(app.event_with(1).await);
    }
    let (mut times, mut ids) = (Vec::new(), Vec::new());
    let mut path = "/events?limit=7".to_owned();
    loop {
        let page = app.send(app.request("GET", &path)).await;
        for item in page.body["items"].as_array().unwrap() {
            let time: chrono::DateTime<chrono::Utc> =
                item["starts_at"].as_str().unwrap().parse().unwrap();
            times.push(time);
            ids.push(item["event_id"].as_str().unwrap().to_owned());
        }
        let Some(cursor) = page.body["next_cursor"].as_str() else {
            break;
        };
        path = format!("/events?limit=7&cursor={cursor}");
    }
    assert!(times.is_sorted(), "{times:?}");
    for event in made {
        let times = ids.iter().filter(|id| **id == event).count();
        assert_eq!(times, 1, "{event} is on {times} pages");
    }
}

#[tokio::test]
async fn protected_routes_require_a_valid_token() {
    let app = TestApp::start().await;
    let user = app.user().await;
    let (head, rest) = user.token.split_once('.').unwrap();
    let (claims, signature) = rest.split_once('.').unwrap();
    let none = "eyJhbGciOiJub25lIiwidHlwIjoiYXQrand0In0";
    let hmac = "eyJhbGciOiJIUzI1NiIsInR5cCI6ImF0K2p3dCJ9";
    let hostile = [
        String::new(),
        "x".to_owned(),
        format!("{head}.{claims}."),
        format!("{none}.{claims}."),
        format!("{none}.{claims}.{signature}"),
        format!("{hmac}.{claims}.{signature}"),
        format!(
            "{head}.{claims}.{}",
            signature.chars().rev().collect::<String>()
        ),
        "a".repeat(5000),
    ];
    let routes = [
        ("GET", "/bookings"),
        ("POST", "/bookings"),
        ("POST", "/payments"),
        ("GET", "/notifications"),
        ("POST", "/events"),
    ];
    for (method, path) in routes {
        let answer = app.send(app.request(method, path)).await;
        assert_eq!(
            (answer.status, answer.problem()),
            (401, "unauthorized"),
            "{method} {path}"
        );
        assert!(answer.header("www-authenticate").is_some());
        for token in &hostile {
            let user = User {
                token: token.clone(),
                ..user.clone()
            };
            let answer = app
                .send(app.request(method, path).bearer_auth(&user.token))
                .await;
            assert_eq!(
                (answer.status, answer.problem()),
                (401, "unauthorized"),
                "{method} {path} {token:.40}"
            );
        }
    }
}

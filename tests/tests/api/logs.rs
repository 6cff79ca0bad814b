//! The functions' log lines: what a person on call finds a booking's story by.

use std::collections::BTreeSet;
use std::fs;

use serde_json::{Value, json};
use tests::stack::folder;
use tests::{TestApp, eventually};

/// The lines of the functions' log that name something, as a booking by its id. A line that is no JSON is
/// of a library in a process that was killed.
fn lines_about(what: &str) -> Vec<Value> {
    let log = fs::read_to_string(folder().join("log/event-sources.log")).unwrap();
    log.lines()
        .filter(|line| line.contains(what))
        .filter_map(|line| serde_json::from_str(line).ok())
        .collect()
}

fn text<'a>(line: &'a Value, name: &str) -> &'a str {
    line[name].as_str().unwrap_or_default()
}

#[tokio::test]
async fn the_line_of_every_request_names_what_it_is_about() {
    let app = TestApp::start().await;
    let (user, event) = (app.user().await, app.event_with(5).await);
    app.request("POST", "/login")
        .json(&json!({"username": user.name, "password": "password123"}))
        .send()
        .await
        .unwrap();
    let booking = app.book(&user, &event, 1).await.text("booking_id");
    let paid = app.post(&user, "/payments", json!({"user_id": user.id, "amount": 5}));
    let payment = paid.await.text("payment_id");
    for path in [
        format!("/bookings/{booking}"),
        format!("/payments/{payment}"),
        format!("/events/{event}"),
        "/bookings".to_owned(),
        "/notifications".to_owned(),
    ] {
        assert_eq!(app.get(&user, &path).await.status, 200, "{path}");
    }
    app.cancel(&user, &booking).await;
    let user_id = user.id.to_string();
    for (function, field, id) in [
        ("register-user", "user_id", &user_id),
        ("login", "user_id", &user_id),
        ("create-event", "event_id", &event),
        ("get-event", "event_id", &event),
        ("create-booking", "booking_id", &booking),
        ("get-booking", "booking_id", &booking),
        ("cancel-booking", "booking_id", &booking),
        ("list-bookings", "user_id", &user_id),
        ("create-payment", "payment_id", &payment),
        ("get-payment", "payment_id", &payment),
        ("list-notifications", "user_id", &user_id),
    ] {
        eventually(&format!("{function} has logged {field} {id}"), async || {
            let mut lines = lines_about(id).into_iter();
            lines
                .any(|line| {
                    text(&line, "message") == "request completed"
                        && text(&line, "function") == function
                        && line[field].to_string().trim_matches('"') == id
                })
                .then_some(())
        })
        .await;
    }
}

#[tokio::test]
async fn a_booking_is_followed_by_its_id_through_all_functions() {
    let app = TestApp::start().await;
    let (user, event) = (app.user().await, app.event_with(5).await);
    let pending = app.book_with(&user, &event, 1, "pm_admit_timeout").await;
    let booking = pending.text("booking_id");
    app.await_status(&user, &format!("/bookings/{booking}"), "CONFIRMED")
        .await;
    app.await_notification(&user, &booking).await;
    app.cancel(&user, &booking).await;
    let payment = booking.replace("bk_", "pay_");
    app.await_status(&user, &format!("/payments/{payment}"), "REFUNDED")
        .await;
    let through = |lines: &[Value]| -> BTreeSet<String> {
        lines
            .iter()
            .map(|line| text(line, "function").to_owned())
            .collect()
    };
    let all = [
        "cancel-booking",
        "charge-payment",
        "create-booking",
        "get-booking",
        "send-notification",
        "settle-bookings",
    ];
    eventually("every function has logged the booking", async || {
        (through(&lines_about(&booking)) == all.map(str::to_owned).into()).then_some(())
    })
    .await;
    for line in lines_about(&booking) {
        assert_eq!(text(&line, "booking_id"), booking, "{line}");
        assert_ne!(text(&line, "request_id"), "", "{line}");
    }
    // The lines of the requests themselves have who asked, and for what.
    let answered = |function: &str| {
        let lines = lines_about(&booking);
        let mut lines = lines
            .into_iter()
            .filter(|line| text(line, "message") == "request completed");
        lines
            .find(|line| text(line, "function") == function)
            .unwrap()
    };
    for function in ["create-booking", "cancel-booking"] {
        let line = answered(function);
        assert_eq!(
            (line["user_id"].as_i64(), text(&line, "event_id")),
            (Some(user.id), event.as_str()),
            "{line}"
        );
        assert!(
            line["elapsed_ms"].is_u64() && line["status"].is_u64(),
            "{line}"
        );
    }
    let left = lines_about(&booking)
        .into_iter()
        .any(|line| text(&line, "message").contains("left pending"));
    assert!(left, "no line tells that the booking was left pending");
}

//! The functions' log lines: what a person on call finds a booking's story by.

use std::collections::BTreeSet;
use std::fs;

use serde_json::Value;
use tests::stack::folder;
use tests::{TestApp, eventually};

/// The lines of the functions' log that name an id, each in JSON.
fn lines_about(id: &str) -> Vec<Value> {
    let log = fs::read_to_string(folder().join("log/event-sources.log")).unwrap();
    log.lines()
        .filter(|line| line.contains(id))
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

fn text<'a>(line: &'a Value, name: &str) -> &'a str {
    line[name].as_str().unwrap_or_default()
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
            .filter(|line| text(line, "message") == "answered");
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

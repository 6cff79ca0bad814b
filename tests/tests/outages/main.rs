//! Components that go away and come back: what can be served is served, what can't says so, and
//! nothing is lost. One test, as they all have one stack; it runs when the others are done.
#![expect(
    clippy::unwrap_used,
    reason = "a helper that fails is a test that fails"
)]

use mongodb::bson::{Document, doc};
use serde_json::json;
use tests::inbox::Inbox;
use tests::stack::local;
use tests::{Answer, TestApp, User};

fn assert_unavailable(answer: &Answer) {
    assert_eq!(
        (answer.status, answer.problem()),
        (503, "unavailable"),
        "{answer:?}"
    );
    assert!(answer.header("retry-after").is_some());
}

async fn assert_notified_once(app: &TestApp, user: &User, booking: &str) {
    app.await_notification(user, booking).await;
    let notifications = app
        .documents
        .database("notification_db")
        .collection::<Document>("notifications");
    assert_eq!(
        notifications
            .count_documents(doc! {"booking_id": booking})
            .await
            .unwrap(),
        1
    );
}

#[tokio::test]
async fn a_component_that_goes_away_costs_no_booking_and_all_heals_when_it_is_back() {
    let app = TestApp::start().await;
    let (user, event) = (app.user().await, app.event_with(20).await);

    local(&["stop", "rabbitmq", "--kill"]).await;
    let unannounced = app.book(&user, &event, 1).await;
    assert_eq!(
        unannounced.status, 201,
        "a broker that is down is no reason to refuse: {unannounced:?}"
    );
    // Nor may a deploy go on then.
    let inbox = Inbox::open().await;
    app.invoke("migrate", &inbox.event("Update")).await.unwrap();
    let answer = &inbox.answers()[0];
    assert_eq!(answer["Status"], "FAILED", "{answer}");
    assert!(
        answer["Reason"].as_str().unwrap().contains("broker"),
        "{answer}"
    );
    local(&["start", "rabbitmq"]).await;
    assert_notified_once(&app, &user, &unannounced.text("booking_id")).await;

    local(&["stop", "postgres", "--kill"]).await;
    assert_unavailable(&app.book(&user, &event, 1).await);
    assert_unavailable(&app.get(&user, "/bookings").await);
    assert_unavailable(&app.send(app.request("GET", "/events")).await);
    let login = json!({"username": user.name, "password": "password123"});
    assert_unavailable(&app.send(app.request("POST", "/login").json(&login)).await);
    local(&["start", "postgres"]).await;
    assert_eq!(app.book(&user, &event, 1).await.status, 201);

    local(&["stop", "documents", "--kill"]).await;
    let unknown = app.book(&user, &event, 1).await;
    assert_eq!(unknown.status, 202, "{unknown:?}");
    assert_unavailable(&app.get(&user, "/notifications").await);
    assert_unavailable(
        &app.post(&user, "/payments", json!({"user_id": user.id, "amount": 1}))
            .await,
    );
    local(&["start", "documents"]).await;
    // The charge never came to the payment store: the void wins, and the ticket goes back.
    app.await_status(&user, unknown.header("location").unwrap(), "EXPIRED")
        .await;
    assert_eq!(app.available(&event).await, 18);

    local(&["stop", "aws", "--kill"]).await;
    let unqueued = app.book_with(&user, &event, 1, "pm_admit_timeout").await;
    assert_eq!(unqueued.status, 202, "{unqueued:?}");
    app.await_status(&user, unqueued.header("location").unwrap(), "CONFIRMED")
        .await;
    local(&["start", "aws"]).await;
    assert_notified_once(&app, &user, &unqueued.text("booking_id")).await;
    assert_eq!(app.available(&event).await, 17);
}

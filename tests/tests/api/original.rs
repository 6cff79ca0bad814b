//! The four calls of the original system, as they were written there.

use serde_json::json;
use tests::TestApp;

#[tokio::test]
async fn the_four_services_of_the_original_system_answer_as_they_did() {
    let app = TestApp::start().await;
    // What the original was deployed with: its user, and its event.
    let credentials = json!({"username": "testuser", "password": "password123"});
    let registered = app
        .send(app.request("POST", "/users").json(&credentials))
        .await;
    assert!([201, 409].contains(&registered.status), "{registered:?}");

    let login = json!({"username": "testuser", "password": "password123"});
    let session = app.send(app.request("POST", "/login").json(&login)).await;
    assert_eq!(session.status, 200);
    let user = tests::User {
        id: session.body["user_id"].as_i64().unwrap(),
        name: "testuser".to_owned(),
        token: session.text("access_token"),
    };
    assert_eq!(session.body["token_type"], "Bearer");
    assert_eq!(session.body["expires_in"], 3600);
    let event = app
        .post(
            &user,
            "/events",
            TestApp::event_body(json!({"event_id": "E123"})),
        )
        .await;
    assert!([201, 409].contains(&event.status), "{event:?}");

    assert_eq!(user.id, 1, "the first user of a new stack is number 1");
    let booking = app
        .post(
            &user,
            "/bookings",
            json!({"user_id": 1, "event_id": "E123", "tickets": 2}),
        )
        .await;
    assert_eq!(booking.status, 201, "{booking:?}");
    assert_eq!(booking.body["status"], "CONFIRMED");
    assert_eq!(booking.body["amount"], 100.0);

    let payment = app
        .post(&user, "/payments", json!({"user_id": 1, "amount": 100.0}))
        .await;
    assert_eq!(payment.status, 201, "{payment:?}");
    assert_eq!(payment.body["status"], "SUCCESS");

    let notification = app
        .await_notification(&user, &booking.text("booking_id"))
        .await;
    assert_eq!(notification["type"], "BOOKING_CONFIRMED");
    assert_eq!(notification["event_id"], "E123");
}

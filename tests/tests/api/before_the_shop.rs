//! Requests as clients of the API before ticket types send them. The answers are those of that release, byte for byte:
//! the snapshot was written by its functions.

use std::fmt::Write;

use reqwest::RequestBuilder;
use serde_json::{Value, json};
use tests::TestApp;
use uuid::Uuid;

/// What a release may add to the end of an answer to GET.
const ADDED_SINCE: [&str; 2] = [",\"time_zone\":", ",\"items\":"];

/// Members whose values differ each time.
const IDS: [&str; 8] = [
    "access_token",
    "booking_id",
    "created_at",
    "event_id",
    "next_cursor",
    "notification_id",
    "payment_id",
    "request_id",
];

/// The requests that were sent and their answers, with names for ids and times.
struct Transcript<'a> {
    app: &'a TestApp,
    names: Vec<(String, String)>,
    text: String,
}

impl Transcript<'_> {
    /// Sends a request and writes down the answer, which it returns.
    async fn send(&mut self, what: &str, request: RequestBuilder) -> Value {
        let response = request.send().await.unwrap();
        let status = response.status();
        let headers = response.headers().clone();
        let mut body = response.text().await.unwrap();
        let answer: Value = serde_json::from_str(&body).unwrap();
        self.name(&answer);
        if what.starts_with("GET")
            && let Some(end) = ADDED_SINCE
                .iter()
                .filter_map(|added| body.find(added))
                .min()
        {
            body.truncate(end);
            body.push('}');
        }
        writeln!(self.text, "{what}\n{status}").unwrap();
        for name in [
            "content-type",
            "location",
            "retry-after",
            "idempotent-replayed",
            "www-authenticate",
        ] {
            if let Some(value) = headers.get(name) {
                writeln!(self.text, "{name}: {}", value.to_str().unwrap()).unwrap();
            }
        }
        writeln!(self.text, "{body}\n").unwrap();
        answer
    }

    /// Gives a name to each id in an answer.
    fn name(&mut self, answer: &Value) {
        match answer {
            Value::Object(members) => {
                for (member, value) in members {
                    match value {
                        Value::String(id) if IDS.contains(&member.as_str()) => {
                            if self.names.iter().all(|(known, _)| known != id) {
                                let name = format!("<{member} {}>", self.names.len() + 1);
                                self.names.push((id.clone(), name));
                            }
                        }
                        _ => self.name(value),
                    }
                }
            }
            Value::Array(values) => values.iter().for_each(|value| self.name(value)),
            _ => {}
        }
    }

    async fn post(&mut self, token: &str, path: &str, body: Value) -> Value {
        let request = self
            .app
            .request("POST", path)
            .bearer_auth(token)
            .json(&body);
        self.send(&format!("POST {path} {body}"), request).await
    }

    async fn get(&mut self, token: &str, path: &str) -> Value {
        let request = self.app.request("GET", path).bearer_auth(token);
        self.send(&format!("GET {path}"), request).await
    }

    fn finish(mut self, user: i64, username: &str) -> String {
        for (id, name) in &self.names {
            self.text = self.text.replace(id, name);
        }
        let text = self
            .text
            .replace(&format!("\"user_id\":{user}"), "\"user_id\":<user>");
        text.replace(username, "<username>")
    }
}

#[tokio::test]
async fn old_requests_are_answered_as_before_ticket_types() {
    let app = TestApp::start().await;
    let username = format!("u{}", Uuid::now_v7().simple());
    let id = format!("E-{}", Uuid::now_v7().simple());
    let mut t = Transcript {
        app: &app,
        names: Vec::new(),
        text: String::new(),
    };
    let credentials = json!({"username": username, "password": "password123"});
    t.post("", "/users", credentials.clone()).await;
    t.post("", "/users", credentials.clone()).await;
    t.post(
        "",
        "/login",
        json!({"username": username, "password": "password124"}),
    )
    .await;
    let session = t.post("", "/login", credentials).await;
    let (user, token) = (
        &session["user_id"],
        session["access_token"].as_str().unwrap(),
    );

    let event = json!({"event_id": id, "name": "Opening Night", "venue": "Main Hall", "starts_at": "2040-06-01T20:00:00Z",
                       "price": 50.0, "capacity": 12, "max_tickets_per_booking": 8});
    t.post(token, "/events", event.clone()).await;
    t.post(token, "/events", event).await;
    t.post(
        token,
        "/events",
        json!({"name": " ", "venue": 7, "starts_at": "2020-06-01T20:00:00Z", "price": -1}),
    )
    .await;
    t.post("none", "/events", json!({})).await;
    let path = format!("/events/{id}");
    t.get(token, &path).await;
    t.get(token, "/events/none").await;

    let book = |tickets: i64, card: &str| json!({"user_id": user, "event_id": id, "tickets": tickets, "payment_method": card});
    let booked = t
        .post(
            token,
            "/bookings",
            json!({"user_id": user, "event_id": id, "tickets": 2}),
        )
        .await;
    let booking = format!("/bookings/{}", booked["booking_id"].as_str().unwrap());
    for _ in 0..2 {
        let request = app
            .request("POST", "/bookings")
            .bearer_auth(token)
            .header("idempotency-key", "one");
        t.send(
            "POST /bookings with a key",
            request.json(&book(1, "pm_card_visa")),
        )
        .await;
    }
    let request = app
        .request("POST", "/bookings")
        .bearer_auth(token)
        .header("idempotency-key", "one");
    t.send(
        "POST /bookings, another with that key",
        request.json(&book(2, "pm_card_visa")),
    )
    .await;
    let declined = t
        .post(token, "/bookings", book(1, "pm_card_visa_chargeDeclined"))
        .await;
    assert_eq!(declined["type"], "/problems/payment-declined");
    t.post(token, "/bookings", book(9, "pm_card_visa")).await;
    t.post(token, "/bookings", book(0, "pm_card_visa")).await;
    t.post(
        token,
        "/bookings",
        json!({"user_id": 0, "event_id": "none", "tickets": 1}),
    )
    .await;
    t.post(
        token,
        "/bookings",
        json!({"user_id": user, "event_id": "none", "tickets": 1}),
    )
    .await;
    t.post(
        token,
        "/bookings",
        json!({"event_id": "", "tickets": "2", "seats": 1}),
    )
    .await;
    t.post(token, "/bookings", book(8, "pm_card_visa")).await;
    t.post(token, "/bookings", book(2, "pm_card_visa")).await;
    let request = app
        .request("POST", "/bookings")
        .bearer_auth(token)
        .header("content-type", "application/json");
    t.send("POST /bookings {", request.body("{")).await;
    t.get(token, &booking).await;
    t.get(token, "/bookings?limit=2").await;
    t.get(token, "/bookings?limit=0").await;
    t.get(token, "/bookings/none").await;
    for _ in 0..2 {
        let request = app
            .request("POST", &format!("{booking}/cancel"))
            .bearer_auth(token);
        t.send(&format!("POST {booking}/cancel"), request).await;
    }
    let paid = t
        .post(
            token,
            "/payments",
            json!({"user_id": user, "amount": 100.0}),
        )
        .await;
    t.get(
        token,
        &format!("/payments/{}", paid["payment_id"].as_str().unwrap()),
    )
    .await;
    t.post(
        token,
        "/payments",
        json!({"user_id": user, "amount": 0.001, "currency": "XXX"}),
    )
    .await;
    insta::assert_snapshot!(t.finish(user.as_i64().unwrap(), &username));
}

//! Helpers of the end-to-end tests: users, events and bookings of the running stack, which
//! `make test` starts. Each test makes its own users and events, so that they run side by side.
#![expect(
    clippy::panic,
    clippy::unwrap_used,
    reason = "a helper that fails is a test that fails"
)]

pub mod audit;
pub mod browser;
pub mod customer;
pub mod inbox;
pub mod points;
pub mod queues;
pub mod secrets;
pub mod stack;

use std::env;
use std::time::Duration;

use mongodb::bson::{Document, doc};
use reqwest::header::HeaderMap;
use reqwest::{Client, RequestBuilder, StatusCode};
use serde_json::{Value, json};
use sqlx::PgPool;
use uuid::Uuid;

/// The running stack, as its users and its operators see it.
pub struct TestApp {
    pub url: String,
    client: Client,
    openapi: Value,
    pub bookings: PgPool,
    pub documents: mongodb::Client,
}

/// A user who is logged in.
#[derive(Debug, Clone)]
pub struct User {
    pub id: i64,
    pub name: String,
    pub token: String,
}

/// An answer of the API.
#[derive(Debug, Clone)]
pub struct Answer {
    pub status: u16,
    pub headers: HeaderMap,
    pub body: Value,
}

impl Answer {
    /// A field of the body as a text.
    pub fn text(&self, name: &str) -> String {
        self.body[name]
            .as_str()
            .unwrap_or_else(|| panic!("no text {name} in {self:?}"))
            .to_owned()
    }

    /// The problem's code.
    pub fn problem(&self) -> &str {
        assert_eq!(
            self.headers["content-type"], "application/problem+json",
            "{self:?}"
        );
        assert_eq!(self.body["status"], self.status, "{self:?}");
        self.body["type"]
            .as_str()
            .unwrap()
            .strip_prefix("/problems/")
            .unwrap()
    }

    /// The pointers of a validation problem.
    pub fn pointers(&self) -> Vec<&str> {
        let errors = self.body["errors"]
            .as_array()
            .unwrap_or_else(|| panic!("no errors in {self:?}"));
        errors
            .iter()
            .map(|error| error["pointer"].as_str().unwrap())
            .collect()
    }

    /// A header as a text.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().unwrap())
    }
}

/// A setting of the stack.
pub fn setting(name: &str) -> String {
    env::var(name).unwrap_or_else(|_| panic!("{name} is not set: these tests run by `make test`"))
}

impl TestApp {
    pub async fn start() -> Self {
        let url = setting("ADMIT_API_URL");
        let client = Client::builder()
            .timeout(Duration::from_secs(60))
            .user_agent("admit-tests")
            .build()
            .unwrap();
        let openapi = client
            .get(format!("{url}/openapi.json"))
            .send()
            .await
            .unwrap()
            .json()
            .await
            .unwrap();
        let owner = secrets::account("database-owner").await;
        let bookings = PgPool::connect_lazy_with(secrets::database(&owner, "booking_db"));
        let documents = secrets::documents(&secrets::account("documents-owner").await).await;
        Self {
            url,
            client,
            openapi,
            bookings,
            documents,
        }
    }

    /// The same stack, asked elsewhere.
    #[must_use]
    pub fn at(self, url: String) -> Self {
        Self { url, ..self }
    }

    /// The API's description.
    pub fn openapi(&self) -> &Value {
        &self.openapi
    }

    pub fn request(&self, method: &str, path: &str) -> RequestBuilder {
        self.client
            .request(method.parse().unwrap(), format!("{}{path}", self.url))
    }

    /// Sends a request; its answer must be one that the API's description knows.
    pub async fn send(&self, request: RequestBuilder) -> Answer {
        self.try_send(request).await.unwrap()
    }

    /// Sends a request that may be left without an answer.
    pub async fn try_send(&self, request: RequestBuilder) -> reqwest::Result<Answer> {
        let request = request.build()?;
        let (method, path) = (request.method().clone(), request.url().path().to_owned());
        let response = self.client.execute(request).await?;
        let (status, headers) = (response.status(), response.headers().clone());
        let text = response.text().await?;
        let body = serde_json::from_str(&text).unwrap_or(Value::String(text));
        self.assert_described(method.as_str(), &path, status, &headers);
        Ok(Answer {
            status: status.as_u16(),
            headers,
            body,
        })
    }

    fn assert_described(&self, method: &str, path: &str, status: StatusCode, headers: &HeaderMap) {
        let matches = |template: &str| {
            let (template, path): (Vec<_>, Vec<_>) =
                (template.split('/').collect(), path.split('/').collect());
            let fits = |(part, with): (&&str, &&str)| part == with || part.starts_with('{');
            template.len() == path.len() && template.iter().zip(&path).all(fits)
        };
        let paths = self.openapi["paths"].as_object().unwrap();
        let Some(operation) = paths
            .iter()
            .filter(|(template, _)| matches(template))
            .find_map(|(_, item)| item.get(method.to_lowercase()))
        else {
            assert_eq!(status, 404, "{method} {path} is not described");
            return;
        };
        let answer = &operation["responses"][status.as_str()];
        assert!(
            answer.is_object(),
            "{method} {path} answered {status}, which is not described"
        );
        let content_type = headers["content-type"].to_str().unwrap();
        let described = answer["content"].as_object().unwrap();
        assert!(
            described.contains_key("*/*")
                || described
                    .keys()
                    .any(|known| content_type.starts_with(known)),
            "{method} {path} answered {status} with {content_type}"
        );
    }

    pub async fn get(&self, user: &User, path: &str) -> Answer {
        self.send(self.request("GET", path).bearer_auth(&user.token))
            .await
    }

    pub async fn post(&self, user: &User, path: &str, body: Value) -> Answer {
        self.send(
            self.request("POST", path)
                .bearer_auth(&user.token)
                .json(&body),
        )
        .await
    }

    pub async fn post_with_key(&self, user: &User, path: &str, key: &str, body: &Value) -> Answer {
        let request = self.request("POST", path).bearer_auth(&user.token);
        self.send(request.header("idempotency-key", key).json(body))
            .await
    }

    /// A new user, logged in.
    pub async fn user(&self) -> User {
        let name = format!("u{}", Uuid::now_v7().simple());
        let credentials = json!({"username": name, "password": "password123"});
        let registered = self
            .send(self.request("POST", "/users").json(&credentials))
            .await;
        assert_eq!(registered.status, 201, "{registered:?}");
        let session = self
            .send(self.request("POST", "/login").json(&credentials))
            .await;
        assert_eq!(session.status, 200, "{session:?}");
        User {
            id: session.body["user_id"].as_i64().unwrap(),
            name,
            token: session.text("access_token"),
        }
    }

    /// A new event with so many tickets at 50 dollars; its id.
    pub async fn event_with(&self, capacity: i64) -> String {
        self.event(json!({"capacity": capacity}))
            .await
            .text("event_id")
    }

    /// A new event, with these fields other than usual.
    pub async fn event(&self, fields: Value) -> Answer {
        let organizer = self.user().await;
        let created = self
            .post(&organizer, "/events", Self::event_body(fields))
            .await;
        assert_eq!(created.status, 201, "{created:?}");
        created
    }

    /// The body of a request for an event, with these fields other than usual.
    pub fn event_body(fields: Value) -> Value {
        let mut body = json!({
            "name": "Opening Night", "venue": "Main Hall", "starts_at": "2040-06-01T20:00:00Z",
            "price": 50.0, "capacity": 100,
        });
        body.as_object_mut()
            .unwrap()
            .extend(fields.as_object().unwrap().clone());
        body
    }

    pub async fn book(&self, user: &User, event: &str, tickets: i64) -> Answer {
        self.book_with(user, event, tickets, "pm_card_visa").await
    }

    pub async fn book_with(&self, user: &User, event: &str, tickets: i64, method: &str) -> Answer {
        let body = json!({"user_id": user.id, "event_id": event, "tickets": tickets, "payment_method": method});
        self.post(user, "/bookings", body).await
    }

    pub async fn cancel(&self, user: &User, booking: &str) -> Answer {
        self.send(
            self.request("POST", &format!("/bookings/{booking}/cancel"))
                .bearer_auth(&user.token),
        )
        .await
    }

    /// Tickets that are left of an event.
    pub async fn available(&self, event: &str) -> i64 {
        let event = self
            .send(self.request("GET", &format!("/events/{event}")))
            .await;
        event.body["available"].as_i64().unwrap()
    }

    /// Waits until `path` shows this status.
    pub async fn await_status(&self, user: &User, path: &str, status: &str) -> Answer {
        eventually(&format!("{path} is {status}"), async || {
            let answer = self.get(user, path).await;
            (answer.body["status"] == status).then_some(answer)
        })
        .await
    }

    /// Waits for the notification of a booking.
    pub async fn await_notification(&self, user: &User, booking: &str) -> Value {
        eventually(&format!("{booking} is notified"), async || {
            let page = self.get(user, "/notifications").await;
            let items = page.body["items"].as_array().unwrap();
            items
                .iter()
                .find(|item| item["booking_id"] == booking)
                .cloned()
        })
        .await
    }

    /// What the gateway has in its books for a payment.
    pub async fn gateway_entry(&self, payment: &str) -> Option<Document> {
        let books = self
            .documents
            .database("payment_db")
            .collection::<Document>("gateway_charges");
        books.find_one(doc! {"_id": payment}).await.unwrap()
    }

    /// Invokes a function with an event, as Lambda's own API does.
    pub async fn invoke(&self, function: &str, event: &Value) -> Result<Value, Value> {
        let request = self.request(
            "POST",
            &format!("/2015-03-31/functions/{function}/invocations"),
        );
        let response = request.body(event.to_string()).send().await.unwrap();
        assert_eq!(response.status(), 200);
        let failed = response.headers().contains_key("x-amz-function-error");
        let answer = response.json().await.unwrap();
        if failed { Err(answer) } else { Ok(answer) }
    }
}

/// Waits until `look` finds what it looks for, for 40 seconds at most.
pub async fn eventually<T>(what: &str, look: impl AsyncFnMut() -> Option<T>) -> T {
    eventually_within(40, what, look).await
}

/// Waits until `look` finds what it looks for, for so many seconds at most.
pub async fn eventually_within<T>(
    seconds: u32,
    what: &str,
    mut look: impl AsyncFnMut() -> Option<T>,
) -> T {
    for _ in 0..seconds * 10 {
        if let Some(found) = look().await {
            return found;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    panic!("waited {seconds} seconds in vain until {what}");
}

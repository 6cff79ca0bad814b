//! Customers: they repeat what was not answered, with the same key, and remember all they heard.

use std::fmt;
use std::time::{Duration, SystemTime};

use chrono::{DateTime, Utc};
use serde_json::{Value, json};
use tokio::time::{Instant, sleep};
use uuid::Uuid;

use crate::{Answer, TestApp, User};

/// One request and what was heard of it.
#[derive(Debug, Clone)]
pub struct Heard {
    pub asked: &'static str,
    pub from: SystemTime,
    pub to: SystemTime,
    /// Nothing, where the connection broke or no answer came in time.
    pub status: Option<u16>,
    /// The problem's code, where it is one.
    pub problem: Option<String>,
    /// The booking that the answer names.
    pub booking: Option<String>,
    /// The booking's status in it.
    pub state: Option<String>,
    /// What is booked or paid, where the answer shows it.
    pub shown: Option<Value>,
    /// Whether it says when to come again, and that it repeats an earlier answer.
    pub retry_after: bool,
    pub replayed: bool,
}

/// Tickets that a customer wants, whatever it takes: one key, and the whole of its history.
#[derive(Debug, Clone)]
pub struct Purchase {
    pub user: User,
    pub key: String,
    pub event: String,
    pub tickets: i64,
    /// The ticket types that they are of, in turn, where the request names items.
    pub types: Vec<String>,
    pub method: &'static str,
    pub heard: Vec<Heard>,
    pub cancelled: bool,
    /// Whether the key is not sent: then the request can't be repeated.
    pub keyless: bool,
    /// Whether the tickets are held first, and paid later.
    pub hold: bool,
    pub code: Option<&'static str>,
}

impl Purchase {
    pub fn new(user: &User, event: &str, tickets: i64, method: &'static str) -> Self {
        Self {
            user: user.clone(),
            key: Uuid::now_v7().to_string(),
            event: event.to_owned(),
            tickets,
            types: Vec::new(),
            method,
            heard: Vec::new(),
            cancelled: false,
            keyless: false,
            hold: false,
            code: None,
        }
    }

    /// Sends the request once.
    pub async fn ask(&mut self, app: &TestApp) -> Option<Answer> {
        let mut body = json!({"user_id": self.user.id, "event_id": self.event});
        if self.hold {
            body["hold"] = true.into();
        } else {
            body["payment_method"] = self.method.into();
        }
        if let Some(code) = self.code {
            body["promo_code"] = code.into();
        }
        if self.types.is_empty() {
            body["tickets"] = self.tickets.into();
        } else {
            body["items"] = self.items();
        }
        let mut request = app
            .request("POST", "/bookings")
            .bearer_auth(&self.user.token)
            .json(&body);
        if !self.keyless {
            request = request.header("idempotency-key", &self.key);
        }
        self.send(app, "book", request).await
    }

    /// One ticket of each type, and the rest of the last.
    fn items(&self) -> Value {
        let mut left = self.tickets;
        let mut items = Vec::new();
        for (place, ticket_type) in self.types.iter().enumerate() {
            let last = place + 1 == self.types.len();
            let quantity = if last { left } else { left.min(1) };
            left -= quantity;
            if quantity > 0 {
                items.push(json!({"ticket_type_id": ticket_type, "quantity": quantity}));
            }
        }
        items.into()
    }

    /// Repeats the request until it is known how it ended, or for so long; whether it is known.
    pub async fn pursue(&mut self, app: &TestApp, patience: Duration) -> bool {
        let deadline = Instant::now() + patience;
        while Instant::now() < deadline {
            match self.ask(app).await {
                Some(answer) if answer.status == 202 => {
                    let location = answer.header("location").unwrap().to_owned();
                    return self.watch(app, &location, deadline).await;
                }
                Some(answer) if is_final(&answer) => return true,
                _ => sleep(Duration::from_millis(200)).await,
            }
        }
        false
    }

    /// Looks at a pending booking until it is not pending any more.
    async fn watch(&mut self, app: &TestApp, location: &str, deadline: Instant) -> bool {
        while Instant::now() < deadline {
            let request = app.request("GET", location).bearer_auth(&self.user.token);
            let answer = self.send(app, "look", request).await;
            if answer
                .is_some_and(|answer| answer.status == 200 && answer.body["status"] != "PENDING")
            {
                return true;
            }
            sleep(Duration::from_millis(200)).await;
        }
        false
    }

    /// Pays the hold with its own card and, if that is declined, with one that works. Repeats until the outcome is
    /// known or `patience` runs out.
    pub async fn pay(&mut self, app: &TestApp, patience: Duration) {
        let Some(booking) = self.booking() else {
            return;
        };
        let mut method = self.method;
        let deadline = Instant::now() + patience;
        while Instant::now() < deadline {
            let path = format!("/bookings/{booking}/pay");
            let request = app.request("POST", &path).bearer_auth(&self.user.token);
            let request = request.json(&json!({"payment_method": method}));
            match self.send(app, "pay", request).await {
                Some(answer) if answer.status == 402 => method = "pm_card_visa",
                Some(answer)
                    if answer.status == 409 && answer.problem() == "payment-in-progress" =>
                {
                    sleep(Duration::from_millis(500)).await;
                }
                Some(answer) if is_final(&answer) && answer.status != 202 => return,
                _ => sleep(Duration::from_millis(200)).await,
            }
        }
    }

    /// Gives back what is held, or tries to, for so long.
    pub async fn release(&mut self, app: &TestApp, patience: Duration) {
        let Some(booking) = self.booking() else {
            return;
        };
        let deadline = Instant::now() + patience;
        while Instant::now() < deadline {
            let path = format!("/bookings/{booking}/release");
            let request = app.request("POST", &path).bearer_auth(&self.user.token);
            match self.send(app, "release", request).await {
                Some(answer)
                    if answer.status == 409 && answer.problem() == "payment-in-progress" =>
                {
                    sleep(Duration::from_millis(500)).await;
                }
                Some(answer) if is_final(&answer) => return,
                _ => sleep(Duration::from_millis(200)).await,
            }
        }
    }

    /// Cancels the booking. Repeats until the outcome is known or `patience` runs out. Returns whether it is known.
    pub async fn cancel(&mut self, app: &TestApp, patience: Duration) -> bool {
        let Some(booking) = self.booking() else {
            return true;
        };
        self.cancelled = true;
        let deadline = Instant::now() + patience;
        while Instant::now() < deadline {
            let path = format!("/bookings/{booking}/cancel");
            let request = app.request("POST", &path).bearer_auth(&self.user.token);
            match self.send(app, "cancel", request).await {
                Some(answer) if answer.status == 200 => return true,
                // Rejected or expired: nothing to cancel.
                Some(answer) if answer.status == 409 && answer.header("retry-after").is_none() => {
                    return true;
                }
                _ => sleep(Duration::from_millis(200)).await,
            }
        }
        false
    }

    /// The booking, once an answer has named it.
    pub fn booking(&self) -> Option<String> {
        self.heard.iter().find_map(|heard| heard.booking.clone())
    }

    /// The answers to the request for tickets, as a reader wants them: `503, 201`.
    pub fn answers(&self) -> String {
        let asked = self.heard.iter().filter(|heard| heard.asked != "look");
        let answers: Vec<_> = asked.map(Heard::to_string).collect();
        answers.join(", ")
    }

    /// The whole story, a line for each request.
    pub fn story(&self) -> String {
        let mut story = format!(
            "user {} wants {} of {} by {} with key {}\n",
            self.user.id, self.tickets, self.event, self.method, self.key
        );
        for heard in &self.heard {
            let (from, to) = (
                DateTime::<Utc>::from(heard.from),
                DateTime::<Utc>::from(heard.to),
            );
            story += &format!(
                "  {} – {}  {:6} {heard} {} {}\n",
                from.format("%T%.3f"),
                to.format("%T%.3f"),
                heard.asked,
                heard.state.as_deref().unwrap_or_default(),
                heard.booking.as_deref().unwrap_or_default(),
            );
        }
        story
    }

    async fn send(
        &mut self,
        app: &TestApp,
        asked: &'static str,
        request: reqwest::RequestBuilder,
    ) -> Option<Answer> {
        let (answer, heard) = hear(app, asked, request).await;
        self.heard.push(heard);
        answer
    }
}

/// Sends a request; its answer, and what is remembered of it.
async fn hear(
    app: &TestApp,
    asked: &'static str,
    request: reqwest::RequestBuilder,
) -> (Option<Answer>, Heard) {
    let from = SystemTime::now();
    let answer = app.try_send(request).await.ok();
    let text = |name: &str| {
        let body = &answer.as_ref()?.body;
        body[name].as_str().map(str::to_owned)
    };
    // A problem names the booking, or the payment, in its text.
    let named = || {
        let detail = text("detail")?;
        let id = |word: &&str| word.starts_with("bk_") || word.starts_with("pay_");
        let word = detail.split_whitespace().find(id)?;
        Some(word.trim_end_matches('.').to_owned())
    };
    let has = |name: &str| {
        answer
            .as_ref()
            .is_some_and(|answer| answer.header(name).is_some())
    };
    let state = text("booking_id").or_else(|| text("payment_id"));
    let heard = Heard {
        asked,
        from,
        to: SystemTime::now(),
        status: answer.as_ref().map(|answer| answer.status),
        problem: text("type").map(|kind| kind.replace("/problems/", "")),
        booking: text("booking_id").or_else(named),
        state: state.as_ref().and_then(|_| text("status")),
        shown: state.and_then(|_| answer.as_ref().map(|answer| answer.body.clone())),
        retry_after: has("retry-after"),
        replayed: has("idempotent-replayed"),
    };
    (answer, heard)
}

/// An amount that a customer pays for no booking, whatever it takes, with one key.
#[derive(Debug, Clone)]
pub struct Payment {
    pub user: User,
    pub key: String,
    /// Cents.
    pub amount: i64,
    pub method: &'static str,
    pub heard: Vec<Heard>,
}

impl Payment {
    pub fn new(user: &User, amount: i64, method: &'static str) -> Self {
        Self {
            user: user.clone(),
            key: Uuid::now_v7().to_string(),
            amount,
            method,
            heard: Vec::new(),
        }
    }

    /// Repeats the request until it is known how it ended, or for so long; whether it is known.
    pub async fn pursue(&mut self, app: &TestApp, patience: Duration) -> bool {
        let deadline = Instant::now() + patience;
        while Instant::now() < deadline {
            let (dollars, cents) = (self.amount / 100, self.amount % 100);
            let body = format!(
                r#"{{"user_id": {}, "amount": {dollars}.{cents:02}, "payment_method": "{}"}}"#,
                self.user.id, self.method
            );
            let request = app
                .request("POST", "/payments")
                .bearer_auth(&self.user.token)
                .header("content-type", "application/json")
                .header("idempotency-key", &self.key)
                .body(body);
            match self.send(app, "pay", request).await {
                Some(answer) if answer.status == 202 => {
                    let location = answer.header("location").unwrap().to_owned();
                    return self.watch(app, &location, deadline).await;
                }
                Some(answer) if is_final(&answer) => return true,
                _ => sleep(Duration::from_millis(200)).await,
            }
        }
        false
    }

    /// Looks at a pending payment until it is not pending any more.
    async fn watch(&mut self, app: &TestApp, location: &str, deadline: Instant) -> bool {
        while Instant::now() < deadline {
            let request = app.request("GET", location).bearer_auth(&self.user.token);
            let answer = self.send(app, "look", request).await;
            if answer
                .is_some_and(|answer| answer.status == 200 && answer.body["status"] != "PENDING")
            {
                return true;
            }
            sleep(Duration::from_millis(200)).await;
        }
        false
    }

    /// The answers to the request to pay, as a reader wants them: `503, 201`.
    pub fn answers(&self) -> String {
        let asked = self.heard.iter().filter(|heard| heard.asked != "look");
        let answers: Vec<_> = asked.map(Heard::to_string).collect();
        answers.join(", ")
    }

    async fn send(
        &mut self,
        app: &TestApp,
        asked: &'static str,
        request: reqwest::RequestBuilder,
    ) -> Option<Answer> {
        let (answer, heard) = hear(app, asked, request).await;
        self.heard.push(heard);
        answer
    }
}

impl fmt::Display for Heard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.status, &self.problem) {
            (None, _) => f.write_str("nothing"),
            (Some(409), Some(problem)) => write!(f, "409 {problem}"),
            (Some(status), _) => write!(f, "{status}"),
        }
    }
}

/// Whether a repeat of the request would be told the same.
fn is_final(answer: &Answer) -> bool {
    match answer.status {
        409 => answer.problem() != "request-in-progress",
        429 | 500.. => false,
        _ => true,
    }
}

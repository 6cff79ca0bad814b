//! Customers who book, pay, look, log in, repeat, race with themselves, lose patience and cancel; and
//! somebody who sends what nobody can read.

use std::time::Duration;

use fastrand::Rng;
use serde_json::json;
use tests::customer::{Payment, Purchase};
use tests::queues::try_publish;
use tests::{TestApp, User};
use tokio::time::Instant;

const CUSTOMERS: usize = 30;

/// The longest that a customer goes on with one thing.
const PATIENCE: Duration = Duration::from_secs(30);

/// What was done, and all that was heard of it.
#[derive(Debug, Default)]
pub struct Done {
    pub purchases: Vec<Purchase>,
    pub payments: Vec<Payment>,
    /// Messages that the broker has taken, and nobody can read.
    pub poison: Vec<Vec<u8>>,
    /// Lists and logins that were answered, and answers of them that are not true.
    pub looks: usize,
    pub wrong: Vec<String>,
}

/// The customers and what they can book.
pub struct Crowd {
    pub users: Vec<User>,
    pub events: Vec<String>,
    /// Of the last event.
    types: Vec<String>,
}

impl Crowd {
    /// Customers, and events of which most sell out.
    pub async fn gather(app: &TestApp) -> Self {
        let mut users = Vec::new();
        for _ in 0..CUSTOMERS {
            users.push(app.user().await);
        }
        let mut events = Vec::new();
        for capacity in [8, 15, 30, 60, 120, 100_000] {
            events.push(match capacity {
                60 => with_code(app, capacity).await,
                120 => with_limit(app, capacity).await,
                _ => app.event_with(capacity).await,
            });
        }
        let free = app.event(json!({"price": 0, "capacity": 200})).await;
        events.push(free.text("event_id"));
        let (mixed, types) = mixed(app).await;
        events.push(mixed);
        Self {
            users,
            events,
            types,
        }
    }

    /// Goes on until `end`; everything that was asked and heard.
    pub async fn run(&self, app: &TestApp, seed: u64, end: Instant) -> Done {
        let customers = self.users.iter().enumerate().map(|(number, user)| {
            let number = u64::try_from(number).unwrap_or_default();
            let rng = Rng::with_seed(seed.wrapping_mul(1000).wrapping_add(number));
            self.go_on_as(app, user, rng, end)
        });
        let customers = futures_util::future::join_all(customers);
        let (all, poison) = tokio::join!(customers, send_poison(seed, end));
        let mut done = Done {
            poison,
            ..Done::default()
        };
        for mut one in all {
            done.purchases.append(&mut one.purchases);
            done.payments.append(&mut one.payments);
            done.wrong.append(&mut one.wrong);
            done.looks += one.looks;
        }
        done
    }

    async fn go_on_as(&self, app: &TestApp, user: &User, mut rng: Rng, end: Instant) -> Done {
        let mut done = Done::default();
        while Instant::now() < end {
            match rng.u8(..8) {
                0 => {
                    let mut payment = Payment::new(user, rng.i64(1..100_000), method(&mut rng));
                    payment.pursue(app, PATIENCE).await;
                    done.payments.push(payment);
                }
                1 => {
                    let wrong = look(app, user, &mut rng).await;
                    done.looks += 1;
                    done.wrong.extend(wrong);
                }
                _ => done.purchases.push(self.book(app, user, &mut rng).await),
            }
        }
        done
    }

    /// Holds tickets, and pays for them, gives them back, or forgets them.
    async fn hold(&self, app: &TestApp, mut purchase: Purchase, rng: &mut Rng) -> Purchase {
        purchase.hold = true;
        purchase.pursue(app, PATIENCE).await;
        match rng.u8(..8) {
            0 => {}
            1 => purchase.release(app, PATIENCE).await,
            // By two cards at once.
            2 => {
                let mut twin = purchase.clone();
                let before = twin.heard.len();
                tokio::join!(purchase.pay(app, PATIENCE), twin.pay(app, PATIENCE));
                purchase.heard.extend(twin.heard.drain(before..));
            }
            _ => purchase.pay(app, PATIENCE).await,
        }
        if rng.u8(..10) < 2 {
            purchase.cancel(app, PATIENCE).await;
        }
        purchase
    }

    async fn book(&self, app: &TestApp, user: &User, rng: &mut Rng) -> Purchase {
        // Half of all want the event that never sells out: there is always something to do.
        let event = match rng.bool() {
            true => &self.events[5],
            false => &self.events[rng.usize(..self.events.len())],
        };
        let mut purchase = Purchase::new(user, event, rng.i64(1..=3), method(rng));
        if self.events.last() == Some(event) && rng.bool() {
            let first = rng.usize(..self.types.len());
            purchase.types = self.types[first..].to_vec();
        }
        if event == &self.events[3] && rng.bool() {
            purchase.code = Some(CODE);
        }
        if rng.u8(..4) == 0 {
            return self.hold(app, purchase, rng).await;
        }
        match rng.u8(..10) {
            // Asks once and is not seen again.
            0 => drop(purchase.ask(app).await),
            // Pressed the button twice.
            1 => {
                let mut twin = purchase.clone();
                tokio::join!(purchase.ask(app), twin.ask(app));
                purchase.heard.append(&mut twin.heard);
                purchase.pursue(app, PATIENCE).await;
            }
            _ => drop(purchase.pursue(app, PATIENCE).await),
        }
        if rng.u8(..10) < 3 {
            purchase.cancel(app, PATIENCE).await;
        }
        purchase
    }
}

/// An event of which a person may have a few tickets.
async fn with_limit(app: &TestApp, capacity: i64) -> String {
    let made = app
        .event(json!({"capacity": capacity, "max_per_user": 7}))
        .await;
    made.text("event_id")
}

/// What each code is called.
const CODE: &str = "TENTH";

/// Makes a code of few uses, which takes a tenth off; the organizer's event.
async fn with_code(app: &TestApp, capacity: i64) -> String {
    let organizer = app.user().await;
    let body = TestApp::event_body(json!({"capacity": capacity, "hold_seconds": 60}));
    let made = app.post(&organizer, "/events", body).await;
    let event = made.text("event_id");
    let code = json!({"code": CODE, "kind": "PERCENT", "value": 10, "uses": 12});
    let path = format!("/events/{event}/promo-codes");
    let coded = app.post(&organizer, &path, code).await;
    assert_eq!(coded.status, 201, "{coded:?}");
    event
}

/// An event of three types of one price, two of which take of a second quota; its id, and theirs.
async fn mixed(app: &TestApp) -> (String, Vec<String>) {
    let organizer = app.user().await;
    let mut body = TestApp::event_body(json!({
        // "Chairs" is as large as the capacity, so it never runs out alone. The audit checks sold-out answers against
        // the capacity only.
        "capacity": 90, "quotas": [{"name": "Chairs", "capacity": 90}],
        "ticket_types": [
            {"name": "Standing", "price": 50},
            {"name": "Seat", "price": 50, "quotas": [{"name": "Chairs"}]},
            {"name": "Balcony", "price": 50, "quotas": [{"name": "Chairs"}]},
        ],
    }));
    body.as_object_mut().unwrap().remove("price");
    let made = app.post(&organizer, "/events", body).await;
    assert_eq!(made.status, 201, "{made:?}");
    let types = made.body["ticket_types"].as_array().unwrap().iter();
    let types = types.map(|kind| kind["ticket_type_id"].as_str().unwrap().to_owned());
    (made.text("event_id"), types.collect())
}

fn method(rng: &mut Rng) -> &'static str {
    match rng.u8(..10) {
        0 => "pm_card_visa_chargeDeclined",
        1 => "pm_admit_timeout",
        _ => "pm_card_visa",
    }
}

/// Ends the time of all holds, as if it were later: what was forgotten goes back now.
pub async fn let_holds_lapse(app: &TestApp) {
    let lapse = "with lapsed as (update booking set hold_until = now() - interval '1 second', attempt_until = null
                                  where hold_until > now() and status in ('HELD', 'PENDING') returning booking_id)
                 update job set next_attempt_at = now() from lapsed
                  where key = lapsed.booking_id::text and kind in ('EXPIRE', 'SETTLE') and done_at is null";
    sqlx::query(lapse).execute(&app.bookings).await.unwrap();
}

/// Lists something, or logs in; what is not true of the answer, if there is one.
async fn look(app: &TestApp, user: &User, rng: &mut Rng) -> Option<String> {
    let path = match rng.u8(..4) {
        0 => "/events?limit=100",
        1 => "/bookings?limit=100",
        2 => "/notifications?limit=100",
        _ => "/login",
    };
    let request = match path {
        "/login" => {
            let credentials = json!({"username": user.name, "password": "password123"});
            app.request("POST", path).json(&credentials)
        }
        _ => app.request("GET", path).bearer_auth(&user.token),
    };
    let answer = app.try_send(request).await.ok()?;
    let sound = match (answer.status, path) {
        (200, "/login") => answer.body["user_id"] == user.id,
        (200, "/events?limit=100") => answer.body["items"].is_array(),
        (200, _) => {
            let items = answer.body["items"].as_array()?;
            items.iter().all(|item| item["user_id"] == user.id)
        }
        (500 | 503, _) => true,
        _ => false,
    };
    (!sound).then(|| format!("{path} for user {} was answered {answer:?}", user.id))
}

/// Sends messages that nobody can read, now and then; those that the broker has taken.
async fn send_poison(seed: u64, end: Instant) -> Vec<Vec<u8>> {
    let mut rng = Rng::with_seed(seed.wrapping_add(77));
    let mut taken = Vec::new();
    while Instant::now() < end {
        tokio::time::sleep(Duration::from_millis(rng.u64(200..2000))).await;
        let mut body = vec![0xff; rng.usize(1..3000)];
        rng.fill(&mut body);
        if try_publish(&body).await {
            taken.push(body);
        }
    }
    taken
}

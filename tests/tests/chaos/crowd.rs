//! Customers who book, repeat, race with themselves, lose patience and cancel.

use std::time::Duration;

use fastrand::Rng;
use serde_json::json;
use tests::customer::Purchase;
use tests::{TestApp, User};
use tokio::time::Instant;

const CUSTOMERS: usize = 30;

/// The longest that a customer goes on with one thing.
const PATIENCE: Duration = Duration::from_secs(30);

/// The customers and what they can book.
pub struct Crowd {
    pub users: Vec<User>,
    pub events: Vec<String>,
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
            events.push(app.event_with(capacity).await);
        }
        let free = app.event(json!({"price": 0, "capacity": 200})).await;
        events.push(free.text("event_id"));
        Self { users, events }
    }

    /// Books until `end`; everything that was asked and heard.
    pub async fn book(&self, app: &TestApp, seed: u64, end: Instant) -> Vec<Purchase> {
        let customers = self.users.iter().enumerate().map(|(number, user)| {
            let number = u64::try_from(number).unwrap_or_default();
            let rng = Rng::with_seed(seed.wrapping_mul(1000).wrapping_add(number));
            self.book_as(app, user, rng, end)
        });
        futures_util::future::join_all(customers).await.concat()
    }

    async fn book_as(
        &self,
        app: &TestApp,
        user: &User,
        mut rng: Rng,
        end: Instant,
    ) -> Vec<Purchase> {
        let mut purchases = Vec::new();
        while Instant::now() < end {
            // Half of all want the event that never sells out: there is always something to do.
            let event = match rng.bool() {
                true => &self.events[5],
                false => &self.events[rng.usize(..self.events.len())],
            };
            let method = match rng.u8(..10) {
                0 => "pm_card_visa_chargeDeclined",
                1 => "pm_admit_timeout",
                _ => "pm_card_visa",
            };
            let mut purchase = Purchase::new(user, event, rng.i64(1..=3), method);
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
            purchases.push(purchase);
        }
        purchases
    }
}

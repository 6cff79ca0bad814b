//! One client's booking beside the sum of the parts that it can't do without, each measured raw.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;

use reqwest::Client;
use serde_json::json;
use tests::TestApp;
use uuid::Uuid;

use crate::bookings::Shop;
use crate::figures::{self, Figure, row};
use crate::steps::{Bare, Statements, Target};

const RUNS: usize = 500;

/// What a booking can't do without.
const PARTS: [&str; 7] = [
    "the API and the invocation of create-booking",
    "reserve: a commit",
    "the invocation of charge-payment",
    "the gateway's entry: a document",
    "the payment's record: a document",
    "the message, confirmed",
    "confirm: a commit",
];

/// Measures a booking and each part in turn.
pub async fn measure(app: &TestApp, shop: &Shop) {
    let mut bare = Bare::connect(1, Arc::new(Statements::read())).await;
    let client = Client::new();
    let (user, mut took) = (&shop.users[0], BTreeMap::<&str, Figure>::new());
    for run in 0..RUNS {
        let event = &shop.events[run % shop.events.len()];
        let id = Uuid::now_v7();
        let mut began = Instant::now();
        let mut done = |part| {
            took.entry(part)
                .or_default()
                .add(began.elapsed().as_secs_f64() * 1e3);
            began = Instant::now();
        };
        // Refused before a store is asked.
        let refused = client.post(format!("{}/bookings", app.url)).send().await;
        let refused = refused.unwrap();
        assert_eq!(refused.status(), 401);
        refused.bytes().await.unwrap();
        done(PARTS[0]);
        let target = Target {
            event: event.clone(),
            kind: None,
        };
        bare.reserve(id, &target, false).await;
        done(PARTS[1]);
        let url = format!(
            "{}/2015-03-31/functions/charge-payment/invocations",
            app.url
        );
        let nothing = client.post(url).json(&json!({"action": "nothing"})).send();
        let refused = nothing.await.unwrap().text().await.unwrap();
        assert!(refused.contains("InvalidEvent"), "{refused}");
        done(PARTS[2]);
        bare.record(Uuid::now_v7()).await;
        done(PARTS[3]);
        bare.record(id).await;
        done(PARTS[4]);
        bare.publish(id, event).await;
        done(PARTS[5]);
        bare.confirm(id).await;
        done(PARTS[6]);
        let body = json!({"user_id": user.id, "event_id": event, "tickets": 1});
        let booking = client.post(format!("{}/bookings", app.url));
        let booked = booking.bearer_auth(&user.token).json(&body).send().await;
        let booked = booked.unwrap();
        assert_eq!(booked.status(), 201);
        booked.bytes().await.unwrap();
        done("a booking");
    }
    let mut text = "| part | p50, ms |\n| --- | ---: |\n".to_owned();
    let mut sum = 0.0;
    for part in PARTS {
        let p50 = took[part].median();
        sum += p50;
        text += &row(&[part.to_owned(), format!("{p50:.2}")]);
    }
    let booking = took["a booking"].median();
    text += &row(&["together".to_owned(), format!("{sum:.2}")]);
    text += &row(&["**a booking**".to_owned(), format!("**{booking:.2}**")]);
    text += &format!(
        "\nA booking takes {:.2} times the sum of its parts.\n",
        booking / sum
    );
    figures::write("latency", &text).unwrap();
}

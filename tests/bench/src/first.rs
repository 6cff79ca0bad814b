//! The first booking that new environments serve, with every connection still to be made, beside the second.

use std::time::Instant;

use reqwest::Client;
use serde_json::json;
use tests::TestApp;
use tests::stack::{local, start_event_sources};

use crate::bookings::Shop;
use crate::figures::{self, Figure, row};

const RUNS: usize = 40;

/// Books twice by environments that were just started, again and again.
pub async fn measure(app: &TestApp, shop: &Shop) {
    let (mut first, mut second) = (Figure::default(), Figure::default());
    for run in 0..RUNS {
        local(&["stop", "event-sources", "--kill"]).await;
        start_event_sources(&[]).await;
        let client = Client::new();
        for figure in [&mut first, &mut second] {
            let user = &shop.users[0];
            let event = &shop.events[run % shop.events.len()];
            let body = json!({"user_id": user.id, "event_id": event, "tickets": 1});
            let began = Instant::now();
            let booking = client.post(format!("{}/bookings", app.url));
            let booked = booking.bearer_auth(&user.token).json(&body).send().await;
            let booked = booked.unwrap();
            assert_eq!(booked.status(), 201);
            booked.bytes().await.unwrap();
            figure.add(began.elapsed().as_secs_f64() * 1e3);
        }
    }
    let mut text = "| p50, ms | first | second |\n| --- | ---: | ---: |\n".to_owned();
    text += &row(&[
        "a booking".to_owned(),
        format!("{:.1}", first.median()),
        format!("{:.1}", second.median()),
    ]);
    figures::write("first", &text).unwrap();
}

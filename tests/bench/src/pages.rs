//! Pages as a visitor gets them: how long a page takes once its function runs, and how large it is with its assets.

use std::time::Instant;

use reqwest::Client;
use serde_json::json;
use tests::TestApp;

use crate::figures::{self, Figure, row};

const TIMES: usize = 300;

/// Measures the list of events and the page of one with three ticket types, beside what the API says of it.
pub async fn measure(app: &TestApp) {
    let organizer = app.user().await;
    let body = json!({
        "name": "Fair", "venue": "Hall 1", "starts_at": "2040-05-01T17:00:00Z", "time_zone": "Europe/Berlin",
        "capacity": 500, "quotas": [{"name": "Chairs", "capacity": 200}],
        "ticket_types": [{"name": "Standing", "price": 25},
                         {"name": "Seat", "price": 40, "quotas": [{"name": "Chairs"}]},
                         {"name": "Pair", "price": 70, "admits": 2, "units": 2,
                          "quotas": [{"name": "Chairs", "units": 2}]}],
    });
    let made = app.post(&organizer, "/events", body).await;
    let event = made.text("event_id");
    let client = Client::new();
    let mut text = row(&["", "p50, ms", "p95, ms", "KB with its assets"].map(str::to_owned));
    text += "| --- | ---: | ---: | ---: |\n";
    for path in [
        format!("/events/{event}"),
        format!("/e/{event}"),
        "/".to_owned(),
    ] {
        let (html, _) = get(&client, app, &path).await;
        let mut bytes = html.len();
        for asset in assets(&html) {
            bytes += get(&client, app, asset).await.0.len();
        }
        let mut took = Figure::default();
        for _ in 0..TIMES {
            took.add(get(&client, app, &path).await.1);
        }
        let (p50, p95) = (took.median(), took.at(0.95));
        text += &row(&[
            format!("`GET {}`", path.replace(&event, "{event_id}")),
            format!("{p50:.1}"),
            format!("{p95:.1}"),
            format!("{:.1}", bytes as f64 / 1024.0),
        ]);
    }
    figures::write("pages", &text).unwrap();
}

/// What is there, and how many milliseconds it took.
async fn get(client: &Client, app: &TestApp, path: &str) -> (String, f64) {
    let began = Instant::now();
    let answer = client
        .get(format!("{}{path}", app.url))
        .send()
        .await
        .unwrap();
    assert_eq!(answer.status(), 200, "{path}");
    let bytes = answer.bytes().await.unwrap();
    let took = began.elapsed().as_secs_f64() * 1e3;
    (String::from_utf8_lossy(&bytes).into_owned(), took)
}

/// The paths of what a page loads: style sheets, scripts, pictures.
fn assets(html: &str) -> Vec<&str> {
    let quoted = html.split('"').filter(|text| text.starts_with("/assets/"));
    let mut assets: Vec<_> = quoted.collect();
    assets.sort_unstable();
    assets.dedup();
    assets
}

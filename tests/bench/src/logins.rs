//! Logins: what checking a password costs, and what that means by the share of a processor that Lambda gives.

use reqwest::Client;
use serde_json::json;
use tests::TestApp;

use crate::cpu::Used;
use crate::figures::{self, Figure, row};
use crate::rounds;

const LOGINS: usize = 50;
/// Lambda gives a function a whole processor with this memory, in MB, and less with less, in proportion.
const WHOLE_PROCESSOR: f64 = 1769.0;
const MEMORIES: [f64; 5] = [256.0, 512.0, 1024.0, WHOLE_PROCESSOR, 3008.0];

/// Logs in, again and again.
pub async fn measure(app: &TestApp) {
    let user = app.user().await;
    let client = Client::new();
    let log_in = async || {
        let body = json!({"username": user.name, "password": "password123"});
        let request = client.post(format!("{}/login", app.url)).json(&body);
        let answer = request.send().await.unwrap();
        assert_eq!(answer.status(), 200);
        answer.bytes().await.unwrap();
    };
    log_in().await;
    let mut used = Figure::default();
    for _ in 0..rounds() {
        let before = Used::now();
        for _ in 0..LOGINS {
            log_in().await;
        }
        let function = Used::now().since(&before)["login"];
        used.add(function.as_secs_f64() * 1e3 / LOGINS as f64);
    }
    let mut text = format!(
        "A login takes {used} ms of processor time.\n\n| memory, MB | a login, ms |\n| ---: | ---: |\n"
    );
    for memory in MEMORIES {
        let share = (memory / WHOLE_PROCESSOR).min(1.0);
        text += &row(&[
            format!("{memory:.0}"),
            format!("{:.0}", used.median() / share),
        ]);
    }
    let least = used.median() * WHOLE_PROCESSOR / 250.0;
    text += &format!("\nUnder 250 ms from {least:.0} MB.\n");
    figures::write("logins", &text).unwrap();
}

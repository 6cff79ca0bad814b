//! Measures Admit on the running stack, each figure beside a reference of the same run, and writes
//! docs/PERFORMANCE.md's tables. `make bench` starts the stack and runs this.
#![expect(
    clippy::panic,
    clippy::unwrap_used,
    reason = "a measurement that fails ends the run"
)]

mod backlog;
mod bookings;
mod cpu;
mod crowd;
mod figures;
mod first;
mod inventory;
mod latency;
mod logins;
mod pages;
mod pgbench;
mod reads;
mod starts;
mod steps;

use std::env;

use tests::TestApp;

#[tokio::main]
async fn main() {
    let only = env::var("ADMIT_BENCH_ONLY").unwrap_or_default();
    let wanted = |part: &str| only.is_empty() || only == part;
    if wanted("machine") {
        machine();
    }
    if wanted("starts") {
        starts::measure();
    }
    if wanted("inventory") {
        inventory::measure().await;
    }
    if ["steps", "latency", "first", "bookings"]
        .into_iter()
        .any(wanted)
    {
        let app = TestApp::start().await;
        let shop = bookings::Shop::open(&app).await;
        if wanted("steps") {
            steps::measure(&app, &shop).await;
        }
        if wanted("latency") {
            latency::measure(&app, &shop).await;
        }
        if wanted("first") {
            first::measure(&app, &shop).await;
        }
        if wanted("bookings") {
            bookings::measure(&app, &shop).await;
        }
    }
    if ["logins", "backlog"].into_iter().any(wanted) {
        let app = TestApp::start().await;
        if wanted("logins") {
            logins::measure(&app).await;
        }
        if wanted("backlog") {
            backlog::measure(&app).await;
        }
    }
    if wanted("pages") {
        pages::measure(&TestApp::start().await).await;
    }
    if wanted("crowd") {
        crowd::measure().await;
    }
    // Last: it fills the stores.
    if wanted("reads") {
        reads::measure(&TestApp::start().await).await;
    }
}

/// Says on what machine, and when.
fn machine() {
    let cpus = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let models: Vec<_> = cpus
        .lines()
        .filter_map(|line| line.strip_prefix("model name"))
        .map(|model| model.trim_start_matches(['\t', ':', ' ']))
        .collect();
    let processors = std::thread::available_parallelism().map_or(0, usize::from);
    let today = shared::time::now().format("%Y-%m-%d");
    let text = format!(
        "{today}, {} processors ({}), release builds, all on one machine.\n",
        processors,
        models.first().unwrap_or(&"unknown"),
    );
    figures::write("machine", &text).unwrap();
}

/// How many rounds there are: each figure is measured once in each.
fn rounds() -> usize {
    let rounds = env::var("ADMIT_BENCH_ROUNDS").ok();
    rounds.and_then(|text| text.parse().ok()).unwrap_or(3)
}

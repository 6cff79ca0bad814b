//! Chaos: customers book while everything that can fail fails, then an audit of all that was
//! answered and stored.
//!
//! `make chaos SECONDS=… SEED=…` runs it as long as you like; `make test` for a short while with a
//! seed that does not change.
#![expect(
    clippy::unwrap_used,
    reason = "a helper that fails is a test that fails"
)]

mod crowd;
mod mischief;
mod proxy;

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::time::Duration;
use std::{env, fs};

use crowd::{Crowd, let_holds_lapse};
use futures_util::future::join_all;
use mischief::Mischief;
use proxy::Link;
use tests::audit::{Asked, Books, Breach, audit};
use tests::customer::Purchase;
use tests::queues::quarantined;
use tests::secrets::ROTATED;
use tests::stack::{Faults, in_project, restart_event_sources, start_event_sources};
use tests::{TestApp, eventually, secrets, setting};
use tokio::time::Instant;

/// How soon after the last fault everything must be settled, in addition to the time that the faults lasted. What
/// failed all that time is retried only after a pause of about the same length.
const SETTLED_WITHIN: Duration = Duration::from_secs(60);

fn number(name: &str, usual: u64) -> u64 {
    let text = env::var(name).unwrap_or_default();
    text.parse().unwrap_or(usual)
}

/// A link to the address in a setting, and the setting with the link in its stead.
async fn linked(name: &str) -> (Link, String) {
    let url = setting(name);
    let rest = url.split_once("127.0.0.1:").unwrap().1;
    let port: String = rest.chars().take_while(char::is_ascii_digit).collect();
    let target = format!("127.0.0.1:{port}");
    let link = Link::to(target.clone()).await;
    let through = format!("{name}={}", url.replace(&target, &link.address));
    (link, through)
}

async fn links(settings: &mut Vec<String>) -> Vec<(&'static str, Link)> {
    let mut links = Vec::new();
    for secret in ROTATED {
        let account = secrets::account(secret).await;
        let link = Link::to(format!("{}:{}", account.host, account.port)).await;
        let (_, port) = link.address.split_once(':').unwrap();
        // The functions that start from now on come through the link.
        secrets::move_to(secret, port.parse().unwrap()).await;
        links.push((secret, link));
    }
    let clients = [
        ("AWS", "AWS_ENDPOINT_URL"),
        ("Lambda", "AWS_ENDPOINT_URL_LAMBDA"),
    ];
    for (store, name) in clients {
        let (link, setting) = linked(name).await;
        settings.push(setting);
        links.push((store, link));
    }
    links
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whatever_fails_every_promise_is_kept_and_all_is_settled_soon() {
    let (seconds, seed) = (
        number("ADMIT_CHAOS_SECONDS", 60),
        number("ADMIT_CHAOS_SEED", 1),
    );
    let app = TestApp::start().await;
    let crowd = Crowd::gather(&app).await;
    let faults = Faults::none();
    let mut settings = vec![faults.setting(), "ADMIT_HURRY=5".to_owned()];
    let ports = join_all(
        ROTATED.map(|secret| async move { (secret, secrets::account(secret).await.port) }),
    );
    let ports = ports.await;
    let links = links(&mut settings).await;
    restart_event_sources(&settings).await;

    let patience = SETTLED_WITHIN + Duration::from_secs(seconds);
    let end = Instant::now() + Duration::from_secs(seconds);
    let mischief = Mischief::new(faults, settings.clone(), links);
    let mischief = async {
        let done = mischief.run(seed, end).await;
        // A fault point may have killed the event sources at the very end. Start them again.
        start_event_sources(&settings).await;
        (done, Instant::now())
    };
    let (mut crowds, (done, last_fault)) = tokio::join!(crowd.run(&app, seed, end), mischief);

    // Everyone who does not know yet asks again.
    let asking = crowds.purchases.iter_mut();
    let booked = join_all(asking.map(|purchase| purchase.pursue(&app, patience)));
    let asking = crowds.payments.iter_mut();
    let paid = join_all(asking.map(|payment| payment.pursue(&app, patience)));
    let (booked, paid) = tokio::join!(booked, paid);
    let_holds_lapse(&app).await;
    let asked = Asked {
        users: crowd.users.iter().map(|user| user.id).collect(),
        events: crowd.events.clone(),
        purchases: crowds.purchases,
        payments: crowds.payments,
    };
    let (mut breaches, _) = audit(&app, &asked, patience).await;
    let settled = last_fault.elapsed();
    let keys = asked.purchases.iter().map(|purchase| &purchase.key);
    let keys = keys.chain(asked.payments.iter().map(|payment| &payment.key));
    let untold = keys.zip(booked.into_iter().chain(paid));
    let untold = untold.filter(|(_, known)| !known);
    breaches.extend(untold.map(|(key, _)| Breach {
        promise: "told",
        of: key.clone(),
        what: "its customer never learned what became of it".to_owned(),
    }));
    breaches.extend(crowds.wrong.into_iter().map(|what| Breach {
        promise: "told",
        of: "a list or a login".to_owned(),
        what,
    }));
    for poison in &crowds.poison {
        eventually("each poison is quarantined, once", async || {
            (quarantined(&app, poison).await == 1).then_some(())
        })
        .await;
    }
    let books = Books::read(&app, &asked.users, &asked.events)
        .await
        .unwrap();
    let mut report = report(seed, seconds, &done, &asked, &books, settled, &breaches);
    writeln!(
        report,
        "Beside it {} lists and logins, and {} messages that nobody can read, all in quarantine.",
        crowds.looks,
        crowds.poison.len()
    )
    .unwrap();
    println!("{report}");
    fs::write(in_project(&format!("target/chaos-{seed}.txt")), &report).unwrap();
    for (secret, port) in ports {
        secrets::move_to(secret, port).await;
    }
    restart_event_sources(&[]).await;
    assert!(
        breaches.is_empty(),
        "{} promises broken with seed {seed}",
        breaches.len()
    );
    assert!(settled < patience, "settled only after {settled:?}");
}

fn report(
    seed: u64,
    seconds: u64,
    done: &BTreeMap<String, usize>,
    asked: &Asked,
    books: &Books,
    settled: Duration,
    breaches: &[Breach],
) -> String {
    let mut answers = BTreeMap::<String, usize>::new();
    let booking = asked.purchases.iter().flat_map(|purchase| &purchase.heard);
    let paying = asked.payments.iter().flat_map(|payment| &payment.heard);
    for heard in booking.chain(paying) {
        *answers
            .entry(format!("{}: {heard}", heard.asked))
            .or_default() += 1;
    }
    let mut states = BTreeMap::<&str, usize>::new();
    for booking in &books.bookings {
        *states.entry(&booking.status).or_default() += 1;
    }
    let mut report = format!("\nChaos, seed {seed}, {seconds} s\n");
    let mut section = |title: &str, lines: Vec<(String, usize)>| {
        let sum: usize = lines.iter().map(|(_, count)| count).sum();
        writeln!(report, "\n{title}: {sum}").unwrap();
        for (what, count) in lines {
            writeln!(report, "  {count:6}  {what}").unwrap();
        }
    };
    section(
        "Faults",
        done.iter()
            .map(|(what, count)| (what.clone(), *count))
            .collect(),
    );
    section("Answers", answers.into_iter().collect());
    section(
        "Bookings",
        states
            .iter()
            .map(|(state, count)| ((*state).to_owned(), *count))
            .collect(),
    );
    writeln!(
        report,
        "\nAll settled {:.1} s after the last fault; {} promises broken.",
        settled.as_secs_f64(),
        breaches.len()
    )
    .unwrap();
    for breach in breaches {
        writeln!(report, "  {breach}").unwrap();
    }
    if let Some(shortest) = shortest_history(&asked.purchases, books, breaches) {
        writeln!(
            report,
            "\nThe shortest history of what broke (make chaos SECONDS={seconds} SEED={seed}):\n{}",
            shortest.story()
        )
        .unwrap();
        let rows = books
            .bookings
            .iter()
            .filter(|row| row.key.as_ref() == Some(&shortest.key));
        for row in rows {
            writeln!(report, "  {row:?}").unwrap();
        }
    }
    report
}

/// Of the purchases that a broken promise is about, the one with the fewest requests.
fn shortest_history<'a>(
    purchases: &'a [Purchase],
    books: &Books,
    breaches: &[Breach],
) -> Option<&'a Purchase> {
    let broken = purchases.iter().filter(|purchase| {
        let row = books
            .bookings
            .iter()
            .find(|row| row.key.as_ref() == Some(&purchase.key));
        breaches.iter().any(|breach| {
            let of_row = row.is_some_and(|row| {
                breach.of == row.id || breach.of == row.id.replace("bk_", "pay_")
            });
            of_row || breach.of == purchase.key
        })
    });
    broken.min_by_key(|purchase| purchase.heard.len())
}

//! Bookings through the local API: clients that book one after the other, as fast as they are answered.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use reqwest::{Client, RequestBuilder};
use serde_json::json;
use tests::stack::restart_event_sources;
use tests::{TestApp, User};
use tokio::time::sleep;

use crate::cpu::Used;
use crate::figures::{self, Figure, count, row};
use crate::rounds;

const TIME: Duration = Duration::from_secs(8);
const EVENTS: usize = 1000;
/// As many as clients at most, so that none is refused.
const ENVIRONMENTS: usize = 16;

/// What is asked, by so many clients.
#[derive(Debug, Clone, Copy)]
enum Load {
    /// Bookings of many events, or of one.
    Book { clients: usize, events: usize },
    /// Requests that are refused before a store is asked. They show the most that the API and the emulator can do.
    BeRefused { clients: usize },
}

const LOADS: [Load; 7] = [
    Load::BeRefused { clients: 1 },
    Load::BeRefused { clients: 8 },
    Load::Book {
        clients: 1,
        events: EVENTS,
    },
    Load::Book {
        clients: 8,
        events: EVENTS,
    },
    Load::Book {
        clients: 8,
        events: 1,
    },
    Load::Book {
        clients: 16,
        events: EVENTS,
    },
    Load::Book {
        clients: 16,
        events: 1,
    },
];

/// Loads that are repeated with processes that serve many invocations at once, as on Lambda Managed Instances. The
/// processes before them serve one invocation each.
const MANY_AT_ONCE: [Load; 2] = [LOADS[3], LOADS[5]];

#[derive(Debug, Default)]
struct Measured {
    rate: Figure,
    p50: Figure,
    p95: Figure,
    /// Processor time of each component for one request, in milliseconds.
    used: BTreeMap<String, Figure>,
}

/// Who books, and what.
pub struct Shop {
    pub users: Vec<User>,
    pub events: Vec<String>,
}

impl Shop {
    pub async fn open(app: &TestApp) -> Self {
        let mut users = Vec::new();
        for _ in 0..16 {
            users.push(app.user().await);
        }
        let mut events = Vec::new();
        for _ in 0..EVENTS {
            let body = TestApp::event_body(json!({"capacity": 1_000_000}));
            let created = app.post(&users[0], "/events", body).await;
            assert_eq!(created.status, 201, "{created:?}");
            events.push(created.text("event_id"));
        }
        Self { users, events }
    }
}

/// Measures each load once a round.
pub async fn measure(app: &TestApp, shop: &Shop) {
    let Shop { users, events } = shop;
    let mut measured = LOADS.map(|_| Measured::default());
    let mut many = MANY_AT_ONCE.map(|_| Measured::default());
    for _ in 0..rounds() {
        for (at_once, loads, measured) in [
            (1, &LOADS[..], &mut measured[..]),
            (ENVIRONMENTS, &MANY_AT_ONCE, &mut many),
        ] {
            restart_event_sources(&[
                format!("ADMIT_CONCURRENT_BOOKINGS={ENVIRONMENTS}"),
                format!("ADMIT_INVOCATIONS_AT_ONCE={at_once}"),
            ])
            .await;
            // The functions' processes start, and connect.
            run(app, users, events, LOADS[5], Duration::from_secs(4)).await;
            for (load, measured) in loads.iter().zip(measured) {
                let before = Used::now();
                let took = run(app, users, events, *load, TIME).await;
                // Let the notifications of this load be delivered, so that their processor time counts too.
                sleep(Duration::from_secs(2)).await;
                measured.add(&took, &before);
            }
        }
    }
    restart_event_sources(&[]).await;
    figures::write("bookings", &text(&LOADS, &measured)).unwrap();
    figures::write("managed", &text(&MANY_AT_ONCE, &many)).unwrap();
}

impl Measured {
    fn add(&mut self, took: &[Duration], before: &Used) {
        let mut sorted = Figure::default();
        took.iter()
            .for_each(|took| sorted.add(took.as_secs_f64() * 1e3));
        self.rate.add(took.len() as f64 / TIME.as_secs_f64());
        self.p50.add(sorted.median());
        self.p95.add(sorted.at(0.95));
        for (name, used) in Used::now().since(before) {
            let each = used.as_secs_f64() * 1e3 / took.len().max(1) as f64;
            self.used.entry(name).or_default().add(each);
        }
    }

    fn used(&self, names: &[&str]) -> f64 {
        let used = names.iter().filter_map(|name| self.used.get(*name));
        used.map(Figure::median).sum()
    }
}

fn text(loads: &[Load], measured: &[Measured]) -> String {
    let mut text = "| | a second | p50, ms | p95, ms |\n| --- | ---: | ---: | ---: |\n".to_owned();
    let name = |load: &Load| match load {
        Load::BeRefused { clients } => {
            format!("a request that is refused, {}", count(*clients, "client"))
        }
        Load::Book { clients, events } => {
            let (clients, events) = (count(*clients, "client"), count(*events, "event"));
            format!("a booking, {clients}, {events}")
        }
    };
    for (load, measured) in loads.iter().zip(measured) {
        let figures = [&measured.rate, &measured.p50, &measured.p95];
        let cells = [vec![name(load)], figures.map(ToString::to_string).to_vec()].concat();
        text += &row(&cells);
    }
    text += "\nProcessor time in milliseconds, of each:\n\n";
    let components = [
        ("create-booking", &["create-booking"][..]),
        ("charge-payment", &["charge-payment"]),
        ("send-notification", &["send-notification"]),
        ("API and emulator", &["event-sources"]),
        ("PostgreSQL", &["postgres", "pooler"]),
        ("document store", &["documents"]),
        ("RabbitMQ", &["rabbitmq"]),
    ];
    let heads = components.map(|(head, _)| head.to_owned());
    text += &row(&[vec![String::new()], heads.to_vec()].concat());
    text += &row(&[
        vec!["---".to_owned()],
        vec!["---:".to_owned(); components.len()],
    ]
    .concat());
    for (load, measured) in loads.iter().zip(measured) {
        let used = components.map(|(_, names)| format!("{:.2}", measured.used(names)));
        text += &row(&[vec![name(load)], used.to_vec()].concat());
    }
    text
}

/// How long each request took that was answered as it should be.
async fn run(
    app: &TestApp,
    users: &[User],
    events: &[String],
    load: Load,
    time: Duration,
) -> Vec<Duration> {
    let (clients, events, expected) = match load {
        Load::Book {
            clients,
            events: many,
        } => (clients, &events[..many], 201),
        Load::BeRefused { clients } => (clients, events, 401),
    };
    let began = Instant::now();
    let next = Arc::new(AtomicUsize::new(0));
    let tasks: Vec<_> = users[..clients]
        .iter()
        .map(|user| {
            let (user, events) = (user.clone(), events.to_vec());
            let (url, next) = (app.url.clone(), Arc::clone(&next));
            tokio::spawn(async move {
                let client = Client::new();
                let mut took = Vec::new();
                while began.elapsed() < time {
                    let turn = next.fetch_add(1, Ordering::Relaxed);
                    let asked = Instant::now();
                    let request = request(&client, &url, load, &user, &events[turn % events.len()]);
                    let answer = request.send().await.unwrap();
                    let status = answer.status();
                    let body = answer.text().await.unwrap();
                    assert_eq!(status, expected, "{body}");
                    took.push(asked.elapsed());
                }
                took
            })
        })
        .collect();
    let mut took = Vec::new();
    for task in tasks {
        took.extend(task.await.unwrap());
    }
    took
}

fn request(client: &Client, url: &str, load: Load, user: &User, event: &str) -> RequestBuilder {
    match load {
        Load::BeRefused { .. } => client.post(format!("{url}/bookings")),
        Load::Book { .. } => {
            let body = json!({"user_id": user.id, "event_id": event, "tickets": 1});
            let request = client.post(format!("{url}/bookings"));
            request.bearer_auth(&user.token).json(&body)
        }
    }
}

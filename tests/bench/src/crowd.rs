//! A crowd at one moment: ten thousand people want the five thousand tickets of one event within one second. The
//! environments, charges and connections are limited.
//!
//! Each person sends one request, and repeats it with the same key while it is refused (503) or gets no answer. A
//! person who is told to wait (202) polls the booking until its outcome is known.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use reqwest::Client;
use serde_json::json;
use sqlx::Connection;
use sqlx::postgres::{PgConnectOptions, PgConnection};
use tests::stack::restart_event_sources;
use tests::{TestApp, User, secrets};
use tokio::sync::Mutex;
use tokio::time::sleep;

use crate::figures::{self, Line, row};

const PEOPLE: usize = 10_000;
const TICKETS: i64 = 5_000;
/// Environments of `create-booking`, and of `charge-payment`, at most.
const BOOKINGS: usize = 100;
const CHARGES: usize = 50;
/// When somebody gives up.
const PATIENCE: Duration = Duration::from_secs(300);

/// What was answered, and when after the crowd came.
type Answers = Arc<Mutex<Vec<(Duration, u16)>>>;

/// Lets the crowd in, and writes what it was answered.
pub async fn measure() {
    restart_event_sources(&[
        format!("ADMIT_CONCURRENT_BOOKINGS={BOOKINGS}"),
        format!("ADMIT_CONCURRENT_CHARGES={CHARGES}"),
    ])
    .await;
    let app = TestApp::start().await;
    let user = app.user().await;
    let event = app.event_with(TICKETS).await;
    let owner = secrets::account("database-owner").await;
    let over = Arc::new(AtomicBool::new(false));
    let options = secrets::database(&owner, "booking_db");
    let watching = tokio::spawn(connections(options, Arc::clone(&over)));
    let answers = Answers::default();
    let client = Client::builder()
        .pool_max_idle_per_host(1000)
        .timeout(Duration::from_secs(35))
        .build()
        .unwrap();
    let began = Instant::now();
    let crowd: Vec<_> = (0..PEOPLE)
        .map(|_| {
            let person = Person {
                client: client.clone(),
                url: app.url.clone(),
                user: user.clone(),
                began,
                answers: Arc::clone(&answers),
            };
            let event = event.clone();
            tokio::spawn(async move {
                sleep(Duration::from_millis(fastrand::u64(..1000))).await;
                person.pursue(&event).await
            })
        })
        .collect();
    let mut ends = Vec::new();
    for person in crowd {
        ends.push(person.await.unwrap());
    }
    over.store(true, Ordering::Relaxed);
    let most = watching.await.unwrap();
    let sold = TICKETS - app.available(&event).await;
    let answers = answers.lock().await;
    report(&answers, &ends, sold, most);
    restart_event_sources(&[]).await;
}

/// How a person's wish ended, and when.
type End = (Duration, &'static str);

struct Person {
    client: Client,
    url: String,
    user: User,
    began: Instant,
    answers: Answers,
}

impl Person {
    async fn pursue(&self, event: &str) -> End {
        let key = uuid::Uuid::now_v7().to_string();
        let body = json!({"user_id": self.user.id, "event_id": event, "tickets": 1});
        let mut pause = Duration::from_millis(500);
        while self.began.elapsed() < PATIENCE {
            let request = self.client.post(format!("{}/bookings", self.url));
            let request = request.bearer_auth(&self.user.token).json(&body);
            let sent = request.header("idempotency-key", &key).send().await;
            let status = sent.as_ref().map_or(0, |answer| answer.status().as_u16());
            self.answers
                .lock()
                .await
                .push((self.began.elapsed(), status));
            match (status, sent) {
                (201, _) => return (self.began.elapsed(), "booked"),
                (409, Ok(answer)) => {
                    let Ok(problem) = answer.json::<serde_json::Value>().await else {
                        continue;
                    };
                    if problem["type"] == "/problems/sold-out" {
                        return (self.began.elapsed(), "sold out");
                    }
                }
                (202, Ok(answer)) => {
                    let Ok(booking) = answer.json::<serde_json::Value>().await else {
                        continue;
                    };
                    return self.wait(booking["booking_id"].as_str().unwrap()).await;
                }
                (402, _) => return (self.began.elapsed(), "expired"),
                (0 | 429 | 500..=599, _) => {}
                (status, _) => panic!("answered {status}"),
            }
            sleep(pause.mul_f64(0.5 + fastrand::f64())).await;
            pause = (pause * 2).min(Duration::from_secs(8));
        }
        (self.began.elapsed(), "gave up")
    }

    /// Asks for a booking that waits for its turn until it is known.
    async fn wait(&self, booking: &str) -> End {
        let url = format!("{}/bookings/{booking}", self.url);
        while self.began.elapsed() < PATIENCE {
            sleep(Duration::from_secs_f64(3.0 + 4.0 * fastrand::f64())).await;
            let asking = self.client.get(&url).bearer_auth(&self.user.token);
            let Ok(answer) = asking.send().await else {
                continue;
            };
            let Ok(booking) = answer.json::<serde_json::Value>().await else {
                continue;
            };
            match booking["status"].as_str() {
                Some("CONFIRMED") => return (self.began.elapsed(), "booked"),
                Some("EXPIRED") => return (self.began.elapsed(), "expired"),
                _ => {}
            }
        }
        (self.began.elapsed(), "gave up")
    }
}

/// The most connections to PostgreSQL at once.
async fn connections(options: PgConnectOptions, over: Arc<AtomicBool>) -> i64 {
    let mut connection = PgConnection::connect_with(&options).await.unwrap();
    let mut most = 0;
    while !over.load(Ordering::Relaxed) {
        let count = "select count(*) from pg_stat_activity where backend_type = 'client backend' and pid <> pg_backend_pid()";
        let count: i64 = sqlx::query_scalar(count)
            .fetch_one(&mut connection)
            .await
            .unwrap();
        most = most.max(count);
        sleep(Duration::from_millis(100)).await;
    }
    most
}

fn report(answers: &[(Duration, u16)], ends: &[End], sold: i64, connections: i64) {
    let mut counted = BTreeMap::<u16, [usize; 2]>::new();
    for (at, status) in answers {
        let [first, all] = counted.entry(*status).or_default();
        *first += usize::from(*at < Duration::from_secs(1));
        *all += 1;
    }
    let mut text = "| answer | in the first second | in all |\n| --- | ---: | ---: |\n".to_owned();
    for (status, [first, all]) in counted {
        let name = match status {
            0 => "none".to_owned(),
            status => status.to_string(),
        };
        text += &row(&[name, first.to_string(), all.to_string()]);
    }
    let mut ended = BTreeMap::<&str, Vec<Duration>>::new();
    for (at, end) in ends {
        ended.entry(end).or_default().push(*at);
    }
    text += "\n| people | how many | half know after, s | all know after, s |\n| --- | ---: | ---: | ---: |\n";
    for (end, mut times) in ended {
        times.sort_unstable();
        let half = times[times.len() / 2].as_secs_f64();
        let last = times[times.len() - 1].as_secs_f64();
        let cells = [
            end.to_owned(),
            times.len().to_string(),
            format!("{half:.1}"),
            format!("{last:.1}"),
        ];
        text += &row(&cells);
    }
    let booked: Vec<_> = ends.iter().filter(|(_, end)| *end == "booked").collect();
    let rates = rates(booked.iter().map(|(at, _)| *at));
    text += &format!(
        "\n{sold} of {TICKETS} tickets were sold, at most {connections} connections to PostgreSQL were open.\n\n\
         ![bookings a second against time](crowd.svg)\n"
    );
    figures::write("crowd", &text).unwrap();
    let line: Line = ("bookings that became known".to_owned(), rates);
    figures::plot_time("crowd", "bookings a second", &[line]).unwrap();
}

/// The rate per second in each five seconds, against the end of those five seconds.
fn rates(times: impl Iterator<Item = Duration>) -> Vec<(f64, f64)> {
    const WIDTH: u64 = 5;
    let mut counted = BTreeMap::<u64, f64>::new();
    for at in times {
        *counted.entry(at.as_secs() / WIDTH).or_default() += 1.0 / WIDTH as f64;
    }
    let last = counted.keys().next_back().copied().unwrap_or(0);
    (0..=last)
        .map(|slot| {
            (
                ((slot + 1) * WIDTH) as f64,
                counted.get(&slot).copied().unwrap_or(0.0),
            )
        })
        .collect()
}

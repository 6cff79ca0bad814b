//! Reads of long lists: the first page and pages far behind it, of few rows and of many.

use std::time::Instant;

use mongodb::bson::{DateTime, doc};
use serde_json::Value;
use shared::time::now;
use tests::{TestApp, User};
use uuid::Uuid;

use crate::figures::{self, Figure, row};

const SIZES: [usize; 2] = [1_000, 1_000_000];
/// The pages that are read, by how many rows are before them: the first, the last of the short list, and the
/// thousandth.
const BEFORE: [usize; 3] = [0, 900, 19_980];
const TIMES: usize = 50;
const LISTS: [&str; 3] = ["/events", "/bookings", "/notifications"];

/// Measures each page of each list, in each size.
pub async fn measure(app: &TestApp) {
    let user = app.user().await;
    let mut rows: Vec<Vec<String>> = LISTS.map(|list| vec![format!("`GET {list}`")]).to_vec();
    let mut least = [f64::MAX; LISTS.len()];
    let mut most = [0_f64; LISTS.len()];
    let mut there = 0;
    for size in SIZES {
        fill(app, &user, there, size).await;
        there = size;
        for (place, list) in LISTS.iter().enumerate() {
            for before in BEFORE.into_iter().filter(|before| before + 20 <= size) {
                let took = page(app, &user, list, before).await.median();
                rows[place].push(format!("{took:.1}"));
                least[place] = least[place].min(took);
                most[place] = most[place].max(took);
            }
        }
    }
    let mut text = "| p50, ms | 1,000 rows: first page | 46th | 1,000,000 rows: first | 46th | 1,000th | most / least |\n\
         | --- | ---: | ---: | ---: | ---: | ---: | ---: |\n"
        .to_owned();
    for (place, mut cells) in rows.into_iter().enumerate() {
        cells.push(format!("{:.2}", most[place] / least[place]));
        text += &row(&cells);
    }
    figures::write("reads", &text).unwrap();
}

/// How long a page of 20 takes that has so many rows before it.
async fn page(app: &TestApp, user: &User, list: &str, before: usize) -> Figure {
    let mut cursor = String::new();
    let mut passed = 0;
    while passed < before {
        let step = (before - passed).min(100);
        let answer = app.get(user, &format!("{list}?limit={step}{cursor}")).await;
        let Value::String(next) = &answer.body["next_cursor"] else {
            panic!("{list} has no row {before}: {answer:?}");
        };
        cursor = format!("&cursor={next}");
        passed += step;
    }
    let path = format!("{list}?limit=20{cursor}");
    let mut figure = Figure::default();
    for _ in 0..TIMES {
        let began = Instant::now();
        let answer = app.get(user, &path).await;
        figure.add(began.elapsed().as_secs_f64() * 1e3);
        assert_eq!(answer.status, 200, "{answer:?}");
    }
    figure
}

/// Adds events to come, and bookings and notifications of the user's, from so many to so many.
async fn fill(app: &TestApp, user: &User, from: usize, to: usize) {
    let statements = format!(
        "with made as (
            insert into event (event_id, organizer_id, name, venue, starts_at, price_minor, currency, capacity,
                               available, max_tickets_per_booking)
            select 'many-' || n, 1, 'An event', 'A hall', now() + interval '400 days' + n * interval '1 second',
                   100, 'USD', 100, 0, 10
              from generate_series({from} + 1, {to}) as n
            returning event_id
         ), root as (
            insert into quota (quota_id, event_id, name, kind, capacity)
            select gen_random_uuid(), event_id, 'Tickets', 'ROOT', 100 from made
            returning quota_id
         )
         insert into stock (quota_id, shard, free) select quota_id, 0, 100 from root;
         insert into booking (booking_id, user_id, event_id, tickets, amount_minor, currency, status, created_at)
         select gen_random_uuid(), {user}, 'many-1', 1, 100, 'USD', 'EXPIRED', now() - n * interval '1 second'
           from generate_series({from} + 1, {to}) as n;
         analyze event; analyze quota; analyze stock; analyze booking",
        user = user.id,
    );
    // Longer than any statement of ours may take.
    let mut connection = app.bookings.acquire().await.unwrap();
    for statement in ["set statement_timeout = 0", &statements] {
        sqlx::raw_sql(sqlx::AssertSqlSafe(statement.to_owned()))
            .execute(&mut *connection)
            .await
            .unwrap();
    }
    let stored = app
        .documents
        .database("notification_db")
        .collection("notifications");
    let mut numbers = (from..to).peekable();
    while numbers.peek().is_some() {
        let documents = numbers.by_ref().take(10_000).map(|number| {
            let booking = format!("bk_{}", Uuid::now_v7().simple());
            doc! {
                "_id": format!("{booking}.confirmed"), "user_id": user.id, "type": "BOOKING_CONFIRMED",
                "booking_id": booking, "event_id": "many-1", "message": "Your booking is confirmed.",
                "created_at": DateTime::from_millis(now().timestamp_millis() - 1000 * number as i64),
            }
        });
        stored.insert_many(documents).ordered(false).await.unwrap();
    }
}

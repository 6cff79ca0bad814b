//! Reads of long lists: the first page and pages far behind it, of few rows and of many.

use std::time::Instant;

use mongodb::bson::{DateTime, doc};
use serde_json::Value;
use shared::time::now;
use tests::{TestApp, User};
use uuid::Uuid;

use crate::figures::{self, Figure, row};

const FEW: usize = 1_000;
const MANY: usize = 1_000_000;
/// The pages that are read, by how many rows are before them: the first, the last of the short list, and one far behind.
const BEFORE: [usize; 3] = [0, 900, 15_980];
const TIMES: usize = 20;

/// Measures each page of each list, with few rows and with many.
pub async fn measure(app: &TestApp) {
    let user = app.user().await;
    let mut text =
        "| p50, ms | rows | first page | behind 900 rows | behind 15,980 | most / least |\n\
                     | --- | ---: | ---: | ---: | ---: | ---: |\n"
            .to_owned();
    for list in ["/events", "/bookings", "/notifications"] {
        let mut of_list = Figure::default();
        for (from, size) in [(0, FEW), (FEW, MANY)] {
            match list {
                "/events" => fill(app, &events(from, size)).await,
                "/bookings" => fill(app, &bookings(&user, from, size)).await,
                _ => notify(app, &user, from, size).await,
            }
            let mut cells = vec![format!("`GET {list}`"), size.to_string()];
            for before in BEFORE {
                let mut cell = String::new();
                if before + 20 <= size {
                    let took = page(app, &user, list, before).await.median();
                    of_list.add(took);
                    cell = format!("{took:.1}");
                }
                cells.push(cell);
            }
            let spread = of_list.at(1.0) / of_list.at(0.0);
            cells.push(format!("{spread:.2}"));
            text += &row(&cells);
        }
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

/// Events to come, from so many to so many.
fn events(from: usize, to: usize) -> String {
    format!(
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
            returning quota_id, event_id
         ), kind as (
            insert into ticket_type (ticket_type_id, event_id, name, position, is_default, price_minor)
            select gen_random_uuid(), event_id, 'Ticket', 0, true, 100 from made
            returning ticket_type_id, event_id
         ), takes as (
            insert into ticket_type_quota (ticket_type_id, quota_id, units)
            select ticket_type_id, quota_id, 1 from kind join root using (event_id)
         )
         insert into stock (quota_id, shard, free) select quota_id, 0, 100 from root;
         analyze event; analyze quota; analyze stock; analyze ticket_type; analyze ticket_type_quota",
    )
}

/// Bookings of the user's, from so many to so many.
fn bookings(user: &User, from: usize, to: usize) -> String {
    format!(
        "insert into booking (booking_id, user_id, event_id, tickets, amount_minor, currency, status, created_at)
         select gen_random_uuid(), {user}, 'many-1', 1, 100, 'USD', 'EXPIRED', now() - n * interval '1 second'
           from generate_series({from} + 1, {to}) as n;
         analyze booking",
        user = user.id,
    )
}

async fn fill(app: &TestApp, statements: &str) {
    // Lift the statement timeout: these inserts take longer than any statement of ours may. Switch the triggers off:
    // row by row, they would do the work that only the rows of an older release need.
    let mut connection = app.bookings.acquire().await.unwrap();
    for statement in [
        "set statement_timeout = 0",
        "set session_replication_role = replica",
        statements,
    ] {
        sqlx::raw_sql(sqlx::AssertSqlSafe(statement.to_owned()))
            .execute(&mut *connection)
            .await
            .unwrap();
    }
    // Not to be used for anything else.
    drop(connection.detach());
}

/// Notifications of the user's, from so many to so many.
async fn notify(app: &TestApp, user: &User, from: usize, to: usize) {
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

//! What must come right by itself, or by one command, each pinned on its own.

use std::fs;
use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};
use futures_util::future::join_all;
use lapin::options::{QueueBindOptions, QueueDeclareOptions, QueueDeleteOptions};
use lapin::types::{AMQPValue, FieldTable};
use mongodb::bson::{self, Binary, Document, doc, spec::BinarySubtype};
use serde_json::{Value, json};
use shared::faults::Fault;
use sqlx::postgres::PgConnection;
use sqlx::{Connection, Executor, Row};
use tests::customer::Purchase;
use tests::queues::{enqueue, publish, receive};
use tests::secrets;
use tests::stack::{children, end_functions, folder, local, peak_mib, pid, signal};
use tests::{TestApp, User, eventually, eventually_within};
use uuid::Uuid;

use crate::Range;

const DEAD_LETTERS: &str = "ADMIT_SETTLE_DEAD_LETTER_QUEUE_URL";

fn announcement(user: &User, booking: &str) -> Vec<u8> {
    let announcement = json!({
        "specversion": "1.0", "id": format!("{booking}.confirmed"), "source": "/bookings",
        "type": "admit.booking.confirmed", "time": shared::time::now(), "datacontenttype": "application/json",
        "data": {"booking_id": booking, "user_id": user.id, "event_id": "E123", "tickets": 1},
    });
    announcement.to_string().into_bytes()
}

fn some_booking() -> String {
    format!("bk_{}", Uuid::now_v7().simple())
}

async fn settle(app: &TestApp, booking: &str) -> Value {
    let body = json!({"booking_id": booking}).to_string();
    let record = json!({"messageId": "1", "body": body, "eventSource": "aws:sqs"});
    app.invoke("settle-bookings", &json!({"Records": [record]}))
        .await
        .unwrap()
}

/// A column of a booking's row.
async fn column<T>(app: &TestApp, booking: &str, name: &str) -> T
where
    T: for<'r> sqlx::Decode<'r, sqlx::Postgres> + sqlx::Type<sqlx::Postgres>,
{
    let id: Uuid = booking.strip_prefix("bk_").unwrap().parse().unwrap();
    let row = sqlx::query("select * from booking where booking_id = $1").bind(id);
    row.fetch_one(&app.bookings).await.unwrap().get(name)
}

/// A booking's job of a kind: how often it was tried, and whether it is done; none where there is none.
async fn job(app: &TestApp, booking: &str, kind: &str) -> Option<(i32, bool)> {
    let id: Uuid = booking.strip_prefix("bk_").unwrap().parse().unwrap();
    let row = sqlx::query_as(
        "select attempts, done_at is not null from job where kind = $2 and key in ($1::text, $1 || '.confirmed')",
    );
    let row = row.bind(id).bind(kind).fetch_optional(&app.bookings);
    row.await.unwrap()
}

/// The idempotency key that is kept of a booking's request.
async fn key(app: &TestApp, booking: &str) -> Option<String> {
    let id: Uuid = booking.strip_prefix("bk_").unwrap().parse().unwrap();
    let key = sqlx::query_scalar("select idempotency_key from request where resource_id = $1");
    key.bind(id).fetch_optional(&app.bookings).await.unwrap()
}

/// Makes the idempotency key of a booking's request `age` old.
async fn age_key(app: &TestApp, booking: &str, age: &str) {
    let id: Uuid = booking.strip_prefix("bk_").unwrap().parse().unwrap();
    let aged = sqlx::query(
        "update request set created_at = now() - $2::text::interval where resource_id = $1",
    );
    aged.bind(id)
        .bind(age)
        .execute(&app.bookings)
        .await
        .unwrap();
}

/// The values of a metric in a log.
fn metrics(log: &str, name: &str) -> Vec<f64> {
    let lines = log.lines().filter_map(|line| {
        let line: Value = serde_json::from_str(line).ok()?;
        line["_aws"]["CloudWatchMetrics"][0]["Namespace"].as_str()?;
        line[name].as_f64()
    });
    lines.collect()
}

/// Binds the queue of notifications to its exchange, or takes it off.
async fn bind(bound: bool) {
    let connection = secrets::broker("broker-owner").await;
    let channel = connection.create_channel().await.unwrap();
    let (queue, exchange) = ("admit.notifications", "admit.events");
    let arguments = FieldTable::default();
    if bound {
        let options = QueueBindOptions::default();
        channel
            .queue_bind(
                queue.into(),
                exchange.into(),
                "#".into(),
                options,
                arguments,
            )
            .await
            .unwrap();
    } else {
        channel
            .queue_unbind(queue.into(), exchange.into(), "#".into(), arguments)
            .await
            .unwrap();
    }
    connection.close(200, "done".into()).await.unwrap();
}

#[tokio::test]
async fn a_confirmation_that_comes_late_does_not_undo_a_cancel() {
    let range = Range::open().await;
    let app = &range.app;
    let (user, event) = (app.user().await, app.event_with(5).await);
    // The booking stands still between its charge and its confirmation …
    range
        .faults
        .arm_in("create-booking", "BrokerPublish", Fault::Hangs, 1);
    let late = app.book(&user, &event, 2);
    let meanwhile = async {
        let booking = eventually("the booking is charged", async || {
            let page = app.get(&user, "/bookings").await;
            let booking = page.body["items"][0]["booking_id"].as_str()?.to_owned();
            let payment = booking.replace("bk_", "pay_");
            app.gateway_entry(&payment).await.map(|_| booking)
        })
        .await;
        eventually("it waits for the broker", async || {
            (range.faults.left("BrokerPublish") == 0).then_some(())
        })
        .await;
        // … is settled by another, and cancelled.
        settle(app, &booking).await;
        let cancelled = app.cancel(&user, &booking).await;
        assert_eq!(cancelled.body["status"], "CANCELLED", "{cancelled:?}");
        booking
    };
    let (_, booking) = tokio::join!(late, meanwhile);
    let shown = app.get(&user, &format!("/bookings/{booking}")).await;
    assert_eq!(shown.body["status"], "CANCELLED");
    assert_eq!(app.available(&event).await, 5);
    range.close().await;
}

#[tokio::test]
async fn a_hold_whose_time_is_over_is_ended_by_its_message_before_the_sweep() {
    let range = Range::open().await;
    range
        .restart_with(&["ADMIT_CLOCK_SECONDS=3600".to_owned()])
        .await;
    let app = &range.app;
    let (user, event) = (app.user().await, app.event_with(2).await);
    let held = json!({"user_id": user.id, "event_id": event, "tickets": 2, "hold": true});
    let held = app.post(&user, "/bookings", held).await;
    let booking = held.text("booking_id");
    settle(app, &booking).await;
    assert_eq!(app.available(&event).await, 0);
    let id: Uuid = booking.strip_prefix("bk_").unwrap().parse().unwrap();
    sqlx::query("update booking set hold_until = now() where booking_id = $1")
        .bind(id)
        .execute(&app.bookings)
        .await
        .unwrap();
    settle(app, &booking).await;
    assert_eq!(column::<String>(app, &booking, "status").await, "EXPIRED");
    assert_eq!(app.available(&event).await, 2);
    range.close().await;
}

#[tokio::test]
async fn a_charge_that_is_noted_late_does_not_undo_a_refund() {
    let range = Range::open().await;
    // Give the functions as much time as on AWS, so that a late call is still within its limit.
    range.restart_with(&["ADMIT_HURRY=1".to_owned()]).await;
    let app = &range.app;
    let (user, event) = (app.user().await, app.event_with(5).await);
    range
        .faults
        .arm_in("charge-payment", "OpenRecord", Fault::Late, 1);
    let late = app.book(&user, &event, 2);
    let meanwhile = async {
        let booking = eventually("the booking is charged", async || {
            let page = app.get(&user, "/bookings").await;
            let booking = page.body["items"][0]["booking_id"].as_str()?.to_owned();
            let payment = booking.replace("bk_", "pay_");
            app.gateway_entry(&payment).await.map(|_| booking)
        })
        .await;
        settle(app, &booking).await;
        let cancelled = app.cancel(&user, &booking).await;
        assert_eq!(cancelled.body["status"], "CANCELLED", "{cancelled:?}");
        let payment = format!("/payments/{}", booking.replace("bk_", "pay_"));
        app.await_status(&user, &payment, "REFUNDED").await;
        payment
    };
    let (answer, payment) = tokio::join!(late, meanwhile);
    // The request itself is still answered with the confirmed booking.
    assert_eq!(
        (answer.status, answer.text("status")),
        (201, "CONFIRMED".to_owned())
    );
    assert_eq!(app.get(&user, &payment).await.body["status"], "REFUNDED");
    assert_eq!(app.available(&event).await, 5);
    range.close().await;
}

/// Errors that PostgreSQL itself reports: a shutdown, a standby, a lock that it does not grant in time.
#[tokio::test]
async fn what_a_server_says_that_can_not_serve_now_is_repeated_or_503() {
    let range = Range::open().await;
    let app = &range.app;
    let (user, event) = (app.user().await, app.event_with(9).await);
    assert_eq!(app.book(&user, &event, 1).await.status, 201);
    let owner = secrets::account("database-owner").await;
    let alter = async |statement: &'static str| {
        let options = secrets::database(&owner, "postgres");
        let mut connection = PgConnection::connect_with(&options).await.unwrap();
        connection.execute(statement).await.unwrap();
    };
    let terminate = "select pg_terminate_backend(pid) from pg_stat_activity where datname = 'booking_db' and usename <> current_user";
    // 57P01: the sessions end; each request is repeated on a new one.
    alter(terminate).await;
    assert_eq!(app.book(&user, &event, 1).await.status, 201);
    // 25006: the server has become a standby, until it is one no more.
    alter("alter database booking_db set default_transaction_read_only = on").await;
    alter(terminate).await;
    let mut purchase = Purchase::new(&user, &event, 1, "pm_card_visa");
    let refused = purchase.ask(app).await.unwrap();
    alter("alter database booking_db reset default_transaction_read_only").await;
    assert_eq!(
        (refused.status, refused.problem()),
        (503, "unavailable"),
        "{refused:?}"
    );
    assert!(refused.header("retry-after").is_some());
    // No session is kept that would go on refusing.
    let again = purchase.ask(app).await.unwrap();
    assert_eq!(again.status, 201, "{again:?}");
    // 55P03: somebody else has locked the row. The repeat gets past a lock of 4 s, but not past one of 9 s.
    for (held, status) in [(4, 201), (9, 503)] {
        let mut holder = app.bookings.begin().await.unwrap();
        sqlx::query("set local idle_in_transaction_session_timeout = 0")
            .execute(&mut *holder)
            .await
            .unwrap();
        let lock = "select from stock where quota_id = (select quota_id from quota where event_id = $1) for no key update";
        sqlx::query(lock)
            .bind(&event)
            .execute(&mut *holder)
            .await
            .unwrap();
        let release = async {
            tokio::time::sleep(Duration::from_secs(held)).await;
            holder.commit().await.unwrap();
        };
        range.restart_with(&["ADMIT_HURRY=1".to_owned()]).await;
        let (answer, ()) = tokio::join!(app.book(&user, &event, 1), release);
        assert_eq!(answer.status, status, "{answer:?}");
    }
    range.close().await;
}

/// What MongoDB's servers say when they step down, by the fail point that MongoDB has for tests.
#[tokio::test]
async fn what_a_document_store_says_that_steps_down_is_repeated_or_503() {
    let range = Range::open().await;
    // No sweep, which would take some of the failures.
    range
        .restart_with(&["ADMIT_CLOCK_SECONDS=600".to_owned()])
        .await;
    let app = &range.app;
    let user = app.user().await;
    let fail = async |command: &str, namespace: &str, code: i32, times: i32| {
        let point = doc! {
            "configureFailPoint": "failCommand", "mode": {"times": times},
            "data": {"failCommands": [command], "errorCode": code, "namespace": namespace},
        };
        app.documents
            .database("admin")
            .run_command(point)
            .await
            .unwrap();
    };
    let pay = || app.post(&user, "/payments", json!({"user_id": user.id, "amount": 5}));
    let (payments, notifications) = ("payment_db.payments", "notification_db.notifications");
    for code in [91, 189, 10_107, 11_600, 11_602] {
        fail("insert", payments, code, 1).await;
        let repeated = pay().await;
        assert_eq!(repeated.status, 201, "{code}: {repeated:?}");
        fail("insert", payments, code, 2).await;
        let refused = pay().await;
        assert_eq!(
            (refused.status, refused.problem()),
            (503, "unavailable"),
            "{code}: {refused:?}"
        );
        assert!(refused.header("retry-after").is_some());
        // The driver asks a second time itself what it only reads.
        fail("find", notifications, code, 4).await;
        let listed = app.get(&user, "/notifications").await;
        assert_eq!(listed.status, 503, "{code}: {listed:?}");
        fail("find", notifications, code, 1).await;
        assert_eq!(app.get(&user, "/notifications").await.status, 200, "{code}");
    }
    // A batch of notifications that is refused comes again, whole.
    let event = app.event_with(5).await;
    fail("insert", notifications, 10_107, 2).await;
    let booking = app.book(&user, &event, 1).await.text("booking_id");
    app.await_notification(&user, &booking).await;
    range.close().await;
}

/// A broker that takes no more says so by a nack: that is no confirmation.
#[tokio::test]
async fn an_announcement_that_the_broker_refuses_is_made_when_it_takes_it() {
    let range = Range::open().await;
    let app = &range.app;
    let (user, event) = (app.user().await, app.event_with(5).await);
    let connection = secrets::broker("broker-owner").await;
    let channel = connection.create_channel().await.unwrap();
    // A queue of one message that nobody takes: what comes then is refused to its publisher.
    let mut full = FieldTable::default();
    full.insert("x-max-length".into(), AMQPValue::LongInt(1));
    full.insert(
        "x-overflow".into(),
        AMQPValue::LongString("reject-publish".into()),
    );
    let (queue, exchange) = ("tests.full", "admit.events");
    channel
        .queue_declare(queue.into(), QueueDeclareOptions::durable(), full)
        .await
        .unwrap();
    let (everything, options, none) = ("#", QueueBindOptions::default(), FieldTable::default());
    channel
        .queue_bind(
            queue.into(),
            exchange.into(),
            everything.into(),
            options,
            none,
        )
        .await
        .unwrap();
    for (booked, announced) in [(1, true), (2, false)] {
        let booking = app.book(&user, &event, 1).await;
        assert_eq!(booking.status, 201, "{booking:?}");
        // Only what was not announced has a job.
        let left = job(app, &booking.text("booking_id"), "ANNOUNCE").await;
        assert_eq!(left.is_none(), announced, "booking {booked}");
    }
    channel
        .queue_delete(queue.into(), QueueDeleteOptions::default())
        .await
        .unwrap();
    connection.close(200, "done".into()).await.unwrap();
    eventually("all is announced", async || {
        let left = sqlx::query_scalar::<_, i64>(
            "select count(*) from job join booking on key = booking_id || '.confirmed'
              where user_id = $1 and done_at is null",
        );
        let left = left.bind(user.id).fetch_one(&app.bookings).await.unwrap();
        (left == 0).then_some(())
    })
    .await;
    range.close().await;
}

#[tokio::test]
async fn a_reservation_is_taken_back_where_it_was_sent_and_only_there() {
    let range = Range::open().await;
    let app = &range.app;
    let (user, event) = (app.user().await, app.event_with(5).await);
    let arm = |point: &str, fault, times| {
        range.faults.arm_in("create-booking", point, fault, times);
    };
    // A first try reserves and is not heard. Then the look at what it did fails, or a second try isn't sent.
    for (point, times) in [("ExplainRequest", 2), ("Reserve", 1)] {
        arm("Reserve", Fault::AnswerLost, 1);
        arm(point, Fault::FailsBefore, times);
        let refused = app.book(&user, &event, 2).await;
        assert_eq!(refused.status, 503, "{point}: {refused:?}");
        assert_eq!(range.faults.left(point), 0, "{point} didn't fail");
        let available = app.available(&event).await;
        assert_eq!(available, 5, "{point}: a reservation was left behind");
        let page = app.get(&user, "/bookings").await;
        assert_eq!(page.body["items"], json!([]), "{point}");
    }
    // Neither try is sent: there is nothing to undo, and no third connection to wait for.
    arm("Reserve", Fault::FailsBefore, 2);
    arm("UndoReserve", Fault::FailsBefore, 1);
    let refused = app.book(&user, &event, 2).await;
    assert_eq!(refused.status, 503, "{refused:?}");
    let left = range.faults.left("UndoReserve");
    assert_eq!(left, 1, "nothing is undone");
    range.close().await;
}

#[tokio::test]
async fn the_lines_that_matter_most_tell_their_request_and_their_booking() {
    let range = Range::open().await;
    let app = &range.app;
    let (user, event) = (app.user().await, app.event_with(9).await);
    let log = || fs::read_to_string(folder().join("log/event-sources.log")).unwrap();
    let line = async |since: usize, function: &str, message: &str| -> Value {
        let wanted = format!("{function}: {message}");
        eventually(&wanted, async || {
            let log = log();
            let mut lines = log[since..]
                .lines()
                .filter_map(|line| serde_json::from_str::<Value>(line).ok());
            lines.find(|line| {
                let said = line["message"].as_str().unwrap_or_default();
                line["function"] == function && said.contains(message)
            })
        })
        .await
    };
    let assert_told = |line: &Value, booking: &str| {
        assert_eq!(line["booking_id"], booking, "{line}");
        assert_eq!(line["payment_id"], booking.replace("bk_", "pay_"), "{line}");
        assert!(
            line["request_id"].as_str().is_some_and(|id| !id.is_empty()),
            "{line}"
        );
    };
    // Charge outcome unknown, and left pending.
    let since = log().len();
    range
        .faults
        .arm_in("create-booking", "InvokeCharge", Fault::FailsBefore, 2);
    let pending = app.book(&user, &event, 1).await.text("booking_id");
    for message in ["charge outcome unknown", "left pending"] {
        assert_told(&line(since, "create-booking", message).await, &pending);
    }
    // Refund failed: in the cancel, in the sweep, and in the function that was asked.
    let booking = app.book(&user, &event, 1).await.text("booking_id");
    let since = log().len();
    range
        .faults
        .arm_in("charge-payment", "GatewayRefund", Fault::FailsBefore, 4);
    app.cancel(&user, &booking).await;
    assert_told(
        &line(since, "cancel-booking", "refund failed").await,
        &booking,
    );
    assert_told(
        &line(since, "charge-payment", "invocation failed").await,
        &booking,
    );
    assert_told(&line(since, "sweep-bookings", "job failed").await, &booking);
    // A failed request has one line of error, with its problem's id.
    let since = log().len();
    range
        .faults
        .arm_in("list-bookings", "ListBookings", Fault::FailsBefore, 2);
    let failed = app.get(&user, "/bookings").await;
    let told = line(since, "list-bookings", "request failed").await;
    assert_eq!(told["request_id"], failed.body["request_id"], "{told}");
    assert_eq!(told["user_id"], user.id, "{told}");
    range.close().await;
}

#[tokio::test]
async fn a_broker_that_is_away_keeps_no_settle_message_from_being_put_back() {
    let range = Range::open().await;
    let app = &range.app;
    let letter = format!("letter {}", Uuid::now_v7());
    enqueue(DEAD_LETTERS, &letter).await;
    local(&["stop", "rabbitmq", "--kill"]).await;
    let failed = app.invoke("redrive", &json!({"redrive": 100})).await;
    local(&["start", "rabbitmq"]).await;
    assert!(failed.is_err(), "the operator has to know: {failed:?}");
    // Put back, it is found to be poison again, with a reason now.
    eventually_within(90, "it was put back", async || {
        let letters = receive(DEAD_LETTERS).await;
        let mut letters = letters.into_iter();
        letters.find(|(body, reason)| *body == letter && reason.is_some())
    })
    .await;
    range.close().await;
}

#[tokio::test]
async fn messages_of_any_size_are_redriven_and_forgotten_in_little_memory() {
    // Few, because the local store reads each message whole; enough to tell one in memory from all.
    const LARGE: u64 = 15;
    let range = Range::open().await;
    // With all the time that there is on AWS: messages that are large take theirs.
    range.restart_with(&["ADMIT_HURRY=1".to_owned()]).await;
    let app = &range.app;
    let quarantine = app.documents.database("notification_db");
    let quarantine = quarantine.collection::<Document>("quarantine");
    let fill = async |at: bson::DateTime| {
        for _ in 0..LARGE {
            let bytes = Binary {
                subtype: BinarySubtype::Generic,
                bytes: vec![b'x'; 4 << 20],
            };
            let message = doc! {
                "_id": format!("large {}", Uuid::now_v7()), "queue": "admit.notifications", "bytes": bytes,
                "reason": "a test", "quarantined_at": at,
            };
            quarantine.insert_one(message).await.unwrap();
        }
    };
    fill(bson::DateTime::now()).await;
    // Behind the unreadable messages stands a readable one.
    let user = app.user().await;
    let readable = Binary {
        subtype: BinarySubtype::Generic,
        bytes: announcement(&user, &some_booking()),
    };
    let readable = doc! {
        "_id": "readable", "queue": "admit.notifications", "bytes": readable, "reason": "a test",
        "quarantined_at": bson::DateTime::now(),
    };
    quarantine.insert_one(readable).await.unwrap();
    let readers = ["redrive-quarantine", "forget-notifications"];
    end_functions(|name| readers.contains(&name)).await;
    let read = app
        .invoke("redrive-quarantine", &json!({"redrive": 1}))
        .await
        .unwrap();
    assert_eq!(read["stored"], 1, "{read}");
    assert!(read["quarantined"].as_u64() >= Some(LARGE), "{read}");
    let schedule = json!({"source": "aws.scheduler", "detail-type": "Scheduled Event"});
    app.invoke("forget-notifications", &schedule).await.unwrap();
    let left = quarantine
        .count_documents(doc! {"reason": "a test"})
        .await
        .unwrap();
    assert!(
        left >= LARGE,
        "nothing is forgotten before its time: {left}"
    );
    let large = doc! {"_id": {"$gte": "large", "$lt": "largf"}};
    quarantine
        .update_many(
            large.clone(),
            doc! {"$set": {"quarantined_at": bson::DateTime::from_millis(0)}},
        )
        .await
        .unwrap();
    app.invoke("forget-notifications", &schedule).await.unwrap();
    assert_eq!(quarantine.count_documents(large).await.unwrap(), 0);
    let processes = children(pid("event-sources").unwrap());
    let peaks: Vec<_> = processes
        .iter()
        .filter(|(_, name)| readers.contains(&name.as_str()))
        .filter_map(|(pid, _)| peak_mib(*pid))
        .collect();
    assert!(
        !peaks.is_empty() && peaks.iter().all(|peak| *peak < 60),
        "{peaks:?} MiB"
    );
    range.close().await;
}

#[tokio::test]
async fn connections_that_died_in_a_freeze_cost_no_request() {
    let range = Range::open().await;
    let app = &range.app;
    let (user, event) = (app.user().await, app.event_with(20).await);
    assert_eq!(app.book(&user, &event, 1).await.status, 201);
    let mut processes = children(pid("event-sources").unwrap());
    processes.retain(|(_, name)| name == "create-booking" || name == "charge-payment");
    let pids: Vec<_> = processes.iter().map(|(pid, _)| *pid).collect();
    signal("STOP", &pids).await;
    sqlx::query(
        "select pg_terminate_backend(pid) from pg_stat_activity where pid <> pg_backend_pid() and backend_type = 'client backend'",
    )
    .execute(&app.bookings)
    .await
    .unwrap();
    local(&["stop", "documents", "--kill"]).await;
    local(&["start", "documents"]).await;
    signal("CONT", &pids).await;
    let thawed = app.book(&user, &event, 1).await;
    assert_eq!(thawed.status, 201, "{thawed:?}");
    range.close().await;
}

#[tokio::test]
async fn charges_beyond_the_bound_are_made_in_their_turn() {
    let range = Range::open().await;
    range
        .restart_with(&["ADMIT_CONCURRENT_CHARGES=1".to_owned()])
        .await;
    let app = &range.app;
    let (user, event) = (app.user().await, app.event_with(4).await);
    // A slow gateway: it takes the card and does not answer.
    range
        .faults
        .arm_in("charge-payment", "GatewayEnter", Fault::Hangs, 2);
    let mut crowd: Vec<_> = (0..4)
        .map(|_| Purchase::new(&user, &event, 1, "pm_card_visa"))
        .collect();
    let answers = join_all(crowd.iter_mut().map(|purchase| purchase.ask(app))).await;
    let waiting: Vec<_> = answers
        .iter()
        .flatten()
        .filter(|answer| answer.status == 202)
        .collect();
    assert!(!waiting.is_empty(), "{answers:?}");
    for answer in waiting {
        assert_eq!(answer.body["status"], "PENDING", "{answer:?}");
        assert!(answer.header("retry-after").is_some());
    }
    // Nobody has to ask again: also who was kept waiting by the gateway was charged.
    for answer in answers.into_iter().flatten() {
        let booking = answer.text("booking_id");
        let end = eventually_within(60, "it is charged, or void", async || {
            let read = app.get(&user, &format!("/bookings/{booking}")).await;
            let status = read.text("status");
            (status != "PENDING").then_some(status)
        })
        .await;
        assert_eq!(end, "CONFIRMED", "{booking}");
    }
    range.audit(&user, &event, &crowd).await;
    range.close().await;
}

#[tokio::test]
async fn a_refund_is_tried_until_it_is_done_after_pauses_that_grow_and_alarms_see_its_age() {
    let range = Range::open().await;
    let app = &range.app;
    let (user, event) = (app.user().await, app.event_with(5).await);
    let booking = app.book(&user, &event, 1).await.text("booking_id");
    // Both tries of the cancel, and of three sweeps.
    range
        .faults
        .arm_in("charge-payment", "GatewayRefund", Fault::FailsBefore, 8);
    assert_eq!(
        app.cancel(&user, &booking).await.body["status"],
        "CANCELLED"
    );
    let put_off = async |attempts: i32| {
        eventually("the refund is put off", async || {
            let (so_far, _) = job(app, &booking, "REFUND").await.unwrap();
            (so_far >= attempts).then(Instant::now)
        })
        .await
    };
    let (first, second, third) = (put_off(1).await, put_off(2).await, put_off(3).await);
    // However old it is, it is tried.
    let id: Uuid = booking.strip_prefix("bk_").unwrap().parse().unwrap();
    sqlx::query("update job set due_at = now() - interval '40 days' where kind = 'REFUND' and key = $1::text")
        .bind(id)
        .execute(&app.bookings)
        .await
        .unwrap();
    let (short, long) = (second - first, third - second);
    assert!(
        short >= Duration::from_millis(1500),
        "tried again after {short:?}"
    );
    assert!(
        long >= Duration::from_millis(3500),
        "tried again after {long:?}"
    );
    eventually("the refund is done", async || {
        let refunded: Option<DateTime<Utc>> = column(app, &booking, "refunded_at").await;
        refunded
    })
    .await;
    let entry = app
        .gateway_entry(&booking.replace("bk_", "pay_"))
        .await
        .unwrap();
    assert_eq!(entry.get_i32("refunds").ok(), Some(1));
    let log = fs::read_to_string(folder().join("log/event-sources.log")).unwrap();
    let oldest = metrics(&log, "OldestRefundDue");
    assert!(
        oldest.into_iter().fold(0.0, f64::max) > 2.0,
        "no metric tells a refund's age"
    );
    range.close().await;
}

#[tokio::test]
async fn a_charge_whose_answer_was_lost_is_not_taken_for_one_that_was_refused() {
    let range = Range::open().await;
    range
        .restart_with(&["ADMIT_CONCURRENT_CHARGES=1".to_owned()])
        .await;
    let app = &range.app;
    let (user, event) = (app.user().await, app.event_with(40).await);
    // Every first try is carried out or refused, nobody hears which, and many second tries are refused.
    range
        .faults
        .arm_in("create-booking", "InvokeCharge", Fault::AnswerLost, 60);
    let mut crowd: Vec<_> = (0..24)
        .map(|_| Purchase::new(&user, &event, 1, "pm_card_visa"))
        .collect();
    join_all(crowd.iter_mut().map(|purchase| purchase.ask(app))).await;
    range.faults.disarm();
    range.restart_with(&[]).await;
    for purchase in &mut crowd {
        assert!(
            purchase.pursue(app, Duration::from_secs(40)).await,
            "{}",
            purchase.story()
        );
    }
    range.audit(&user, &event, &crowd).await;
    range.close().await;
}

#[tokio::test]
async fn what_the_broker_has_no_queue_for_is_not_announced_and_comes_when_it_has() {
    let range = Range::open().await;
    let app = &range.app;
    let (user, event) = (app.user().await, app.event_with(5).await);
    bind(false).await;
    let mut purchase = Purchase::new(&user, &event, 1, "pm_card_visa");
    assert!(purchase.pursue(app, Duration::from_secs(20)).await);
    bind(true).await;
    range.audit(&user, &event, &[purchase]).await;
    range.close().await;
}

#[tokio::test]
async fn while_the_document_store_is_away_the_sweep_announces_and_tells_what_waits() {
    let range = Range::open().await;
    let app = &range.app;
    let (user, event) = (app.user().await, app.event_with(9).await);
    let booking = app.book(&user, &event, 1).await.text("booking_id");
    // Fail on the connection that was kept, and on the new one that replaces it.
    range
        .faults
        .arm_in("create-booking", "BrokerPublish", Fault::FailsBefore, 2);
    let unannounced = app.book(&user, &event, 1).await.text("booking_id");
    local(&["stop", "documents", "--kill"]).await;
    assert_eq!(
        app.cancel(&user, &booking).await.body["status"],
        "CANCELLED"
    );
    eventually("it is announced", async || {
        let (_, done) = job(app, &unannounced, "ANNOUNCE").await?;
        done.then_some(())
    })
    .await;
    let since = fs::read_to_string(folder().join("log/event-sources.log"))
        .unwrap()
        .len();
    eventually("the refund's age is told", async || {
        let log = fs::read_to_string(folder().join("log/event-sources.log")).unwrap();
        let ages = metrics(&log[since..], "OldestRefundDue");
        (ages.into_iter().fold(0.0, f64::max) > 4.0).then_some(())
    })
    .await;
    local(&["start", "documents"]).await;
    range.close().await;
}

#[tokio::test]
async fn one_booking_that_can_not_be_settled_does_not_hold_up_the_others() {
    let range = Range::open().await;
    let app = &range.app;
    let (user, event) = (app.user().await, app.event_with(5).await);
    let mut stuck = Purchase::new(&user, &event, 1, "pm_admit_timeout");
    // Fail the charge, its settling from the queue, and the first two tries of the sweep.
    range.faults.arm("charge-payment", Fault::FailsBefore, 4);
    stuck.ask(app).await;
    let booking = stuck.booking().unwrap();
    eventually("it is put off", async || {
        let (attempts, _) = job(app, &booking, "SETTLE").await.unwrap();
        (attempts > 0).then_some(())
    })
    .await;
    let path = format!("/bookings/{booking}");
    app.await_status(&user, &path, "EXPIRED").await;
    range.close().await;
}

#[tokio::test]
async fn bookings_without_a_broker_are_all_announced_once_when_it_is_back() {
    let range = Range::open().await;
    let app = &range.app;
    let (user, event) = (app.user().await, app.event_with(200).await);
    local(&["stop", "rabbitmq", "--kill"]).await;
    // More than the sweep announces at once.
    let mut bookings: Vec<_> = (0..60)
        .map(|_| Purchase::new(&user, &event, 1, "pm_card_visa"))
        .collect();
    let answers = join_all(bookings.iter_mut().map(|purchase| purchase.ask(app))).await;
    assert!(
        answers.iter().flatten().all(|answer| answer.status == 201),
        "{answers:?}"
    );
    local(&["start", "rabbitmq"]).await;
    range.audit(&user, &event, &bookings).await;
    range.close().await;
}

#[tokio::test]
async fn a_poisoned_settle_message_is_put_away_with_its_reason_and_comes_back_on_demand() {
    let range = Range::open().await;
    let app = &range.app;
    let poison = format!("poison {}", Uuid::now_v7());
    enqueue("ADMIT_SETTLE_QUEUE_URL", &poison).await;
    let arrive = async || {
        // A poller that was killed may have taken it: then it comes back after 60 seconds.
        eventually_within(90, "the poison is a dead letter", async || {
            let letters = receive(DEAD_LETTERS).await;
            letters.into_iter().find(|(body, _)| *body == poison)
        })
        .await
    };
    let (_, reason) = arrive().await;
    assert!(reason.is_some_and(|reason| !reason.is_empty()));
    let moved = eventually("it is put back", async || {
        let done = app
            .invoke("redrive", &json!({"redrive": 100}))
            .await
            .unwrap();
        (done["settlements"].as_u64()? > 0).then_some(done)
    })
    .await;
    assert!(moved["announcements"].is_u64(), "{moved}");
    arrive().await;
    range.close().await;
}

#[tokio::test]
async fn a_dead_announcement_and_a_quarantined_one_are_delivered_on_demand() {
    let range = Range::open().await;
    let app = &range.app;
    let user = app.user().await;
    let (dead, quarantined) = (some_booking(), some_booking());
    publish(
        "admit.dead-letters",
        "admit.booking.confirmed",
        &[announcement(&user, &dead)],
    )
    .await;
    let quarantine = app
        .documents
        .database("notification_db")
        .collection::<Document>("quarantine");
    let unreadable = Uuid::now_v7().as_bytes().to_vec();
    for (id, bytes) in [
        ("readable", announcement(&user, &quarantined)),
        ("unreadable", unreadable),
    ] {
        let bytes = Binary {
            subtype: BinarySubtype::Generic,
            bytes,
        };
        let message = doc! {
            "_id": format!("{id} {quarantined}"), "queue": "admit.notifications", "bytes": bytes,
            "reason": "a test", "quarantined_at": bson::DateTime::now(),
        };
        quarantine.insert_one(message).await.unwrap();
    }
    let done = app
        .invoke("redrive", &json!({"redrive": 100}))
        .await
        .unwrap();
    assert!(done["announcements"].as_u64().unwrap() >= 1, "{done}");
    app.invoke("redrive-quarantine", &json!({"redrive": 100}))
        .await
        .unwrap();
    app.await_notification(&user, &dead).await;
    app.await_notification(&user, &quarantined).await;
    let left = quarantine
        .find_one(doc! {"_id": format!("readable {quarantined}")})
        .await
        .unwrap();
    assert!(left.is_none(), "what was delivered leaves the quarantine");
    let left = quarantine
        .find_one(doc! {"_id": format!("unreadable {quarantined}")})
        .await
        .unwrap();
    assert!(left.is_some(), "what can't be read stays");
    range.close().await;
}

#[tokio::test]
async fn what_is_older_than_its_retention_is_forgotten_and_nothing_else() {
    let range = Range::open().await;
    let app = &range.app;
    let (user, event) = (app.user().await, app.event_with(5).await);
    let mut purchases = Vec::new();
    for _ in 0..2 {
        let mut purchase = Purchase::new(&user, &event, 1, "pm_card_visa");
        assert!(purchase.pursue(app, Duration::from_secs(20)).await);
        app.await_notification(&user, &purchase.booking().unwrap())
            .await;
        purchases.push(purchase);
    }
    let (old, fresh) = (
        purchases[0].booking().unwrap(),
        purchases[1].booking().unwrap(),
    );
    age_key(app, &old, "8 days").await;
    eventually("the old key is forgotten", async || {
        key(app, &old).await.is_none().then_some(())
    })
    .await;
    age_key(app, &fresh, "6 days 23 hours").await;
    let log = || fs::read_to_string(folder().join("log/event-sources.log")).unwrap();
    let since = log().len();
    eventually("a sweep has come by", async || {
        log()[since..].contains(r#"\"forgotten\":"#).then_some(())
    })
    .await;
    assert!(
        key(app, &fresh).await.is_some(),
        "a key is kept for seven days"
    );

    let notifications = app
        .documents
        .database("notification_db")
        .collection::<Document>("notifications");
    let long_ago = bson::DateTime::from_millis(0);
    notifications
        .update_one(
            doc! {"booking_id": &old},
            doc! {"$set": {"created_at": long_ago}},
        )
        .await
        .unwrap();
    let nearly = shared::time::ago(Duration::from_secs(399 * 24 * 60 * 60));
    let nearly = bson::DateTime::from_millis(nearly.timestamp_millis());
    notifications
        .update_one(
            doc! {"booking_id": &fresh},
            doc! {"$set": {"created_at": nearly}},
        )
        .await
        .unwrap();
    app.invoke(
        "forget-notifications",
        &json!({"source": "aws.scheduler", "detail-type": "Scheduled Event"}),
    )
    .await
    .unwrap();
    let count = async |booking: &str| {
        notifications
            .count_documents(doc! {"booking_id": booking})
            .await
            .unwrap()
    };
    assert_eq!((count(&old).await, count(&fresh).await), (0, 1));
    range.close().await;
}

#[tokio::test]
async fn the_databases_end_what_takes_too_long() {
    let app = TestApp::start().await;
    for name in [
        "statement_timeout",
        "lock_timeout",
        "idle_in_transaction_session_timeout",
    ] {
        for database in ["booking_db", "users_db"] {
            let owner = secrets::account("database-owner").await;
            let login = secrets::database(&owner, database);
            let pool = sqlx::PgPool::connect_with(login).await.unwrap();
            let limit: String = sqlx::query_scalar("select current_setting($1)")
                .bind(name)
                .fetch_one(&pool)
                .await
                .unwrap();
            let wanted = match name {
                "statement_timeout" => "5s",
                "lock_timeout" => "3s",
                // Behind a pooler a process may die between a statement and its COMMIT.
                _ => "1s",
            };
            assert_eq!(limit, wanted, "{name} of {database}");
        }
    }
    drop(app);
}

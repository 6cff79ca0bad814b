//! Bookings: the path that must never be wrong.

use futures_util::future::join_all;
use serde_json::json;
use sqlx::Row;
use tests::queues::flush;
use tests::{TestApp, User, eventually};
use uuid::Uuid;

#[tokio::test]
async fn a_booking_is_confirmed_charged_once_and_notified() {
    let app = TestApp::start().await;
    let (user, event) = (app.user().await, app.event_with(5).await);
    let booking = app.book(&user, &event, 2).await;
    assert_eq!(booking.status, 201, "{booking:?}");
    assert_eq!(booking.body["status"], "CONFIRMED");
    assert_eq!(booking.body["amount"], 100.0);
    assert_eq!(booking.body["currency"], "USD");
    assert_eq!(app.available(&event).await, 3);
    let payment = app
        .get(&user, &format!("/payments/{}", booking.text("payment_id")))
        .await;
    assert_eq!(payment.body["status"], "SUCCESS");
    assert_eq!(payment.body["amount"], 100.0);
    let shown = app
        .get(&user, &format!("/bookings/{}", booking.text("booking_id")))
        .await;
    assert_eq!(shown.body, booking.body);
    let notification = app
        .await_notification(&user, &booking.text("booking_id"))
        .await;
    assert!(
        notification["message"]
            .as_str()
            .unwrap()
            .contains("2 tickets")
    );
}

#[tokio::test]
async fn two_hundred_parallel_bookings_for_fifty_tickets_give_exactly_fifty() {
    let app = TestApp::start().await;
    let (user, event) = (app.user().await, app.event_with(50).await);
    let answers = join_all((0..200).map(|_| app.book(&user, &event, 1))).await;
    let count = |status| {
        answers
            .iter()
            .filter(|answer| answer.status == status)
            .count()
    };
    assert_eq!((count(201), count(409)), (50, 150));
    assert!(
        answers
            .iter()
            .filter(|answer| answer.status == 409)
            .all(|answer| answer.problem() == "sold-out")
    );
    assert_eq!(app.available(&event).await, 0);
    let taken = sqlx::query_scalar::<_, i64>(
        "select sum(tickets) from booking where event_id = $1 and status = 'CONFIRMED'",
    );
    assert_eq!(
        taken.bind(&event).fetch_one(&app.bookings).await.unwrap(),
        50
    );
}

#[tokio::test]
async fn the_last_tickets_are_not_split() {
    let app = TestApp::start().await;
    let (user, event) = (app.user().await, app.event_with(3).await);
    let refused = app.book(&user, &event, 4).await;
    assert_eq!((refused.status, refused.problem()), (409, "sold-out"));
    let detail = refused.text("detail");
    assert!(
        !detail.contains(|c: char| c.is_ascii_digit()),
        "{detail} may not be true any more"
    );
    assert_eq!(app.available(&event).await, 3);
    assert_eq!(app.book(&user, &event, 3).await.status, 201);
    assert_eq!(app.book(&user, &event, 1).await.problem(), "sold-out");
}

#[tokio::test]
async fn a_declined_payment_gives_the_tickets_back() {
    let app = TestApp::start().await;
    let (user, event) = (app.user().await, app.event_with(5).await);
    let declined = app
        .book_with(&user, &event, 2, "pm_card_visa_chargeDeclined")
        .await;
    assert_eq!(
        (declined.status, declined.problem()),
        (402, "payment-declined")
    );
    assert_eq!(app.available(&event).await, 5);
    let page = app.get(&user, "/bookings").await;
    assert_eq!(page.body["items"][0]["status"], "REJECTED");
    let payment = app
        .get(
            &user,
            &format!(
                "/payments/{}",
                page.body["items"][0]["payment_id"].as_str().unwrap()
            ),
        )
        .await;
    assert_eq!(payment.body["status"], "DECLINED");
    flush(&app).await;
    let notifications = app.get(&user, "/notifications").await;
    assert_eq!(
        notifications.body["items"],
        json!([]),
        "nothing to tell of it"
    );
}

#[tokio::test]
async fn a_payment_whose_answer_is_lost_is_pending_then_settled_and_notified() {
    let app = TestApp::start().await;
    let (user, event) = (app.user().await, app.event_with(5).await);
    let pending = app.book_with(&user, &event, 2, "pm_admit_timeout").await;
    assert_eq!(pending.status, 202, "{pending:?}");
    assert_eq!(pending.body["status"], "PENDING");
    assert_eq!(pending.body["payment_id"], json!(null));
    assert!(pending.header("retry-after").is_some());
    let location = pending.header("location").unwrap().to_owned();
    assert_eq!(
        app.available(&event).await,
        3,
        "a pending booking holds its tickets"
    );
    let settled = app.await_status(&user, &location, "CONFIRMED").await;
    let entry = app
        .gateway_entry(&settled.text("payment_id"))
        .await
        .unwrap();
    assert_eq!(entry.get_str("verdict").unwrap(), "CHARGED");
    app.await_notification(&user, &pending.text("booking_id"))
        .await;
    assert_eq!(app.available(&event).await, 3);
}

#[tokio::test]
async fn a_pending_booking_can_not_be_cancelled_yet() {
    let app = TestApp::start().await;
    let (user, event) = (app.user().await, app.event_with(5).await);
    // Nobody settles it before it is as old as the sweep wants.
    let booking = leave_pending(&app, &user, &event, "0 seconds").await;
    let refused = app.cancel(&user, &format!("bk_{}", booking.simple())).await;
    assert_eq!(
        (refused.status, refused.problem()),
        (409, "not-cancellable")
    );
    assert!(refused.header("retry-after").is_some());
}

/// Inserts a booking of two tickets that is `age` old, as `create-booking` leaves it when it dies between
/// reserving and charging.
async fn leave_pending(app: &TestApp, user: &User, event: &str, age: &str) -> Uuid {
    let booking = Uuid::now_v7();
    sqlx::query(
        "with taken as (
             update stock set free = free - 2
              where quota_id = (select quota_id from quota where event_id = $3) and shard = 0
             returning quota_id
         ),
         made as (
             insert into booking (booking_id, user_id, event_id, tickets, amount_minor, currency, status, took_quota,
                                  took_units, created_at)
             select $1, $2, $3, 2, 10000, 'USD', 'PENDING', array[quota_id], array[2], now() - $4::interval from taken
             returning *
         )
         insert into job (kind, key, due_at, next_attempt_at)
         select 'SETTLE', booking_id::text, created_at + interval '1 minute', created_at + interval '1 minute' from made",
    )
    .bind(booking)
    .bind(user.id)
    .bind(event)
    .bind(age)
    .execute(&app.bookings)
    .await
    .unwrap();
    booking
}

#[tokio::test]
async fn a_booking_whose_charge_never_came_expires_and_can_not_be_charged_later() {
    let app = TestApp::start().await;
    let (user, event) = (app.user().await, app.event_with(5).await);
    let confirmed = app.book(&user, &event, 1).await;
    let booking = leave_pending(&app, &user, &event, "1 hour").await;
    app.await_status(
        &user,
        &format!("/bookings/bk_{}", booking.simple()),
        "EXPIRED",
    )
    .await;
    assert_eq!(app.available(&event).await, 4);
    let late = json!({"action": "charge", "payment_method": "pm_card_visa", "charge": {
        "payment_id": format!("pay_{}", booking.simple()), "booking_id": format!("bk_{}", booking.simple()),
        "user_id": user.id, "amount_minor": 10_000, "currency": "USD"}});
    assert_eq!(
        app.invoke("charge-payment", &late).await.unwrap()["status"],
        "VOIDED"
    );
    let entry = app
        .gateway_entry(&format!("pay_{}", booking.simple()))
        .await;
    assert_eq!(entry.unwrap().get_str("verdict").unwrap(), "CANCELLED");
    assert_eq!(
        app.get(
            &user,
            &format!("/bookings/{}", confirmed.text("booking_id"))
        )
        .await
        .body["status"],
        "CONFIRMED"
    );
}

#[tokio::test]
async fn a_cancelled_booking_gives_tickets_and_money_back_once() {
    let app = TestApp::start().await;
    let (user, event) = (app.user().await, app.event_with(5).await);
    let booking = app.book(&user, &event, 2).await;
    let id = booking.text("booking_id");
    let answers = join_all((0..8).map(|_| app.cancel(&user, &id))).await;
    for answer in &answers {
        assert_eq!(
            (answer.status, &answer.body["status"]),
            (200, &json!("CANCELLED")),
            "{answer:?}"
        );
        assert_eq!(answer.body, answers[0].body);
    }
    assert_eq!(app.available(&event).await, 5);
    app.await_status(
        &user,
        &format!("/payments/{}", booking.text("payment_id")),
        "REFUNDED",
    )
    .await;
    let again = app.cancel(&user, &id).await;
    assert_eq!((again.status, again.body), (200, answers[0].body.clone()));
    assert_eq!(app.available(&event).await, 5);
}

#[tokio::test]
async fn only_a_confirmed_booking_of_an_event_to_come_can_be_cancelled() {
    let app = TestApp::start().await;
    let (user, event) = (app.user().await, app.event_with(5).await);
    app.book_with(&user, &event, 1, "pm_card_visa_chargeDeclined")
        .await;
    let rejected = app.get(&user, "/bookings").await.body["items"][0]["booking_id"]
        .as_str()
        .unwrap()
        .to_owned();
    assert_eq!(
        app.cancel(&user, &rejected).await.problem(),
        "not-cancellable"
    );
    let booking = app.book(&user, &event, 1).await.text("booking_id");
    begin(&app, &event).await;
    assert_eq!(
        app.cancel(&user, &booking).await.problem(),
        "not-cancellable"
    );
    assert_eq!(app.book(&user, &event, 1).await.problem(), "sales-closed");
}

/// Lets an event begin.
async fn begin(app: &TestApp, event: &str) {
    sqlx::query("update event set starts_at = now() - interval '1 minute' where event_id = $1")
        .bind(event)
        .execute(&app.bookings)
        .await
        .unwrap();
}

#[tokio::test]
async fn a_free_booking_is_confirmed_without_a_charge() {
    let app = TestApp::start().await;
    let user = app.user().await;
    let event = app
        .event(json!({"price": 0, "capacity": 5}))
        .await
        .text("event_id");
    let booking = app
        .book_with(&user, &event, 2, "pm_card_visa_chargeDeclined")
        .await;
    assert_eq!(booking.status, 201, "{booking:?}");
    assert_eq!(booking.body["payment_id"], json!(null));
    assert_eq!(booking.body["amount"], 0.0);
    let id = booking.text("booking_id");
    app.await_notification(&user, &id).await;
    assert_eq!(app.cancel(&user, &id).await.body["status"], "CANCELLED");
    assert_eq!(app.available(&event).await, 5);
}

#[tokio::test]
async fn a_repeat_with_the_same_key_is_answered_as_the_first_was() {
    let app = TestApp::start().await;
    let (user, event) = (app.user().await, app.event_with(5).await);
    let body = json!({"user_id": user.id, "event_id": event, "tickets": 2});
    let first = app
        .post_with_key(&user, "/bookings", "order 1", &body)
        .await;
    assert_eq!(
        (first.status, first.header("idempotent-replayed")),
        (201, None)
    );
    let again = app
        .post_with_key(&user, "/bookings", "order 1", &body)
        .await;
    assert_eq!(
        (again.status, again.header("idempotent-replayed")),
        (201, Some("true"))
    );
    assert_eq!(again.body, first.body);
    assert_eq!(app.available(&event).await, 3);
    let other = json!({"user_id": user.id, "event_id": event, "tickets": 1});
    let reused = app
        .post_with_key(&user, "/bookings", "order 1", &other)
        .await;
    assert_eq!(
        (reused.status, reused.problem()),
        (422, "idempotency-key-reused")
    );
    app.cancel(&user, &first.text("booking_id")).await;
    let after = app
        .post_with_key(&user, "/bookings", "order 1", &body)
        .await;
    assert_eq!(
        after.body, first.body,
        "a cancel changes nothing about what the request was answered"
    );
    // Another person's key is another key.
    let stranger = app.user().await;
    let body = json!({"user_id": stranger.id, "event_id": event, "tickets": 2});
    let theirs = app
        .post_with_key(&stranger, "/bookings", "order 1", &body)
        .await;
    assert_eq!(
        (theirs.status, theirs.header("idempotent-replayed")),
        (201, None),
        "{theirs:?}"
    );
}

#[tokio::test]
async fn racing_repeats_of_one_request_make_one_booking() {
    let app = TestApp::start().await;
    let (user, event) = (app.user().await, app.event_with(50).await);
    let body = json!({"user_id": user.id, "event_id": event, "tickets": 1});
    for round in 0..10 {
        let key = format!("race {round}");
        let answers =
            join_all((0..20).map(|_| app.post_with_key(&user, "/bookings", &key, &body))).await;
        for answer in &answers {
            match answer.status {
                201 => {}
                409 => {
                    assert_eq!(answer.problem(), "request-in-progress");
                    assert!(answer.header("retry-after").is_some());
                }
                _ => panic!("{answer:?}"),
            }
        }
    }
    assert_eq!(app.available(&event).await, 40);
}

#[tokio::test]
async fn a_declined_request_is_replayed_and_a_pending_one_tells_what_became_of_it() {
    let app = TestApp::start().await;
    let (user, event) = (app.user().await, app.event_with(5).await);
    let with = |method: &str| json!({"user_id": user.id, "event_id": event, "tickets": 1, "payment_method": method});
    let declined = with("pm_card_visa_chargeDeclined");
    assert_eq!(
        app.post_with_key(&user, "/bookings", "d", &declined)
            .await
            .status,
        402
    );
    let again = app.post_with_key(&user, "/bookings", "d", &declined).await;
    assert_eq!(
        (again.status, again.header("idempotent-replayed")),
        (402, Some("true"))
    );
    let lost = with("pm_admit_timeout");
    let first = app.post_with_key(&user, "/bookings", "p", &lost).await;
    assert_eq!(first.status, 202);
    let at_once = app.post_with_key(&user, "/bookings", "p", &lost).await;
    assert!([201, 202].contains(&at_once.status), "{at_once:?}");
    assert_eq!(at_once.header("idempotent-replayed"), Some("true"));
    app.await_status(
        &user,
        &format!("/bookings/{}", first.text("booking_id")),
        "CONFIRMED",
    )
    .await;
    let again = app.post_with_key(&user, "/bookings", "p", &lost).await;
    assert_eq!(
        (again.status, again.body["status"].as_str()),
        (201, Some("CONFIRMED"))
    );
    assert_eq!(again.body["booking_id"], first.body["booking_id"]);
}

#[tokio::test]
async fn a_request_that_is_written_anew_is_the_same_and_so_is_its_key_in_quotes() {
    let app = TestApp::start().await;
    let (user, event) = (app.user().await, app.event_with(5).await);
    let send = async |key: &str, body: String| {
        let request = app.request("POST", "/bookings").bearer_auth(&user.token);
        let request = request.header("content-type", "application/json");
        app.send(request.header("idempotency-key", key).body(body))
            .await
    };
    let id = user.id;
    let first = send(
        "k",
        format!(r#"{{"user_id":{id},"event_id":"{event}","tickets":2}}"#),
    )
    .await;
    assert_eq!(first.status, 201, "{first:?}");
    let escaped = event.replace('v', "\\u0076");
    for (key, body) in [
        (
            "k",
            format!(r#" {{ "tickets" : 2.0, "event_id": "{event}", "user_id": {id} }} "#),
        ),
        (
            "\"k\"",
            format!(r#"{{"user_id":{id},"event_id":"{escaped}","tickets":2e0}}"#),
        ),
    ] {
        let again = send(key, body.clone()).await;
        assert_eq!(
            (again.status, again.header("idempotent-replayed")),
            (201, Some("true")),
            "{body}"
        );
        assert_eq!(again.body, first.body);
    }
    let other = format!(
        r#"{{"user_id":{id},"event_id":"{event}","tickets":2,"payment_method":"pm_card_visa"}}"#
    );
    assert_eq!(send("k", other).await.problem(), "idempotency-key-reused");
    assert_eq!(app.available(&event).await, 3);
}

#[tokio::test]
async fn keys_that_differ_behind_their_first_characters_are_two() {
    let app = TestApp::start().await;
    let (user, event) = (app.user().await, app.event_with(5).await);
    let body = json!({"user_id": user.id, "event_id": event, "tickets": 1});
    let mut bookings = Vec::new();
    for last in ["a", "b"] {
        let key = "k".repeat(254) + last;
        let booked = app.post_with_key(&user, "/bookings", &key, &body).await;
        assert_eq!(
            (booked.status, booked.header("idempotent-replayed")),
            (201, None)
        );
        bookings.push(booked.text("booking_id"));
    }
    assert_ne!(bookings[0], bookings[1]);
    let another = app.event_with(5).await;
    let elsewhere = json!({"user_id": user.id, "event_id": another, "tickets": 1});
    let reused = app
        .post_with_key(&user, "/bookings", &("k".repeat(254) + "a"), &elsewhere)
        .await;
    assert_eq!(reused.problem(), "idempotency-key-reused");
}

#[tokio::test]
async fn a_booking_in_yen_is_charged_in_yen() {
    let app = TestApp::start().await;
    let user = app.user().await;
    let event = app.event(json!({"price": 1500, "currency": "JPY"})).await;
    let booking = app.book(&user, &event.text("event_id"), 2).await;
    assert_eq!(
        (booking.body["amount"].as_f64(), booking.text("currency")),
        (Some(3000.0), "JPY".to_owned())
    );
    let payment = app
        .get(&user, &format!("/payments/{}", booking.text("payment_id")))
        .await;
    assert_eq!(
        (payment.body["amount"].as_f64(), payment.text("currency")),
        (Some(3000.0), "JPY".to_owned())
    );
    let entry = app
        .gateway_entry(&booking.text("payment_id"))
        .await
        .unwrap();
    assert_eq!(
        (
            entry.get_i64("amount_minor").unwrap(),
            entry.get_str("currency").unwrap()
        ),
        (3000, "JPY")
    );
}

#[tokio::test]
async fn a_request_that_the_settling_has_confirmed_is_answered_so_for_good() {
    let app = TestApp::start().await;
    let (user, event) = (app.user().await, app.event_with(5).await);
    let body = json!({"user_id": user.id, "event_id": event, "tickets": 1, "payment_method": "pm_admit_timeout"});
    let pending = app.post_with_key(&user, "/bookings", "s", &body).await;
    assert_eq!(pending.status, 202, "{pending:?}");
    app.await_status(&user, pending.header("location").unwrap(), "CONFIRMED")
        .await;
    assert_eq!(
        app.cancel(&user, &pending.text("booking_id")).await.status,
        200
    );
    for _ in 0..2 {
        let again = app.post_with_key(&user, "/bookings", "s", &body).await;
        assert_eq!(
            (again.status, again.text("status")),
            (201, "CONFIRMED".to_owned())
        );
    }
    let shown = app.get(&user, pending.header("location").unwrap()).await;
    assert_eq!(shown.body["status"], "CANCELLED");
}

/// How many statements wait for a lock in the database of bookings.
async fn waiting(app: &TestApp) -> i64 {
    let waiting = sqlx::query_scalar(
        "select count(*) from pg_stat_activity where datname = 'booking_db' and wait_event_type = 'Lock'",
    );
    waiting.fetch_one(&app.bookings).await.unwrap()
}

async fn deadlocks(app: &TestApp) -> i64 {
    let deadlocks = sqlx::query_scalar(
        "select pg_stat_get_db_deadlocks(oid) from pg_database where datname = 'booking_db'",
    );
    deadlocks.fetch_one(&app.bookings).await.unwrap()
}

/// A transaction that has locked an event's rows, and may be idle for as long as it takes.
async fn holding(
    app: &TestApp,
    lock: &'static str,
    event: &str,
) -> sqlx::Transaction<'static, sqlx::Postgres> {
    let mut holder = app.bookings.begin().await.unwrap();
    sqlx::query("set local idle_in_transaction_session_timeout = 0")
        .execute(&mut *holder)
        .await
        .unwrap();
    sqlx::query(lock)
        .bind(event)
        .execute(&mut *holder)
        .await
        .unwrap();
    holder
}

/// Arranges the queue of an on-sale by hand: a request that will be declined, then somebody else, then the
/// request's twin. To give its ticket back, the declined request queues again, now behind its own twin. The twin
/// has the event's stock and finds the key taken. So neither may hold what the other wants next.
#[tokio::test]
async fn a_decline_that_waits_behind_its_own_twin_for_a_hot_event_holds_nothing_that_the_twin_wants()
 {
    let app = TestApp::start().await;
    let (user, event) = (app.user().await, app.event_with(5).await);
    let lock = "select from stock where quota_id = (select quota_id from quota where event_id = $1) for no key update";
    // Functions that are started, so that both requests are in the queue as soon as they are sent.
    join_all((0..4).map(|_| app.book_with(&user, &event, 1, "pm_card_visa_chargeDeclined"))).await;
    let before = deadlocks(&app).await;
    let mut arranged = 0;
    for round in 0..10 {
        let body = json!({"user_id": user.id, "event_id": event, "tickets": 1, "payment_method": "pm_card_visa_chargeDeclined"});
        let key = format!("twins {round}");
        let first = holding(&app, lock, &event).await;
        let in_line = async |others: i64| {
            eventually("it waits for the event's stock", async || {
                (waiting(&app).await >= others).then_some(())
            })
            .await;
        };
        let base = waiting(&app).await;
        let request = app.post_with_key(&user, "/bookings", &key, &body);
        let others = async {
            in_line(base + 1).await;
            let somebody = async {
                let somebody = holding(&app, lock, &event).await;
                // The declined request gives its ticket back: it is in the line again, behind its twin.
                let queued = async { in_line(base + 2).await };
                let queued =
                    tokio::time::timeout(std::time::Duration::from_millis(1500), queued).await;
                somebody.commit().await.unwrap();
                queued.is_ok()
            };
            let twin = async {
                in_line(base + 2).await;
                let twin = app.post_with_key(&user, "/bookings", &key, &body);
                let release = async {
                    in_line(base + 3).await;
                    first.commit().await.unwrap();
                };
                tokio::join!(twin, release).0
            };
            tokio::join!(somebody, twin)
        };
        let (declined, (queued, twin)) = tokio::join!(request, others);
        arranged += i32::from(queued);
        assert_eq!(declined.status, 402, "{declined:?}");
        assert!(
            twin.status == 402 || twin.problem() == "request-in-progress",
            "{twin:?}"
        );
        if arranged >= 2 {
            break;
        }
    }
    assert!(arranged >= 1, "the queue never came about");
    assert_eq!(
        deadlocks(&app).await,
        before,
        "a statement was a deadlock's victim"
    );
    assert_eq!(app.available(&event).await, 5);
    let left =
        sqlx::query("select count(*) from booking where event_id = $1 and status = 'PENDING'");
    let left: i64 = left
        .bind(&event)
        .fetch_one(&app.bookings)
        .await
        .unwrap()
        .get(0);
    assert_eq!(left, 0);
}

#[tokio::test]
async fn a_sold_out_request_is_tried_again_by_its_repeat() {
    let app = TestApp::start().await;
    let (user, event) = (app.user().await, app.event_with(1).await);
    let holder = app.book(&user, &event, 1).await.text("booking_id");
    let body = json!({"user_id": user.id, "event_id": event, "tickets": 1});
    assert_eq!(
        app.post_with_key(&user, "/bookings", "k", &body)
            .await
            .problem(),
        "sold-out"
    );
    app.cancel(&user, &holder).await;
    assert_eq!(
        app.post_with_key(&user, "/bookings", "k", &body)
            .await
            .status,
        201
    );
}

#[tokio::test]
async fn a_booking_is_its_owners_only() {
    let app = TestApp::start().await;
    let (user, stranger, event) = (app.user().await, app.user().await, app.event_with(5).await);
    let booking = app.book(&user, &event, 1).await;
    let path = format!("/bookings/{}", booking.text("booking_id"));
    assert_eq!(app.get(&stranger, &path).await.problem(), "not-found");
    assert_eq!(
        app.cancel(&stranger, &booking.text("booking_id"))
            .await
            .problem(),
        "not-found"
    );
    assert_eq!(
        app.get(&stranger, "/bookings").await.body["items"],
        json!([])
    );
    let for_another = json!({"user_id": user.id, "event_id": event, "tickets": 1});
    assert_eq!(
        app.post(&stranger, "/bookings", for_another)
            .await
            .problem(),
        "forbidden"
    );
    assert_eq!(
        app.book(&user, "no-such-event", 1).await.problem(),
        "not-found"
    );
}

#[tokio::test]
async fn bookings_are_listed_newest_first_in_pages_without_gaps() {
    let app = TestApp::start().await;
    let (user, event) = (app.user().await, app.event_with(50).await);
    let mut made = Vec::new();
    for _ in 0..5 {
        made.push(app.book(&user, &event, 1).await.text("booking_id"));
    }
    made.reverse();
    list_in_pages(&app, &user, &made).await;
    // All of one moment: then their ids tell their order.
    sqlx::query("update booking set created_at = date_trunc('second', now()) where user_id = $1")
        .bind(user.id)
        .execute(&app.bookings)
        .await
        .unwrap();
    made.sort();
    made.reverse();
    list_in_pages(&app, &user, &made).await;
}

async fn list_in_pages(app: &TestApp, user: &User, made: &[String]) {
    let mut listed = Vec::new();
    let mut path = "/bookings?limit=2".to_owned();
    loop {
        let page = app.get(user, &path).await;
        for item in page.body["items"].as_array().unwrap() {
            listed.push(item["booking_id"].as_str().unwrap().to_owned());
        }
        match page.body["next_cursor"].as_str() {
            Some(cursor) => path = format!("/bookings?limit=2&cursor={cursor}"),
            None => break,
        }
    }
    assert_eq!(listed, made);
}

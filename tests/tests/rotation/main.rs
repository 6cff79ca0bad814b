//! Passwords that change while everybody books: no request fails. One test file of its own, as it is the
//! whole stack whose passwords change.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use futures_util::future::join_all;
use serde_json::json;
use shared::broker::connect;
use tests::secrets::{ROTATED, account, change, database, documents, manage, rotation, text};
use tests::stack::end_functions;
use tests::{TestApp, User, eventually};
use tokio::sync::Mutex;
use uuid::Uuid;

/// One at a time: all change the passwords of one stack.
static ALONE: Mutex<()> = Mutex::const_new(());

/// Does everything that a person can do, each once; none of it may fail.
async fn do_everything(app: &TestApp, user: &User, event: &str) {
    // Registers, logs in, and makes an event, and changes it.
    let organizer = app.user().await;
    let made = app
        .post(&organizer, "/events", TestApp::event_body(json!({})))
        .await;
    let own = format!("/events/{}", made.text("event_id"));
    let change = app.request("PATCH", &own).bearer_auth(&organizer.token);
    let changed = app.send(change.json(&json!({"capacity": 50}))).await;
    assert_eq!(changed.status, 200, "{changed:?}");
    let hold =
        json!({"user_id": user.id, "event_id": made.text("event_id"), "tickets": 1, "hold": true});
    let held = app.post(user, "/bookings", hold).await;
    let path = format!("/bookings/{}/pay", held.text("booking_id"));
    let paid = app.post(user, &path, json!({})).await;
    assert_eq!(paid.status, 200, "{paid:?}");
    let listed = app.send(app.request("GET", "/events?limit=1")).await;
    assert_eq!(listed.status, 200, "{listed:?}");
    let booked = app.book(user, event, 1).await;
    assert_eq!(booked.status, 201, "{booked:?}");
    let booking = booked.text("booking_id");
    for path in ["/bookings?limit=1", &format!("/bookings/{booking}")] {
        let read = app.get(user, path).await;
        assert_eq!(read.status, 200, "{read:?}");
    }
    let cancelled = app.cancel(user, &booking).await;
    assert_eq!(cancelled.status, 200, "{cancelled:?}");
    let paid = app
        .post(user, "/payments", json!({"user_id": user.id, "amount": 5}))
        .await;
    assert_eq!(paid.status, 201, "{paid:?}");
    let path = format!("/payments/{}", paid.text("payment_id"));
    let read = app.get(user, &path).await;
    assert_eq!(read.status, 200, "{read:?}");
    let notified = app.get(user, "/notifications?limit=1").await;
    assert_eq!(notified.status, 200, "{notified:?}");
}

async fn step(app: &TestApp, event: &serde_json::Value) {
    let done = app.invoke("rotate-secret", event).await;
    assert!(done.is_ok(), "{event}: {done:?}");
}

#[tokio::test]
async fn every_password_changes_under_load_and_no_request_fails() {
    let _alone = ALONE.lock().await;
    let app = TestApp::start().await;
    let (user, event) = (app.user().await, app.event_with(100_000).await);
    let (over, rounds) = (AtomicBool::new(false), AtomicUsize::new(0));
    let customers = (0..4).map(|_| async {
        while !over.load(Ordering::Relaxed) {
            do_everything(&app, &user, &event).await;
            rounds.fetch_add(1, Ordering::Relaxed);
        }
    });
    let rotations = async {
        for name in ROTATED {
            let (before, seen) = (text(name).await, rounds.load(Ordering::Relaxed));
            for event in rotation(name) {
                step(&app, &event).await;
            }
            assert_ne!(text(name).await, before, "{name} has a new password");
            eventually("the customers went on", async || {
                (rounds.load(Ordering::Relaxed) > seen + 1).then_some(())
            })
            .await;
        }
        over.store(true, Ordering::Relaxed);
    };
    tokio::join!(join_all(customers), rotations);
    println!(
        "{} passwords changed, {} rounds",
        ROTATED.len(),
        rounds.into_inner()
    );
}

#[tokio::test]
async fn who_logs_in_anew_between_two_steps_is_let_in() {
    let _alone = ALONE.lock().await;
    let app = TestApp::start().await;
    let (user, event) = (app.user().await, app.event_with(100_000).await);
    for name in ROTATED {
        for event_of_step in rotation(name) {
            // Take each step twice, as Secrets Manager may repeat it.
            step(&app, &event_of_step).await;
            step(&app, &event_of_step).await;
            end_functions(|_| true).await;
            do_everything(&app, &user, &event).await;
        }
    }
}

#[tokio::test]
async fn an_old_password_lets_nobody_in() {
    let _alone = ALONE.lock().await;
    let app = TestApp::start().await;
    let (reader, payments) = (account("reader").await, account("payments").await);
    let publisher = account("broker").await;
    for name in ["reader", "payments", "broker"] {
        for event in rotation(name) {
            step(&app, &event).await;
        }
    }
    let login = database(&reader, "booking_db");
    assert!(sqlx::PgPool::connect_with(login).await.is_err());
    let client = documents(&payments).await;
    let command = mongodb::bson::doc! {"ping": 1};
    assert!(
        client
            .database("payment_db")
            .run_command(command)
            .await
            .is_err()
    );
    assert!(connect(publisher).await.is_err());
}

#[tokio::test]
async fn a_deploy_lets_in_whomever_a_store_has_lost() {
    let _alone = ALONE.lock().await;
    let app = TestApp::start().await;
    let (user, event) = (app.user().await, app.event_with(100_000).await);
    let migrate = async || app.invoke("migrate", &json!({})).await.unwrap();
    let owner = account("broker-owner").await;
    for lost in ["permissions/%2F/admit", "users/admit"] {
        assert_eq!(manage(&owner, "DELETE", lost).await, 204);
        migrate().await;
        connect(account("broker").await).await.unwrap();
    }
    // Stores that were replaced: there is another password for another host, and the old ones still let in.
    for name in ["reader", "payments", "broker"] {
        let password = Uuid::now_v7().simple().to_string();
        change(name, json!({"host": "localhost", "password": password})).await;
    }
    migrate().await;
    let reader = database(&account("reader").await, "booking_db");
    sqlx::PgPool::connect_with(reader).await.unwrap();
    let payments = documents(&account("payments").await).await;
    let ping = mongodb::bson::doc! {"ping": 1};
    payments
        .database("payment_db")
        .run_command(ping)
        .await
        .unwrap();
    connect(account("broker").await).await.unwrap();
    do_everything(&app, &user, &event).await;
}

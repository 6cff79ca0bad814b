//! Holds: tickets that are kept for a while, and paid by one card or another.

use futures_util::future::join_all;
use serde_json::{Value, json};
use tests::browser::Browser;
use tests::{Answer, TestApp, User, eventually};

async fn hold(app: &TestApp, user: &User, event: &str, tickets: i64) -> Answer {
    let body = json!({"user_id": user.id, "event_id": event, "tickets": tickets, "hold": true});
    app.post(user, "/bookings", body).await
}

async fn pay(app: &TestApp, user: &User, booking: &str, method: &str) -> Answer {
    let body = json!({"payment_method": method});
    app.post(user, &format!("/bookings/{booking}/pay"), body)
        .await
}

async fn release(app: &TestApp, user: &User, booking: &str) -> Answer {
    let request = app.request("POST", &format!("/bookings/{booking}/release"));
    app.send(request.bearer_auth(&user.token)).await
}

/// How often a booking was charged.
async fn charges(app: &TestApp, booking: &Answer) -> usize {
    let entry = app
        .gateway_entry(&booking.text("booking_id").replace("bk_", "pay_"))
        .await;
    entry
        .iter()
        .filter(|entry| entry.get_str("verdict").unwrap() == "CHARGED")
        .count()
}

#[tokio::test]
async fn a_hold_keeps_tickets_without_a_charge_and_is_paid_once() {
    let app = TestApp::start().await;
    let (user, event) = (app.user().await, app.event_with(5).await);
    let held = hold(&app, &user, &event, 2).await;
    assert_eq!((held.status, &held.body["status"]), (201, &json!("HELD")));
    assert!(held.body["hold_until"].is_string() && held.body["payment_id"].is_null());
    assert_eq!(app.available(&event).await, 3);
    assert_eq!(charges(&app, &held).await, 0);
    let booking = held.text("booking_id");
    let not_cancelled = app.cancel(&user, &booking).await;
    assert_eq!(not_cancelled.problem(), "not-cancellable");
    let stranger = app.user().await;
    assert_eq!(
        pay(&app, &stranger, &booking, "pm_card_visa").await.status,
        404
    );
    assert_eq!(release(&app, &stranger, &booking).await.status, 404);
    let paid = join_all((0..4).map(|_| pay(&app, &user, &booking, "pm_card_visa"))).await;
    for answer in &paid {
        match answer.status {
            200 => assert_eq!(answer.body["status"], "CONFIRMED"),
            _ => assert_eq!(
                (answer.status, answer.problem()),
                (409, "payment-in-progress")
            ),
        }
    }
    assert!(paid.iter().any(|answer| answer.status == 200));
    let again = pay(&app, &user, &booking, "pm_card_visa_chargeDeclined").await;
    assert_eq!(
        (again.status, &again.body["status"]),
        (200, &json!("CONFIRMED"))
    );
    assert_eq!(charges(&app, &held).await, 1);
    app.await_notification(&user, &booking).await;
    let late = release(&app, &user, &booking).await;
    assert_eq!((late.status, late.problem()), (409, "not-held"));
    assert_eq!(app.cancel(&user, &booking).await.status, 200);
    assert_eq!(app.available(&event).await, 5);
}

#[tokio::test]
async fn a_declined_card_leaves_the_hold_and_another_may_follow() {
    let app = TestApp::start().await;
    let (user, event) = (app.user().await, app.event_with(5).await);
    let held = hold(&app, &user, &event, 1).await;
    let booking = held.text("booking_id");
    for _ in 0..2 {
        let declined = pay(&app, &user, &booking, "pm_card_visa_chargeDeclined").await;
        assert_eq!(
            (declined.status, declined.problem()),
            (402, "payment-declined")
        );
        assert!(declined.body["hold_until"].is_string(), "{declined:?}");
    }
    let shown = app.get(&user, &format!("/bookings/{booking}")).await;
    assert_eq!(shown.body["status"], "PENDING");
    assert_eq!(app.available(&event).await, 4);
    let path = format!("/bookings/{booking}/pay");
    for (card, key, replayed, status) in [
        ("pm_card_visa_chargeDeclined", "no", None, 402),
        ("pm_card_visa_chargeDeclined", "no", Some("true"), 402),
        ("pm_card_visa", "no", None, 422),
        ("pm_card_visa", "yes", None, 200),
        ("pm_card_visa", "yes", Some("true"), 200),
        ("pm_card_visa_chargeDeclined", "no", Some("true"), 402),
    ] {
        let body = json!({"payment_method": card});
        let paid = app.post_with_key(&user, &path, key, &body).await;
        assert_eq!(
            (paid.status, paid.header("idempotent-replayed")),
            (status, replayed),
            "{paid:?}"
        );
    }
    assert_eq!(pay(&app, &user, &booking, "pm_card_visa").await.status, 200);
    assert_eq!(charges(&app, &held).await, 1);

    let held = hold(&app, &user, &event, 1).await;
    let booking = held.text("booking_id");
    for _ in 0..5 {
        assert_eq!(
            pay(&app, &user, &booking, "pm_card_visa_chargeDeclined")
                .await
                .status,
            402
        );
    }
    let sixth = pay(&app, &user, &booking, "pm_card_visa").await;
    assert_eq!((sixth.status, sixth.problem()), (429, "too-many-requests"));
    let released = release(&app, &user, &booking).await;
    assert_eq!(
        (released.status, &released.body["status"]),
        (200, &json!("EXPIRED"))
    );
    assert_eq!(
        pay(&app, &user, &booking, "pm_card_visa").await.problem(),
        "hold-expired"
    );
    assert_eq!(charges(&app, &held).await, 0);
    assert_eq!(app.available(&event).await, 4);
}

#[tokio::test]
async fn a_payment_without_an_answer_is_looked_at_and_not_voided_while_the_hold_lasts() {
    let app = TestApp::start().await;
    let (user, event) = (app.user().await, app.event_with(5).await);
    let held = hold(&app, &user, &event, 1).await;
    let booking = held.text("booking_id");
    let unknown = pay(&app, &user, &booking, "pm_admit_timeout").await;
    assert_eq!(unknown.status, 202);
    assert_eq!(
        unknown.header("location"),
        Some(format!("/bookings/{booking}").as_str())
    );
    let again = pay(&app, &user, &booking, "pm_card_visa").await;
    assert!(matches!(again.status, 200 | 409), "{again:?}");
    app.await_status(&user, &format!("/bookings/{booking}"), "CONFIRMED")
        .await;
    assert_eq!(charges(&app, &held).await, 1);
}

#[tokio::test]
async fn a_hold_ends_by_its_buyer_or_when_its_time_is_over() {
    let app = TestApp::start().await;
    let (user, event) = (app.user().await, app.event_with(2).await);
    let first = hold(&app, &user, &event, 2).await.text("booking_id");
    let second = hold(&app, &user, &event, 1).await;
    assert_eq!(second.problem(), "sold-out");
    for _ in 0..2 {
        let released = release(&app, &user, &first).await;
        assert_eq!(
            (released.status, &released.body["status"]),
            (200, &json!("EXPIRED"))
        );
    }
    let held = hold(&app, &user, &event, 1).await;
    let booking = held.text("booking_id");
    let open = hold(&app, &user, &event, 1).await;
    assert_eq!((open.status, open.problem()), (409, "hold-open"));
    assert_eq!(
        open.header("location"),
        Some(format!("/bookings/{booking}").as_str())
    );
    let past = "with past as (update booking set hold_until = now() - interval '1 second'
                               where 'bk_' || replace(booking_id::text, '-', '') = $1 returning booking_id)
                update job set due_at = now(), next_attempt_at = now() from past
                 where kind = 'EXPIRE' and key = past.booking_id::text";
    sqlx::query(past)
        .bind(&booking)
        .execute(&app.bookings)
        .await
        .unwrap();
    let late = pay(&app, &user, &booking, "pm_card_visa").await;
    assert_eq!((late.status, late.problem()), (409, "hold-expired"));
    eventually("the sweep ends the hold", async || {
        let swept = json!({"source": "aws.scheduler", "detail-type": "Scheduled Event"});
        app.invoke("sweep-bookings", &swept).await.unwrap();
        let shown = app.get(&user, &format!("/bookings/{booking}")).await;
        (shown.body["status"] == "EXPIRED").then_some(())
    })
    .await;
    assert_eq!(app.available(&event).await, 2);
    assert_eq!(charges(&app, &held).await, 0);
}

#[tokio::test]
async fn a_person_has_as_many_tickets_of_an_event_as_it_allows() {
    let app = TestApp::start().await;
    let user = app.user().await;
    let made = app
        .event(json!({"max_per_user": 3, "hold_seconds": 60}))
        .await;
    assert_eq!(
        (&made.body["max_per_user"], &made.body["hold_seconds"]),
        (&json!(3), &json!(60))
    );
    let event = made.text("event_id");
    assert_eq!(app.book(&user, &event, 2).await.status, 201);
    let refused = app.book(&user, &event, 2).await;
    assert_eq!((refused.status, refused.problem()), (409, "purchase-limit"));
    assert_eq!(
        (&refused.body["most"], &refused.body["have"]),
        (&json!(3), &json!(2))
    );
    let declined = app
        .book_with(&user, &event, 1, "pm_card_visa_chargeDeclined")
        .await;
    assert_eq!(declined.status, 402);
    let race = join_all((0..4).map(|_| app.book(&user, &event, 1))).await;
    assert_eq!(race.iter().filter(|answer| answer.status == 201).count(), 1);
    assert_eq!(app.available(&event).await, 97);
    for (fields, pointer) in [
        (json!({"max_per_user": 0}), "/max_per_user"),
        (json!({"hold_seconds": 59}), "/hold_seconds"),
        (json!({"hold_seconds": 86_401}), "/hold_seconds"),
    ] {
        let refused = app
            .post(&user, "/events", TestApp::event_body(fields))
            .await;
        assert_eq!((refused.status, refused.pointers()), (422, vec![pointer]));
    }
}

#[tokio::test]
async fn a_repeated_hold_is_the_same_and_what_is_no_hold_is_refused() {
    let app = TestApp::start().await;
    let (user, event) = (app.user().await, app.event_with(5).await);
    let body = json!({"user_id": user.id, "event_id": event, "tickets": 1, "hold": true});
    let first = app.post_with_key(&user, "/bookings", "hold", &body).await;
    let booking = first.text("booking_id");
    let again = app.post_with_key(&user, "/bookings", "hold", &body).await;
    assert_eq!((again.status, &again.body), (201, &first.body));
    assert_eq!(again.header("idempotent-replayed"), Some("true"));
    assert_eq!(pay(&app, &user, &booking, "pm_card_visa").await.status, 200);
    let told = app.post_with_key(&user, "/bookings", "hold", &body).await;
    assert_eq!((told.status, &told.body["status"]), (201, &json!("HELD")));
    let paid = app.book(&user, &event, 1).await.text("booking_id");
    assert_eq!(
        pay(&app, &user, &paid, "pm_card_visa").await.problem(),
        "not-held"
    );
    assert_eq!(release(&app, &user, &paid).await.problem(), "not-held");
    let with = |changes: Value| {
        let mut body = body.clone();
        body.as_object_mut()
            .unwrap()
            .extend(changes.as_object().unwrap().clone());
        body
    };
    for (changes, pointer) in [
        (json!({"hold": 1}), "/hold"),
        (json!({"payment_method": "pm_card_visa"}), "/payment_method"),
    ] {
        let refused = app.post(&user, "/bookings", with(changes)).await;
        assert_eq!((refused.status, refused.pointers()), (422, vec![pointer]));
    }
    let wrong = app
        .post(
            &user,
            &format!("/bookings/{booking}/pay"),
            json!({"card": 1}),
        )
        .await;
    assert_eq!((wrong.status, wrong.pointers()), (422, vec!["/card"]));
    assert_eq!(
        pay(&app, &user, "bk_nothing", "pm_card_visa").await.status,
        404
    );
    let free = app.event(json!({"price": 0})).await.text("event_id");
    let held = hold(&app, &user, &free, 1).await.text("booking_id");
    let taken = pay(&app, &user, &held, "pm_card_visa_chargeDeclined").await;
    assert_eq!(
        (taken.status, &taken.body["status"]),
        (200, &json!("CONFIRMED"))
    );
}

/// Pays with the card whose bank asks its owner. Returns the URL of the page where they answer.
async fn ask(app: &TestApp, user: &User, hold: &Answer) -> String {
    let path = format!("/bookings/{}/pay", hold.text("booking_id"));
    let card = json!({"payment_method": "pm_card_authenticationRequired"});
    let asked = app.post(user, &path, card).await;
    assert_eq!(
        (asked.status, &asked.body["status"]),
        (202, &json!("PENDING"))
    );
    assert_eq!(asked.body["next_action"]["type"], "redirect_to_url");
    asked.body["next_action"]["url"]
        .as_str()
        .unwrap()
        .to_owned()
}

#[tokio::test]
async fn a_bank_asks_the_owner_of_a_card_and_what_they_say_holds() {
    let app = TestApp::start().await;
    let (user, event) = (app.user().await, app.event_with(4).await);
    let browser = Browser::of(&app, &user).await;
    let held = hold(&app, &user, &event, 1).await;
    let booking = format!("/b/{}", held.text("booking_id"));
    let bank = ask(&app, &user, &held).await;
    let shown = browser.get(&bank).await;
    assert!(shown.html.contains("Do you want to pay"), "{}", shown.html);
    let refused = browser.post(&bank, &[("answer", "no")]).await;
    assert_eq!(refused.location, format!("{booking}?told=refused"));
    let page = browser.get(&refused.location).await;
    assert!(
        page.html.contains("Your bank did not confirm"),
        "{}",
        page.html
    );
    assert!(browser.get(&bank).await.html.contains("nothing to confirm"));
    // Asked again, by the page.
    let card = [("payment_method", "pm_card_authenticationRequired")];
    let led = browser.post(&format!("{booking}/pay"), &card).await;
    assert_eq!((led.status, led.location.as_str()), (303, bank.as_str()));
    let agreed = browser.post(&bank, &[("answer", "yes")]).await;
    assert_eq!(agreed.location, format!("{booking}?told=returned"));
    let page = browser.get(&agreed.location).await;
    assert!(page.html.contains("You’re going!"), "{}", page.html);
    // Yes, twice.
    assert_eq!(browser.post(&bank, &[("answer", "yes")]).await.status, 303);
    let entry = app
        .gateway_entry(&held.text("booking_id").replace("bk_", "pay_"))
        .await;
    assert_eq!(entry.unwrap().get_str("verdict").unwrap(), "CHARGED");
}

#[tokio::test]
async fn a_payment_that_the_owner_confirms_stands_though_they_close_the_tab() {
    let app = TestApp::start().await;
    let (user, event) = (app.user().await, app.event_with(2).await);
    let held = hold(&app, &user, &event, 1).await;
    let bank = ask(&app, &user, &held).await;
    let browser = Browser::of(&app, &user).await;
    assert_eq!(browser.post(&bank, &[("answer", "yes")]).await.status, 303);
    // Nobody returns to the booking. Its job finds the payment; the test makes the job due a minute early.
    let booking = held.text("booking_id");
    eventually("the booking is confirmed", async || {
        sqlx::query(
            "update job set next_attempt_at = now() where key = $1::uuid::text and done_at is null",
        )
        .bind(booking.strip_prefix("bk_"))
        .execute(&app.bookings)
        .await
        .unwrap();
        let shown = app.get(&user, &format!("/bookings/{booking}")).await;
        (shown.body["status"] == "CONFIRMED").then_some(())
    })
    .await;
    assert_eq!(charges(&app, &held).await, 1);
}

#[tokio::test]
async fn another_card_may_pay_while_a_bank_asks_and_it_is_charged_once() {
    let app = TestApp::start().await;
    let (user, event) = (app.user().await, app.event_with(4).await);
    let browser = Browser::of(&app, &user).await;
    let held = hold(&app, &user, &event, 1).await;
    let bank = ask(&app, &user, &held).await;
    let path = format!("/bookings/{}/pay", held.text("booking_id"));
    let paid = app.post(&user, &path, json!({})).await;
    assert_eq!(
        (paid.status, &paid.body["status"]),
        (200, &json!("CONFIRMED"))
    );
    assert_eq!(browser.post(&bank, &[("answer", "yes")]).await.status, 303);
    assert!(browser.get(&bank).await.html.contains("nothing to confirm"));
    // The tab was closed: the hold is given back, and yes comes too late.
    let late = app.user().await;
    let held = hold(&app, &late, &event, 1).await;
    let bank = ask(&app, &late, &held).await;
    let path = format!("/bookings/{}/release", held.text("booking_id"));
    let released = app.post(&late, &path, json!({})).await;
    assert_eq!(released.body["status"], "EXPIRED");
    browser.post(&bank, &[("answer", "yes")]).await;
    let payment = held.text("booking_id").replace("bk_", "pay_");
    let entry = app.gateway_entry(&payment).await.unwrap();
    assert_eq!(entry.get_str("verdict").unwrap(), "CANCELLED");
    // Where nobody is there to ask, it is declined.
    let declined = app
        .book_with(&late, &event, 1, "pm_card_authenticationRequired")
        .await;
    assert_eq!(declined.status, 402);
}

//! Payments of no booking.

use futures_util::future::join_all;
use serde_json::{Value, json};
use tests::TestApp;
use uuid::Uuid;

#[tokio::test]
async fn an_amount_is_paid_exactly_and_shown_to_its_payer_only() {
    let app = TestApp::start().await;
    let (user, stranger) = (app.user().await, app.user().await);
    let paid = app
        .post(
            &user,
            "/payments",
            json!({"user_id": user.id, "amount": 19.99, "currency": "EUR"}),
        )
        .await;
    assert_eq!(paid.status, 201, "{paid:?}");
    assert_eq!(
        (paid.body["amount"].as_f64(), paid.text("currency")),
        (Some(19.99), "EUR".to_owned())
    );
    let path = format!("/payments/{}", paid.text("payment_id"));
    assert_eq!(app.get(&user, &path).await.body, paid.body);
    assert_eq!(app.get(&stranger, &path).await.problem(), "not-found");
    let entry = app.gateway_entry(&paid.text("payment_id")).await.unwrap();
    assert_eq!(entry.get_i64("amount_minor").unwrap(), 1999);
    let for_another = json!({"user_id": user.id, "amount": 1});
    assert_eq!(
        app.post(&stranger, "/payments", for_another)
            .await
            .problem(),
        "forbidden"
    );
}

#[tokio::test]
async fn a_payment_is_declined_or_pending_as_its_card_says() {
    let app = TestApp::start().await;
    let user = app.user().await;
    let with = |method: &str| json!({"user_id": user.id, "amount": 5, "payment_method": method});
    assert_eq!(
        app.post(&user, "/payments", with("pm_card_visa_chargeDeclined"))
            .await
            .problem(),
        "payment-declined"
    );
    let pending = app.post(&user, "/payments", with("pm_admit_timeout")).await;
    assert_eq!(
        (pending.status, pending.body["status"].as_str()),
        (202, Some("PENDING"))
    );
    assert!(pending.header("retry-after").is_some());
    app.await_status(&user, pending.header("location").unwrap(), "SUCCESS")
        .await;
    let unknown = app.post(&user, "/payments", with("pm_none")).await;
    assert_eq!(
        (unknown.status, unknown.pointers()),
        (422, vec!["/payment_method"])
    );
}

#[tokio::test]
async fn racing_repeats_of_one_request_make_one_payment() {
    let app = TestApp::start().await;
    let user = app.user().await;
    let body = json!({"user_id": user.id, "amount": 5});
    let answers =
        join_all((0..12).map(|_| app.post_with_key(&user, "/payments", "race", &body))).await;
    let made: Vec<_> = answers
        .iter()
        .filter(|answer| answer.status == 201)
        .collect();
    assert!(!made.is_empty());
    assert!(made.iter().all(|answer| answer.body == made[0].body));
    assert!(
        answers
            .iter()
            .all(|answer| answer.status == 201 || answer.problem() == "request-in-progress")
    );
    let other = json!({"user_id": user.id, "amount": 6});
    assert_eq!(
        app.post_with_key(&user, "/payments", "race", &other)
            .await
            .problem(),
        "idempotency-key-reused"
    );
    let replay = app.post_with_key(&user, "/payments", "race", &body).await;
    assert_eq!(
        (replay.status, replay.header("idempotent-replayed")),
        (201, Some("true"))
    );
}

/// What `charge-payment` is asked to do about a payment of 50 dollars, with these differences.
fn command(action: &str, payment: &str, user: i64, differences: Value) -> Value {
    let mut charge = json!({
        "payment_id": payment, "booking_id": payment.replace("pay_", "bk_"), "user_id": user,
        "amount_minor": 5000, "currency": "USD",
    });
    charge
        .as_object_mut()
        .unwrap()
        .extend(differences.as_object().unwrap().clone());
    match action {
        "charge" => json!({"action": action, "payment_method": "pm_card_visa", "charge": charge}),
        _ => json!({"action": action, "charge": charge}),
    }
}

#[tokio::test]
async fn a_charge_of_nothing_or_of_another_amount_than_its_payments_fails() {
    let app = TestApp::start().await;
    let user = app.user().await;
    for action in ["charge", "void"] {
        let payment = format!("pay_{}", Uuid::now_v7().simple());
        for amount in [0, -1, i64::MIN] {
            let nothing = command(action, &payment, user.id, json!({"amount_minor": amount}));
            assert!(
                app.invoke("charge-payment", &nothing).await.is_err(),
                "{nothing}"
            );
        }
        assert!(app.gateway_entry(&payment).await.is_none());
        let first = command(action, &payment, user.id, json!({}));
        let standing = app.invoke("charge-payment", &first).await.unwrap();
        for differences in [
            json!({"amount_minor": 5001}),
            json!({"amount_minor": 1}),
            json!({"currency": "EUR"}),
            json!({"user_id": user.id + 1}),
            json!({"booking_id": null}),
        ] {
            let other = command("charge", &payment, user.id, differences);
            let error = app.invoke("charge-payment", &other).await;
            assert!(error.is_err(), "{other} after {action}: {error:?}");
        }
        let charge = command("charge", &payment, user.id, json!({}));
        let again = app.invoke("charge-payment", &charge);
        assert_eq!(
            again.await.unwrap(),
            standing,
            "the payment itself is as it was"
        );
    }
}

#[tokio::test]
async fn a_payment_whose_body_is_written_anew_is_the_same_payment() {
    let app = TestApp::start().await;
    let user = app.user().await;
    let send = async |key: &str, amount: &str| {
        let request = app.request("POST", "/payments").bearer_auth(&user.token);
        let request = request
            .header("content-type", "application/json")
            .header("idempotency-key", key);
        let body = format!(r#"{{"amount": {amount}, "user_id": {}}}"#, user.id);
        app.send(request.body(body)).await
    };
    let first = send("p", "100").await;
    for (key, amount) in [("p", "100.0"), ("\"p\"", "1e2"), ("p", "100.00")] {
        let again = send(key, amount).await;
        assert_eq!(
            (again.status, again.header("idempotent-replayed")),
            (201, Some("true")),
            "{amount}"
        );
        assert_eq!(again.body, first.body);
    }
    assert_eq!(
        send("p", "100.01").await.problem(),
        "idempotency-key-reused"
    );
}

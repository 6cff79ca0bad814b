//! Functions whose process serves many invocations at once, as on Lambda Managed Instances.

use futures_util::future::join_all;
use serde_json::json;
use tests::customer::Purchase;
use tests::eventually;
use tests::stack::{children, pid};

use crate::Range;

#[tokio::test]
async fn one_process_serves_a_crowd_at_once_and_sells_what_there_is() {
    let range = Range::open().await;
    range
        .restart_with(&[
            "ADMIT_INVOCATIONS_AT_ONCE=32".to_owned(),
            "ADMIT_CONCURRENT_BOOKINGS=32".to_owned(),
            "ADMIT_CONCURRENT_CHARGES=32".to_owned(),
        ])
        .await;
    let app = &range.app;
    let (user, event) = (app.user().await, app.event_with(20).await);
    let mut crowd: Vec<_> = (0..32)
        .map(|_| Purchase::new(&user, &event, 1, "pm_card_visa"))
        .collect();
    // On a busy machine some are asked to come again, as they are in any crowd.
    let asking = crowd.iter_mut().map(async |purchase| {
        eventually("an answer that stands", async || {
            let status = purchase.ask(app).await?.status;
            (status != 503).then_some(status)
        })
        .await
    });
    let statuses = join_all(asking).await;
    let count = |wanted| statuses.iter().filter(|status| **status == wanted).count();
    assert_eq!((count(201), count(409)), (20, 12), "{statuses:?}");
    let processes = children(pid("event-sources").unwrap());
    for function in ["create-booking", "charge-payment"] {
        let of_this = processes.iter().filter(|(_, name)| name == function);
        assert_eq!(of_this.count(), 1, "{function}");
    }
    range.audit(&user, &event, &crowd).await;
    range.close().await;
}

#[tokio::test]
async fn logins_at_once_are_each_their_own() {
    let range = Range::open().await;
    range
        .restart_with(&["ADMIT_INVOCATIONS_AT_ONCE=8".to_owned()])
        .await;
    let app = &range.app;
    let users = join_all((0..8).map(|_| app.user())).await;
    let log_in = |name: &str, password: &str| {
        let body = json!({"username": name, "password": password});
        app.send(app.request("POST", "/login").json(&body))
    };
    let logins = users.iter().map(|user| async {
        let (right, wrong) = (
            log_in(&user.name, "password123"),
            log_in(&user.name, "not that"),
        );
        let (right, wrong) = (right.await, wrong.await);
        assert_eq!(right.body["user_id"], user.id, "{right:?}");
        assert_eq!(wrong.problem(), "invalid-credentials");
    });
    join_all(logins).await;
    range.close().await;
}

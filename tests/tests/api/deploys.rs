//! The migration as every deploy runs it: a resource of the stack.

use futures_util::future::join_all;
use serde_json::Value;
use tests::TestApp;
use tests::inbox::Inbox;

#[tokio::test]
async fn a_migration_can_run_again_and_four_times_at_once() {
    let (app, inbox) = (TestApp::start().await, Inbox::open().await);
    let deploys = (0..4).map(|_| async { app.invoke("migrate", &inbox.event("Update")).await });
    for deployed in join_all(deploys).await {
        deployed.unwrap();
    }
    let answers = inbox.answers();
    assert_eq!(answers.len(), 4);
    for answer in &answers {
        assert_eq!(answer["Status"], "SUCCESS", "{answer}");
        assert_eq!(answer["PhysicalResourceId"], "admit-migration");
        assert_eq!(answer["Data"], answers[0]["Data"], "all find one key");
    }
    // Whoever is logged in stays so.
    app.user().await;
}

#[tokio::test]
async fn a_stack_that_is_deleted_takes_nothing_along() {
    let (app, inbox) = (TestApp::start().await, Inbox::open().await);
    let user = app.user().await;
    app.invoke("migrate", &inbox.event("Delete")).await.unwrap();
    let answers = inbox.answers();
    assert_eq!(answers.len(), 1);
    assert_eq!(
        (&answers[0]["Status"], &answers[0]["Data"]),
        (&"SUCCESS".into(), &Value::Null)
    );
    assert_eq!(app.get(&user, "/bookings").await.status, 200);
}

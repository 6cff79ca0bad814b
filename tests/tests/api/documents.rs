//! The local document store, where it has to be as good as DocumentDB.

use mongodb::bson::{Document, doc};
use tests::TestApp;
use uuid::Uuid;

/// Of many changes at once of one document, named by its `_id`, none is lost: the local store keeps that,
/// as DocumentDB does.
#[tokio::test]
async fn of_racing_changes_of_one_document_none_is_lost() {
    let app = TestApp::start().await;
    let books = app.documents.database("payment_db");
    let books = books.collection::<Document>("gateway_charges");
    let id = format!("race {}", Uuid::now_v7());
    let counter = doc! {"_id": &id, "refunds": 0_i64, "verdict": "DECLINED"};
    books.insert_one(counter).await.unwrap();
    let change = async |number: usize| {
        let (one, more) = (doc! {"_id": &id}, doc! {"$inc": {"refunds": 1_i64}});
        if number.is_multiple_of(2) {
            books.update_one(one, more).await.map(drop)
        } else {
            books.find_one_and_update(one, more).await.map(drop)
        }
    };
    let changes = futures_util::future::join_all((0..150).map(change)).await;
    let done = changes.iter().filter(|change| change.is_ok()).count();
    let counted = books.find_one_and_delete(doc! {"_id": &id}).await.unwrap();
    let counted = counted.unwrap().get_i64("refunds").unwrap();
    assert_eq!(usize::try_from(counted).unwrap(), done);
    assert_eq!(done, 150);
}

//! The tickets and refunds of bookings, on a database of their own.

use super::baskets::{basket, book, fair, ids};
use super::holds::WRONG;
use crate::bookings::cancel::{give_back, mark_refunded};
use crate::bookings::confirm::confirm;
use crate::bookings::reserve::release;
use crate::bookings::{Booking, Status};
use crate::testing::Database;
use stores::db::Db;
use values::ids::UserId;

/// Drops the triggers that write for the previous release. They would hide what this release's statements forget to
/// write.
const WITHOUT_TRIGGERS: &str =
    "drop trigger carry_over_tickets on booking; drop trigger owe_refund on booking";

/// A booking of a pair that lets in two, of two seats at 19 % tax, and of something that lets in nobody.
async fn booked() -> (Database, Db, Booking) {
    let (database, db, event) = fair().await;
    let types = "update ticket_type set admits = case name when 'Pair' then 2 when 'Standing' then 0 else 1 end,
                                        tax_rate_bp = case name when 'Seat' then 1900 else 0 end";
    database.execute(types.to_owned()).await;
    database.execute(WITHOUT_TRIGGERS.to_owned()).await;
    let [standing, seat, pair] = ids(&event);
    let request = basket(1, &[(pair, 1), (seat, 2), (standing, 1)]);
    let booking = book(&db, &request).await.unwrap();
    (database, db, booking)
}

/// The tickets as they are, one a line.
async fn tickets(database: &Database) -> String {
    let tickets = "select coalesce(string_agg(concat_ws(' ', number, unit, t.name, unit_minor, k.status, code_version), e'\\n'
                                              order by number), '')
                     from ticket k join ticket_type t using (ticket_type_id)";
    let mut connection = database.connect().await;
    let tickets = sqlx::query_scalar(tickets).fetch_one(&mut connection).await;
    tickets.unwrap()
}

#[tokio::test]
async fn a_paid_unit_has_a_ticket_for_each_person_and_its_price_on_the_first() {
    let (database, db, booking) = booked().await;
    assert_eq!(tickets(&database).await, "");
    confirm(&db, booking.booking_id, true).await.unwrap();
    assert!(
        confirm(&db, booking.booking_id, true)
            .await
            .unwrap()
            .is_none()
    );
    let issued = tickets(&database).await;
    let expected = "1 1 Standing 2500 VALID 0\n\
                    2 2 Seat 4050 VALID 0\n\
                    3 3 Seat 4050 VALID 0\n\
                    4 4 Pair 7000 VALID 0\n\
                    5 4 Pair 0 VALID 0";
    assert_eq!(issued, expected);
    let taxed = "select count(*) from booking_item where tax_rate_bp = 1900 and quantity = 2";
    assert_eq!(database.count(taxed).await, 1);
    assert_eq!(database.count(WRONG).await, 0);
}

#[tokio::test]
async fn a_booking_that_is_not_paid_has_no_tickets() {
    let (database, db, booking) = booked().await;
    release(&db, booking.booking_id, Status::Rejected)
        .await
        .unwrap();
    assert_eq!(tickets(&database).await, "");
    assert_eq!(database.count(WRONG).await, 0);
}

#[tokio::test]
async fn a_cancelled_booking_owes_the_price_of_each_ticket_until_it_is_refunded() {
    let (database, db, booking) = booked().await;
    confirm(&db, booking.booking_id, true).await.unwrap();
    let user = UserId::from(1);
    assert!(
        give_back(&db, user, booking.booking_id)
            .await
            .unwrap()
            .is_some()
    );
    let cancelled = tickets(&database).await;
    assert!(
        cancelled
            .lines()
            .all(|ticket| ticket.ends_with(" CANCELLED 1")),
        "{cancelled}"
    );
    let owed =
        "select count(*) from refund where done_at is null and amount_minor in (2500, 4050, 7000)";
    assert_eq!(database.count(owed).await, 4);
    assert_eq!(database.count(WRONG).await, 0);
    for _ in 0..2 {
        mark_refunded(&db, booking.booking_id).await.unwrap();
    }
    let done = "select count(*) from refund where done_at is not null";
    assert_eq!(database.count(done).await, 4);
    assert_eq!(database.count(WRONG).await, 0);
}

#[tokio::test]
async fn what_the_release_before_confirms_and_cancels_has_tickets_and_refunds_too() {
    let (database, db, event) = fair().await;
    let [standing, _, pair] = ids(&event);
    let booking = book(&db, &basket(1, &[(pair, 2), (standing, 1)]))
        .await
        .unwrap();
    let confirm =
        "update booking set status = 'CONFIRMED', payment_id = booking_id, announced_at = now()";
    database.execute(confirm.to_owned()).await;
    let issued = tickets(&database).await;
    assert_eq!(
        issued,
        "1 1 Standing 2500 VALID 0\n2 2 Pair 7000 VALID 0\n3 3 Pair 7000 VALID 0"
    );
    let cancel = "update booking set status = 'CANCELLED', refund_due_at = now()";
    database.execute(cancel.to_owned()).await;
    let owed = "select count(*) from refund r join booking b using (booking_id)
                 where r.done_at is null and b.refund_owed_minor = b.amount_minor and r.amount_minor in (2500, 7000)";
    assert_eq!(database.count(owed).await, 3);
    let refunded = "update booking set refunded_at = now()";
    database.execute(refunded.to_owned()).await;
    assert_eq!(
        database
            .count("select count(*) from refund where done_at is null")
            .await,
        0
    );
    let valid = "select count(*) from ticket where status = 'VALID'";
    assert_eq!(database.count(valid).await, 0);
    // This release finds nothing left to give back.
    assert!(
        give_back(&db, booking.user_id, booking.booking_id)
            .await
            .unwrap()
            .is_none()
    );
}

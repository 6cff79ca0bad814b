//! The steps of a booking, each on a database of its own, without the rest of the stack.

use std::pin::pin;
use std::time::Duration;

use futures_util::future::{Either, join_all, select};
use sqlx::{Connection, Executor};

use crate::bookings::cancel::{explain_not_cancelled, give_back};
use crate::bookings::confirm::{charge_with, confirm, record_accepted};
use crate::bookings::reserve::{Reservation, ReserveError, release, reserve, undo_reserve};
use crate::bookings::{Booking, BookingRequest, CancelError, Status, read};
use crate::payments::PaymentMethod;
use crate::testing::{AVAILABLE, Database};
use stores::db::Db;
use values::idempotency::{IdempotencyKey, IdempotentRequest, RequestHash};
use values::ids::UserId;

const SWEEP_AFTER: Duration = Duration::from_secs(60);

const OPEN_JOBS: &str = "select count(*) from job where done_at is null";

/// A database with the event `gala` of 5 tickets for 10 dollars each.
async fn gala() -> (Database, Db) {
    let database = Database::migrated().await;
    database.add_gala(5, 5).await;
    let db = database.process();
    (database, db)
}

fn wants(user: i64, tickets: i32) -> BookingRequest {
    BookingRequest {
        user_id: UserId::from(user),
        event_id: "gala".parse().unwrap(),
        tickets: Some(serde_json::from_str(&tickets.to_string()).unwrap()),
        items: Vec::new(),
        payment_method: None,
        hold: None,
        promo_code: None,
        expected_amount: None,
        contact: Default::default(),
    }
}

fn keyed(key: &str, body: &str) -> IdempotentRequest {
    IdempotentRequest {
        key: IdempotencyKey::parse(key.as_bytes()).unwrap(),
        hash: RequestHash::of(body.as_bytes()),
    }
}

async fn reserved(db: &Db, user: i64, key: Option<&IdempotentRequest>) -> Booking {
    match reserve(db, SWEEP_AFTER, &wants(user, 1), key).await {
        Ok(Reservation::New(booking)) => booking,
        _ => panic!("nothing was reserved"),
    }
}

/// What a repeat of the request with this key is told; none while it runs.
async fn repeated(db: &Db, user: i64, key: &IdempotentRequest) -> (Booking, Option<Status>) {
    match reserve(db, SWEEP_AFTER, &wants(user, 1), Some(key)).await {
        Ok(Reservation::Replay(stored)) => (stored.booking, stored.answer),
        _ => panic!("the request is unknown"),
    }
}

#[tokio::test]
async fn a_crowd_gets_exactly_the_last_tickets() {
    let (database, _) = gala().await;
    let crowd = (0..20).map(|user| {
        let db = database.process();
        async move { reserve(&db, SWEEP_AFTER, &wants(user, 2), None).await }
    });
    let outcomes = join_all(crowd).await;
    let served = outcomes.iter().filter(|outcome| outcome.is_ok()).count();
    let refused = outcomes
        .iter()
        .filter(|outcome| matches!(outcome, Err(ReserveError::SoldOut { .. })));
    assert_eq!((served, refused.count()), (2, 18));
    assert_eq!(database.count(AVAILABLE).await, 1);
    assert_eq!(database.count(OPEN_JOBS).await, 2);
}

#[tokio::test]
async fn what_the_release_before_stock_keeps_is_moved_in_and_sold_once() {
    let (database, db) = gala().await;
    let kept = "update event set available = 4; update stock set free = 1";
    let mut owner = database.connect().await;
    sqlx::raw_sql(kept).execute(&mut owner).await.unwrap();
    let reserve =
        async |user, tickets| reserve(&db, SWEEP_AFTER, &wants(user, tickets), None).await;
    for user in [1, 2] {
        assert!(matches!(reserve(user, 2).await, Ok(Reservation::New(_))));
    }
    assert_eq!(database.count(AVAILABLE).await, 1);
    assert!(matches!(
        reserve(3, 2).await,
        Err(ReserveError::SoldOut { .. })
    ));
    assert!(matches!(reserve(4, 1).await, Ok(Reservation::New(_))));
    assert_eq!(database.count(AVAILABLE).await, 0);
}

#[tokio::test]
async fn a_buyer_waits_for_locked_rows_and_is_served() {
    let (database, db) = gala().await;
    let (mut other, mut observer) = (database.connect().await, database.connect().await);
    let split = "update event set available = 0;
         update stock set free = 1;
         insert into stock select quota_id, 1, 3 from quota";
    sqlx::raw_sql(split).execute(&mut observer).await.unwrap();
    // Tickets come back to the first row, which then has all that is wanted, and had not before.
    let mut back = other.begin().await.unwrap();
    sqlx::query("update stock set free = free + 3 where shard = 0")
        .execute(&mut *back)
        .await
        .unwrap();
    let waits = async {
        let waiting = "select count(*) from pg_stat_activity
                        where datname = current_database() and wait_event_type = 'Lock'";
        let mut number = 0_i64;
        while number == 0 {
            let counted = sqlx::query_scalar(waiting).fetch_one(&mut observer).await;
            number = counted.unwrap();
        }
    };
    let wanted = wants(1, 4);
    let reserving = pin!(reserve(&db, SWEEP_AFTER, &wanted, None));
    let Either::Right(((), reserving)) = select(reserving, pin!(waits)).await else {
        panic!("it didn't wait");
    };
    back.commit().await.unwrap();
    assert!(matches!(reserving.await, Ok(Reservation::New(_))));
    assert_eq!(database.count(AVAILABLE).await, 3);
}

#[tokio::test]
async fn tickets_in_many_rows_are_sold_to_who_wants_more_than_any_row_has() {
    let (database, db) = gala().await;
    let mut owner = database.connect().await;
    let split = "update event set available = 0;
         update stock set free = 1;
         insert into stock select quota_id, shard, 1 from quota, generate_series(1, 4) as shard";
    sqlx::raw_sql(split).execute(&mut owner).await.unwrap();
    let reserve =
        async |user, tickets| reserve(&db, SWEEP_AFTER, &wants(user, tickets), None).await;
    let Ok(Reservation::New(first)) = reserve(1, 3).await else {
        panic!("there are three tickets")
    };
    assert!(matches!(
        reserve(2, 3).await,
        Err(ReserveError::SoldOut { .. })
    ));
    assert!(matches!(reserve(3, 2).await, Ok(Reservation::New(_))));
    assert_eq!(database.count(AVAILABLE).await, 0);
    release(&db, first.booking_id, Status::Rejected)
        .await
        .unwrap();
    assert_eq!(database.count(AVAILABLE).await, 3);
    assert!(matches!(reserve(4, 3).await, Ok(Reservation::New(_))));
}

#[tokio::test]
async fn a_confirmed_booking_is_not_to_be_settled_and_is_to_be_announced_unless_it_was() {
    let (database, db) = gala().await;
    let announced = reserved(&db, 1, None).await.booking_id;
    let unannounced = reserved(&db, 2, None).await.booking_id;
    assert_eq!(database.count(OPEN_JOBS).await, 2);
    assert!(confirm(&db, announced, true).await.unwrap().is_some());
    assert!(confirm(&db, unannounced, false).await.unwrap().is_some());
    // The second time there is nothing to do.
    assert!(confirm(&db, announced, false).await.unwrap().is_none());
    assert!(
        release(&db, announced, Status::Expired)
            .await
            .unwrap()
            .is_none()
    );
    assert_eq!(database.count(OPEN_JOBS).await, 1);
    let left = "select count(*) from job join booking on key = booking_id || '.confirmed'
                 where kind = 'ANNOUNCE' and done_at is null and user_id = 2";
    assert_eq!(database.count(left).await, 1);
}

#[tokio::test]
async fn a_repeat_is_told_what_was_said_also_when_the_booking_has_moved_on() {
    let (_database, db) = gala().await;
    let key = keyed("k", "body");
    let booking = reserved(&db, 1, Some(&key)).await;
    assert_eq!(repeated(&db, 1, &key).await.1, None);
    record_accepted(&db, booking.booking_id, None)
        .await
        .unwrap();
    assert_eq!(repeated(&db, 1, &key).await.1, Some(Status::Pending));
    confirm(&db, booking.booking_id, true).await.unwrap();
    assert_eq!(repeated(&db, 1, &key).await.1, Some(Status::Confirmed));
    give_back(&db, UserId::from(1), booking.booking_id)
        .await
        .unwrap()
        .unwrap();
    // This call comes too late, and does not change what the request was told.
    record_accepted(&db, booking.booking_id, None)
        .await
        .unwrap();
    let (same, told) = repeated(&db, 1, &key).await;
    assert_eq!(
        (same.status, told),
        (Status::Cancelled, Some(Status::Confirmed))
    );
    assert_eq!(same.booking_id, booking.booking_id);
}

#[tokio::test]
async fn of_requests_with_one_key_one_reserves_and_another_user_has_keys_of_their_own() {
    let (database, _) = gala().await;
    let key = keyed("k", "body");
    let repeats = (0..8).map(|number| {
        let (db, key) = (database.process(), key.clone());
        async move { reserve(&db, SWEEP_AFTER, &wants(number % 2, 1), Some(&key)).await }
    });
    let outcomes = join_all(repeats).await;
    let new = outcomes
        .iter()
        .filter(|outcome| matches!(outcome, Ok(Reservation::New(_))));
    let replays = outcomes
        .iter()
        .filter(|outcome| matches!(outcome, Ok(Reservation::Replay(_))));
    assert_eq!((new.count(), replays.count()), (2, 6));
    assert_eq!(database.count(AVAILABLE).await, 3);
    assert_eq!(database.count("select count(*) from request").await, 2);
}

#[tokio::test]
async fn tickets_go_back_once_and_a_reservation_that_was_undone_leaves_nothing() {
    let (database, db) = gala().await;
    let key = keyed("k", "body");
    let undone = reserved(&db, 1, Some(&key)).await.booking_id;
    let declined = reserved(&db, 2, None).await.booking_id;
    for _ in 0..2 {
        undo_reserve(&db, undone).await.unwrap();
        release(&db, declined, Status::Rejected).await.unwrap();
    }
    assert_eq!(database.count(AVAILABLE).await, 5);
    assert_eq!(database.count("select count(*) from request").await, 0);
    assert_eq!(database.count(OPEN_JOBS).await, 0);
    assert!(read::by_id(&db, undone).await.unwrap().is_none());
    // The key is free again.
    let paid = reserved(&db, 1, Some(&key)).await.booking_id;
    confirm(&db, paid, true).await.unwrap();
    let late = release(&db, paid, Status::Expired).await.unwrap();
    assert!(late.is_none(), "what is paid is not released: {late:?}");
    undo_reserve(&db, paid).await.unwrap();
    let kept = read::by_id(&db, paid).await.unwrap().unwrap();
    assert_eq!(kept.status, Status::Confirmed);
    assert_eq!(database.count(AVAILABLE).await, 4);
}

#[tokio::test]
async fn a_booking_that_waits_for_its_turn_is_charged_until_it_has_waited_for_too_long() {
    let (database, db) = gala().await;
    let waiting = reserved(&db, 1, None).await.booking_id;
    let unknown = reserved(&db, 2, None).await.booking_id;
    let method = PaymentMethod::ChargeDeclined;
    record_accepted(&db, waiting, Some(method)).await.unwrap();
    record_accepted(&db, unknown, None).await.unwrap();
    assert_eq!(charge_with(&db, waiting).await.unwrap(), Some(method));
    assert_eq!(charge_with(&db, unknown).await.unwrap(), None);
    let age = "update booking set created_at = created_at - interval '4 minutes'";
    database.connect().await.execute(age).await.unwrap();
    assert_eq!(charge_with(&db, waiting).await.unwrap(), None);
}

/// The number of statements that were sent to this database, without this query.
const STATEMENTS: &str = "select coalesce(sum(calls), 0)::bigint from pg_stat_statements s
                            join pg_database d on d.oid = s.dbid and d.datname = current_database()
                           where query not like '%pg_stat_statements%'";

#[tokio::test]
async fn a_booking_sends_one_statement_to_reserve_one_to_confirm_and_no_transaction_commands() {
    let (database, db) = gala().await;
    let mut server = database.connect().await;
    let prepare = "create extension pg_stat_statements;
         update event set available = 0;
         update stock set free = 5";
    sqlx::raw_sql(prepare).execute(&mut server).await.unwrap();
    let mut sent = Vec::new();
    // The first connects.
    for user in 1..=3 {
        let booking = reserved(&db, user, None).await.booking_id;
        confirm(&db, booking, true).await.unwrap();
        let count = sqlx::query_scalar::<_, i64>(STATEMENTS);
        sent.push(count.fetch_one(&mut server).await.unwrap());
    }
    assert_eq!((sent[1] - sent[0], sent[2] - sent[1]), (2, 2));
}

#[tokio::test]
async fn a_cancelled_booking_is_not_cancelled_again_and_is_refunded_once() {
    let (database, db) = gala().await;
    let (user, booking) = (UserId::from(1), reserved(&db, 1, None).await);
    assert!(
        give_back(&db, user, booking.booking_id)
            .await
            .unwrap()
            .is_none()
    );
    confirm(&db, booking.booking_id, true).await.unwrap();
    let stranger = UserId::from(2);
    assert!(
        give_back(&db, stranger, booking.booking_id)
            .await
            .unwrap()
            .is_none()
    );
    assert!(
        give_back(&db, user, booking.booking_id)
            .await
            .unwrap()
            .is_some()
    );
    assert!(
        give_back(&db, user, booking.booking_id)
            .await
            .unwrap()
            .is_none()
    );
    assert_eq!(database.count(AVAILABLE).await, 5);
    let refunds = "select count(*) from job where kind = 'REFUND' and done_at is null";
    assert_eq!(database.count(refunds).await, 1);
}

#[tokio::test]
async fn a_booking_that_was_confirmed_just_now_can_be_cancelled_until_its_event_begins() {
    let (database, db) = gala().await;
    let booking = reserved(&db, 1, None).await;
    let why = || explain_not_cancelled(&db, booking.user_id, booking.booking_id);
    assert!(matches!(
        why().await,
        Err(CancelError::NotCancellable { .. })
    ));
    confirm(&db, booking.booking_id, true).await.unwrap();
    assert!(why().await.unwrap().is_none());
    let begin = "update event set starts_at = now() - interval '1 second'";
    database.execute(begin.to_owned()).await;
    assert!(matches!(why().await, Err(CancelError::Begun)));
}

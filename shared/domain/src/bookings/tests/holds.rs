//! Holds and limits a person, on a database of their own.

use std::time::Duration;

use futures_util::future::{join, join_all};
use uuid::Uuid;

use crate::bookings::cancel::give_back;
use crate::bookings::confirm::confirm;
use crate::bookings::expire::{end_hold, expire};
use crate::bookings::hold::{
    Card, HoldPaid, PayHoldError, begin_attempt, close_attempt, record_pending,
};
use crate::bookings::pay::paid_before;
use crate::bookings::reserve::{Reservation, ReserveError, release, reserve, undo_reserve};
use crate::bookings::{Booking, BookingRequest, Status, read};
use crate::testing::Database;
use stores::db::{self, Db};
use values::idempotency::{IdempotencyKey, IdempotentRequest, RequestHash};
use values::ids::{BookingId, UserId};
use values::time;

const SWEEP_AFTER: Duration = Duration::from_secs(60);

/// The rows that are not what bookings say: stock, what people have, work, tickets and refunds.
pub(super) const WRONG: &str = "
    select (select count(*) from quota q
             where capacity <> (select coalesce(sum(free), 0) from stock s where s.quota_id = q.quota_id)
                   + (select coalesce(sum(units), 0) from booking, unnest(took_quota, took_units) as t (quota, units)
                       where t.quota = q.quota_id))
         + (select count(*) from purchase p
             where tickets <> (select coalesce(sum(counted), 0) from booking b
                                where (b.event_id, b.user_id) = (p.event_id, p.user_id))
                or open_holds <> (select count(*) from booking b
                                   where (b.event_id, b.user_id) = (p.event_id, p.user_id)
                                     and hold_until is not null and status in ('HELD', 'PENDING')))
         + (select count(*) from booking b
             where (status = 'HELD') <> exists (select from job where kind = 'EXPIRE' and key = b.booking_id::text and done_at is null)
                or counted > 0 and status in ('REJECTED', 'EXPIRED', 'CANCELLED')
                or (status = 'PENDING') <> exists (select from job where kind = 'SETTLE' and key = b.booking_id::text and done_at is null))
         + (select count(*) from booking b
             cross join lateral (select count(distinct unit) as units, coalesce(sum(unit_minor), 0) as paid,
                                        bool_and(t.status = 'VALID' and b.status = 'CONFIRMED'
                                                 or t.status = 'CANCELLED' and b.status = 'CANCELLED') as in_step
                                   from ticket t where t.booking_id = b.booking_id) has
             cross join lateral (select coalesce(sum(amount_minor), 0) as owed, count(*) filter (where done_at is null) as open
                                   from refund r where r.booking_id = b.booking_id) back
             where case when b.status in ('CONFIRMED', 'CANCELLED') then (units, paid, in_step) is distinct from (b.tickets, b.amount_minor, true)
                        else units <> 0 end
                or (owed, refund_owed_minor) is distinct from (case when b.status = 'CANCELLED' then amount_minor else 0 end, owed)
                or (open > 0) <> (refund_due_at is not null and refunded_at is null))";

/// A database with the event `gala`, of 5 tickets, at most `limit` a person.
async fn gala(limit: Option<i32>) -> (Database, Db) {
    let database = Database::migrated().await;
    database.add_gala(5, 5).await;
    let limit = limit.map_or("null".to_owned(), |limit| limit.to_string());
    database
        .execute(format!(
            "update event set available = 0, max_per_user = {limit}; update stock set free = 5"
        ))
        .await;
    let db = database.process();
    (database, db)
}

fn wants(user: i64, tickets: i32, hold: bool) -> BookingRequest {
    BookingRequest {
        user_id: UserId::from(user),
        event_id: "gala".parse().unwrap(),
        tickets: Some(tickets.try_into().unwrap()),
        items: Vec::new(),
        payment_method: None,
        hold: Some(hold),
        promo_code: None,
        expected_amount: None,
        contact: Default::default(),
    }
}

async fn take(db: &Db, user: i64, tickets: i32, hold: bool) -> Result<Booking, ReserveError> {
    match reserve(db, SWEEP_AFTER, &wants(user, tickets, hold), None).await? {
        Reservation::New(booking) => Ok(booking),
        Reservation::Replay(_) => panic!("it has no key"),
    }
}

/// As if the time of all holds were over.
async fn let_time_pass(database: &Database) {
    let past =
        "update booking set hold_until = now() - interval '1 second' where hold_until is not null;
                update job set due_at = now() - interval '1 second' where kind = 'EXPIRE'";
    database.execute(past.to_owned()).await;
}

async fn left(database: &Database) -> i64 {
    assert_eq!(database.count(WRONG).await, 0);
    database.count("select sum(free)::int8 from stock").await
}

async fn begin(db: &Db, user: i64, booking: BookingId) -> Option<Booking> {
    begin_attempt(db, UserId::from(user), booking, Uuid::now_v7(), None)
        .await
        .unwrap()
}

#[tokio::test]
async fn a_hold_keeps_its_tickets_until_its_time_is_over() {
    let (database, db) = gala(None).await;
    let held = take(&db, 1, 2, true).await.unwrap();
    assert_eq!(held.status, Status::Held);
    let left_to_pay = held.hold_until.unwrap() - time::now();
    assert!(
        (590..=600).contains(&left_to_pay.num_seconds()),
        "{left_to_pay}"
    );
    assert_eq!(left(&database).await, 3);
    assert!(!expire(&db, held.booking_id).await.unwrap());
    assert!(confirm(&db, held.booking_id, true).await.unwrap().is_none());
    assert!(
        release(&db, held.booking_id, Status::Expired)
            .await
            .unwrap()
            .is_none()
    );
    let_time_pass(&database).await;
    assert!(begin(&db, 1, held.booking_id).await.is_none());
    assert!(expire(&db, held.booking_id).await.unwrap());
    assert!(!expire(&db, held.booking_id).await.unwrap());
    assert_eq!(left(&database).await, 5);
    let ended = read::by_id(&db, held.booking_id).await.unwrap().unwrap();
    assert_eq!((ended.status, ended.payment_id), (Status::Expired, None));
}

#[tokio::test]
async fn a_person_has_one_open_hold_of_an_event() {
    let (database, db) = gala(None).await;
    let crowd = (0..8).map(|_| {
        let db = database.process();
        async move { take(&db, 1, 1, true).await }
    });
    let outcomes = join_all(crowd).await;
    let held: Vec<_> = outcomes.iter().flatten().collect();
    assert_eq!(held.len(), 1);
    for refused in outcomes.iter().filter_map(|outcome| outcome.as_ref().err()) {
        let open = matches!(refused, ReserveError::HoldOpen { booking_id } if *booking_id == held[0].booking_id);
        assert!(open, "{refused:?}");
    }
    assert_eq!(left(&database).await, 4);
    assert!(take(&db, 1, 1, false).await.is_ok());
    assert!(take(&db, 2, 1, true).await.is_ok());
    let stranger = end_hold(&db, held[0].booking_id, Some(UserId::from(2))).await;
    assert!(stranger.unwrap().is_none());
    let released = end_hold(&db, held[0].booking_id, Some(UserId::from(1))).await;
    assert_eq!(released.unwrap().unwrap().status, Status::Expired);
    assert!(take(&db, 1, 1, true).await.is_ok());
    assert_eq!(left(&database).await, 2);
}

#[tokio::test]
async fn a_hold_whose_time_is_over_keeps_no_tickets_from_anybody() {
    let (database, db) = gala(None).await;
    take(&db, 1, 3, true).await.unwrap();
    take(&db, 2, 2, true).await.unwrap();
    assert!(matches!(
        take(&db, 3, 1, false).await,
        Err(ReserveError::SoldOut { .. })
    ));
    let_time_pass(&database).await;
    assert!(take(&db, 3, 4, false).await.is_ok());
    // Who held them holds again, though nobody has swept yet.
    take(&db, 4, 1, true).await.unwrap();
    let_time_pass(&database).await;
    assert!(take(&db, 4, 1, true).await.is_ok());
    assert_eq!(left(&database).await, 0);
}

#[tokio::test]
async fn one_attempt_to_pay_runs_at_a_time_and_the_first_leaves_ten_minutes() {
    let (database, db) = gala(None).await;
    let held = take(&db, 1, 1, true).await.unwrap().booking_id;
    database
        .execute("update booking set hold_until = now() + interval '5 seconds'".to_owned())
        .await;
    assert!(begin(&db, 2, held).await.is_none());
    let user = UserId::from(1);
    let first = Uuid::now_v7();
    let paying = begin_attempt(&db, user, held, first, None)
        .await
        .unwrap()
        .unwrap();
    assert_eq!(paying.status, Status::Pending);
    let until = paying.hold_until.unwrap();
    assert!((until - time::now()).num_seconds() >= 590);
    // Its answer was lost, and it is sent again.
    assert!(
        begin_attempt(&db, user, held, first, None)
            .await
            .unwrap()
            .is_some()
    );
    assert!(begin(&db, 1, held).await.is_none());
    assert!(end_hold(&db, held, Some(user)).await.unwrap().is_none());
    close_attempt(&db, held, Uuid::now_v7(), Card::Declined)
        .await
        .unwrap();
    assert!(begin(&db, 1, held).await.is_none());
    close_attempt(&db, held, first, Card::Declined)
        .await
        .unwrap();
    for _ in 0..4 {
        let attempt = Uuid::now_v7();
        let again = begin_attempt(&db, user, held, attempt, None).await.unwrap();
        assert_eq!(again.unwrap().hold_until.unwrap(), until);
        close_attempt(&db, held, attempt, Card::Declined)
            .await
            .unwrap();
    }
    // Five cards were tried.
    assert!(begin(&db, 1, held).await.is_none());
    assert_eq!(left(&database).await, 4);
    assert!(confirm(&db, held, false).await.unwrap().is_some());
    assert_eq!(left(&database).await, 4);
    assert!(take(&db, 1, 1, true).await.is_ok());
    assert!(give_back(&db, user, held).await.unwrap().is_some());
    assert_eq!(left(&database).await, 4);
}

#[tokio::test]
async fn an_attempt_whose_card_was_not_tried_does_not_count() {
    let (database, db) = gala(None).await;
    let held = take(&db, 1, 1, true).await.unwrap().booking_id;
    for _ in 0..7 {
        let attempt = Uuid::now_v7();
        let begun = begin_attempt(&db, UserId::from(1), held, attempt, None).await;
        assert!(begun.unwrap().is_some());
        for _ in 0..2 {
            let closing = close_attempt(&db, held, attempt, Card::NotTried);
            closing.await.unwrap();
        }
    }
    assert_eq!(database.count("select attempt::int8 from booking").await, 0);
}

#[tokio::test]
async fn a_reservation_that_was_not_heard_of_takes_back_no_hold() {
    let (database, db) = gala(None).await;
    let held = take(&db, 1, 1, true).await.unwrap().booking_id;
    undo_reserve(&db, held).await.unwrap();
    assert_eq!(left(&database).await, 4);
    // Its buyer found it, and pays.
    assert!(begin(&db, 1, held).await.is_some());
    undo_reserve(&db, held).await.unwrap();
    assert!(confirm(&db, held, true).await.unwrap().is_some());
    assert_eq!(left(&database).await, 4);
}

#[tokio::test]
async fn a_hold_is_paid_or_expires_never_both() {
    let (database, db) = gala(None).await;
    let (payer, sweeper) = (database.process(), database.process());
    let mut paid = 0;
    for _ in 0..40 {
        let held = take(&db, 1, 1, true).await.unwrap().booking_id;
        // Over in a moment.
        database
            .execute(
                "update booking set hold_until = now() + interval '3 ms' where status = 'HELD'"
                    .to_owned(),
            )
            .await;
        let sweep = async {
            for _ in 0..20 {
                if expire(&sweeper, held).await.unwrap() {
                    return true;
                }
            }
            false
        };
        let (begun, expired) = join(begin(&payer, 1, held), sweep).await;
        assert!(begun.is_none() || !expired);
        paid += i32::from(begun.is_some());
        release(&db, held, Status::Expired).await.unwrap();
        expire(&db, held).await.unwrap();
        let _ = end_hold(&db, held, Some(UserId::from(1))).await.unwrap();
        assert_eq!(left(&database).await, 5);
    }
    println!("{paid} of 40 were paid");
}

#[tokio::test]
async fn a_person_has_no_more_tickets_than_the_event_allows() {
    let (database, db) = gala(Some(3)).await;
    let refused = |outcome: Result<Booking, ReserveError>| match outcome {
        Err(ReserveError::PurchaseLimit { most, have }) => (most, have),
        other => panic!("{other:?}"),
    };
    assert_eq!(refused(take(&db, 1, 4, false).await), (3, 0));
    let first = take(&db, 1, 2, false).await.unwrap().booking_id;
    assert_eq!(refused(take(&db, 1, 2, false).await), (3, 2));
    assert_eq!(refused(take(&db, 1, 2, true).await), (3, 2));
    assert_eq!(left(&database).await, 3);
    assert!(take(&db, 2, 3, false).await.is_ok());
    assert_eq!(left(&database).await, 0);
    confirm(&db, first, true).await.unwrap();
    give_back(&db, UserId::from(1), first)
        .await
        .unwrap()
        .unwrap();
    let undone = take(&db, 1, 2, false).await.unwrap().booking_id;
    undo_reserve(&db, undone).await.unwrap();
    assert_eq!(left(&database).await, 2);
    let crowd = (0..6).map(|_| {
        let db = database.process();
        async move { take(&db, 1, 1, false).await }
    });
    let had = join_all(crowd).await.into_iter().flatten().count();
    assert_eq!(had, 2, "two are left");
    assert_eq!(left(&database).await, 0);
}

#[tokio::test]
async fn a_limit_that_changes_holds_for_who_has_tickets_already() {
    let (database, db) = gala(None).await;
    let limit = async |statement| super::baskets::execute(&database, statement).await;
    let refused = async |user| match take(&db, user, 1, false).await {
        Err(ReserveError::PurchaseLimit { most, have }) => (most, have),
        other => panic!("{other:?}"),
    };
    let held = take(&db, 1, 2, true).await.unwrap().booking_id;
    limit("update event set max_per_user = 2").await;
    assert_eq!(refused(1).await, (2, 2));
    limit("update event set max_per_user = 3").await;
    take(&db, 1, 1, false).await.unwrap();
    limit("update event set max_per_user = 1").await;
    assert_eq!(refused(1).await, (1, 3));
    // Above the limit by now, what they have can still be given back.
    let user = UserId::from(1);
    end_hold(&db, held, Some(user)).await.unwrap();
    assert_eq!(left(&database).await, 4);
    assert_eq!(refused(1).await, (1, 1));
}

#[tokio::test]
async fn a_repeated_hold_is_the_same_hold_also_when_it_is_the_only_one_allowed() {
    let (database, _) = gala(Some(2)).await;
    let key = IdempotentRequest {
        key: IdempotencyKey::parse(b"k").unwrap(),
        hash: RequestHash::of(b"body"),
    };
    let repeats = (0..6).map(|_| {
        let (db, key) = (database.process(), key.clone());
        async move { reserve(&db, SWEEP_AFTER, &wants(1, 2, true), Some(&key)).await }
    });
    let outcomes = join_all(repeats).await;
    let mut new = 0;
    for outcome in outcomes {
        match outcome.unwrap() {
            Reservation::New(_) => new += 1,
            Reservation::Replay(stored) => assert_eq!(stored.answer, Some(Status::Held)),
        }
    }
    assert_eq!(new, 1);
    assert_eq!(left(&database).await, 3);
}

#[tokio::test]
async fn holds_whose_time_is_over_keep_no_tickets_however_many_they_are() {
    let database = Database::migrated().await;
    database.add_gala(45, 45).await;
    let open =
        "update event set available = 0, max_tickets_per_booking = 45; update stock set free = 45";
    database.execute(open.to_owned()).await;
    let db = database.process();
    for user in 1..=45 {
        take(&db, user, 1, true).await.unwrap();
    }
    assert_eq!(left(&database).await, 0);
    let_time_pass(&database).await;
    take(&db, 99, 45, false).await.unwrap();
    assert_eq!(left(&database).await, 0);
}

/// A request to pay with this key and body.
fn keyed(key: &str, body: &[u8]) -> IdempotentRequest {
    IdempotentRequest {
        key: IdempotencyKey::parse(key.as_bytes()).unwrap(),
        hash: RequestHash::of(body),
    }
}

#[tokio::test]
async fn a_repeated_payment_is_told_what_was_said_and_tries_no_card_again() {
    let (database, db) = gala(None).await;
    let held = take(&db, 1, 1, true).await.unwrap().booking_id;
    let user = UserId::from(1);
    let one = keyed("one", b"visa");
    let before = async |key: &IdempotentRequest| paid_before(&db, user, held, key).await;
    assert!(before(&one).await.unwrap().is_none());
    let first = Uuid::now_v7();
    for _ in 0..2 {
        // Sent again, as its answer was lost.
        let begun = begin_attempt(&db, user, held, first, Some(&one)).await;
        assert!(begun.unwrap().is_some());
    }
    assert!(matches!(
        before(&one).await,
        Err(PayHoldError::RequestInProgress)
    ));
    let other = keyed("one", b"amex");
    assert!(matches!(before(&other).await, Err(PayHoldError::KeyReused)));
    close_attempt(&db, held, first, Card::Declined)
        .await
        .unwrap();
    for _ in 0..2 {
        let told = before(&one).await.unwrap();
        assert!(
            matches!(told, Some(Err(PayHoldError::Declined { .. }))),
            "{told:?}"
        );
    }
    // A twin that looked before the first was answered.
    let twin = begin_attempt(&db, user, held, Uuid::now_v7(), Some(&one)).await;
    assert!(db::violates(&twin.unwrap_err(), "request_pkey"));
    assert_eq!(database.count("select attempt::int8 from booking").await, 1);
    // A request may be repeated if its attempt ended without a known outcome, tried no card, or left the bank asking.
    let two = keyed("two", b"visa");
    for card in [None, Some(Card::NotTried), Some(Card::Asked)] {
        let attempt = Uuid::now_v7();
        let begun = begin_attempt(&db, user, held, attempt, Some(&two)).await;
        assert!(begun.unwrap().is_some());
        match card {
            Some(card) => close_attempt(&db, held, attempt, card).await.unwrap(),
            None => {
                assert!(matches!(
                    before(&two).await,
                    Err(PayHoldError::RequestInProgress)
                ));
                record_pending(&db, attempt).await.unwrap();
                assert!(matches!(
                    before(&two).await,
                    Ok(Some(Ok(HoldPaid::Pending(_))))
                ));
                let over = "update booking set attempt_until = now() - interval '1 second'";
                database.execute(over.to_owned()).await;
            }
        }
        assert!(before(&two).await.unwrap().is_none());
    }
    let paying = begin_attempt(&db, user, held, Uuid::now_v7(), Some(&two)).await;
    assert!(paying.unwrap().is_some());
    confirm(&db, held, true).await.unwrap();
    give_back(&db, user, held).await.unwrap();
    for _ in 0..2 {
        match before(&two).await.unwrap() {
            Some(Ok(HoldPaid::Confirmed(booking))) => assert_eq!(booking.status, Status::Confirmed),
            told => panic!("{told:?}"),
        }
    }
    assert_eq!(database.count(WRONG).await, 0);
}

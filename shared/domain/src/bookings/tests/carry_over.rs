//! The migrations to `job`, `request`, `stock` and `ticket` run while a release before them all sells. Whatever it writes
//! before, during or after them ends up in the new tables as if the new release had written it.

use std::cell::Cell;
use std::time::Duration;

use sqlx::AssertSqlSafe;
use sqlx::postgres::PgConnection;

use crate::bookings::confirm::record_accepted;
use crate::bookings::reserve::{Reservation, reserve};
use crate::bookings::{BookingRequest, Status};
use crate::testing::{AVAILABLE, Database, migrations};
use values::idempotency::{IdempotencyKey, IdempotentRequest, RequestHash};
use values::ids::UserId;
use values::tickets::Tickets;

/// The statements of that release, for a booking `$1` of user `$2` with the key `$3`.
const RESERVE: &str = "
    with taken as (
        update event set available = available - 1
         where event_id = 'gala' and available >= 1
           and not exists (select from booking where user_id = $2 and idempotency_key = $3)
        returning event_id, price_minor, currency
    )
    insert into booking as b (booking_id, user_id, event_id, tickets, amount_minor, currency,
                              status, idempotency_key, request_hash)
    select $1, $2, event_id, 1, price_minor, currency, 'PENDING', $3, case when $3 is not null then 'hash' end
      from taken";
const ACCEPT: &str =
    "update booking set first_answer = 202 where booking_id = $1 and status = 'PENDING'";
const CONFIRM: &str = "
    update booking set status = 'CONFIRMED', updated_at = now(), payment_id = booking_id,
                       announced_at = case when $2 % 2 = 0 then now() end, first_answer = 201
     where booking_id = $1 and status = 'PENDING'";
const RELEASE: &str = "
    with held as materialized (
        select event_id, available from event where event_id = 'gala' for no key update
    ), released as (
        update booking b set status = 'REJECTED', payment_id = b.booking_id, updated_at = now(), first_answer = 402
          from held
         where b.booking_id = $1 and b.status = 'PENDING' and b.event_id = held.event_id
        returning b.*
    )
    update event e set available = held.available + released.tickets
      from held join released using (event_id) where e.event_id = held.event_id";
const CANCEL: &str = "
    with held as materialized (
        select event_id, available from event where event_id = 'gala' for no key update
    ), cancelled as (
        update booking b set status = 'CANCELLED', updated_at = now(), attempts = 0, next_attempt_at = null,
                             refund_due_at = now()
          from held
         where b.booking_id = $1 and b.status = 'CONFIRMED' and b.event_id = held.event_id
        returning b.*
    )
    update event e set available = held.available + cancelled.tickets
      from held join cancelled using (event_id) where e.event_id = held.event_id";
const REFUNDED: &str =
    "update booking set refunded_at = now() where booking_id = $1 and refunded_at is null";
const ANNOUNCED: &str =
    "update booking set announced_at = now() where booking_id = $1 and announced_at is null";
const UNRESERVE: &str = "
    with held as materialized (
        select event_id, available from event where event_id = 'gala' for no key update
    ), unreserved as (
        delete from booking b using held
         where b.booking_id = $1 and b.status = 'PENDING' and b.event_id = held.event_id
        returning b.event_id, b.tickets
    )
    update event e set available = held.available + unreserved.tickets
      from held join unreserved using (event_id) where e.event_id = held.event_id";

/// What that release does with a booking.
const LIVES: [&[&str]; 9] = [
    &[RESERVE],
    &[RESERVE, ACCEPT],
    &[RESERVE, CONFIRM],
    &[RESERVE, ACCEPT, CONFIRM, ANNOUNCED],
    &[RESERVE, RELEASE],
    &[RESERVE, ACCEPT, RELEASE],
    &[RESERVE, CONFIRM, CANCEL],
    &[RESERVE, CONFIRM, CANCEL, REFUNDED],
    &[RESERVE, UNRESERVE],
];

/// Each returns the bookings whose rows in the new tables are not what they should be.
const AUDITS: [(&str, &str); 11] = [
    (
        "an event has one default type, at its price, that takes one of its root",
        "select count(*) from event e
          where 1 <> (select count(*) from ticket_type t
                       where t.event_id = e.event_id and is_default and t.price_minor = e.price_minor
                         and 1 = (select sum(units) from ticket_type_quota join quota using (quota_id)
                                   where ticket_type_id = t.ticket_type_id and kind = 'ROOT'))",
    ),
    (
        "each ticket is left, or held by a booking that has not ended",
        "select capacity - available - (select coalesce(sum(free), 0) from stock)
                - (select sum(units) from booking, unnest(took_units) as units)
           from event",
    ),
    (
        "a booking holds its tickets until it has ended",
        "select count(*) from booking
          where (status in ('PENDING', 'CONFIRMED')) is distinct from (coalesce(took_units[1], 0) = tickets)",
    ),
    (
        "what a booking holds is of its event's root",
        "select count(*) from booking join quota using (event_id)
          where cardinality(took_units) > 0 and took_quota is distinct from array[quota_id]",
    ),
    (
        "pending is to be settled, and nothing else",
        "select count(*) from booking full join (select * from job where kind = 'SETTLE' and done_at is null) j
             on key = booking_id::text
          where (coalesce(status, '') = 'PENDING') <> (key is not null)",
    ),
    (
        "confirmed and not announced is to be announced, and nothing else",
        "select count(*) from booking full join (select * from job where kind = 'ANNOUNCE' and done_at is null) j
             on key = booking_id || '.confirmed'
          where (coalesce(status, '') = 'CONFIRMED' and announced_at is null) <> (key is not null)
            and coalesce(status, '') <> 'CANCELLED'",
    ),
    (
        "due and not refunded is to be refunded, and nothing else",
        "select count(*) from booking full join (select * from job where kind = 'REFUND' and done_at is null) j
             on key = booking_id::text
          where (refund_due_at is not null and refunded_at is null) <> (key is not null)",
    ),
    (
        "a booking that was paid has its tickets, valid until it is cancelled, and nothing else has",
        "select count(*) from booking full join ticket t using (booking_id)
          where (coalesce(booking.status, '') in ('CONFIRMED', 'CANCELLED')) <> (number is not null)
             or (number, unit, unit_minor, holder_user_id) is distinct from (1, 1, amount_minor, user_id) and number is not null
             or (t.status = 'CANCELLED') <> (booking.status = 'CANCELLED')",
    ),
    (
        "a cancelled booking owes its amount, done when it was refunded, and nothing else does",
        "select count(*) from booking full join refund r using (booking_id)
          where (coalesce(status, '') = 'CANCELLED') <> (refund_id is not null)
             or refund_owed_minor <> coalesce(r.amount_minor, 0)
             or r.amount_minor <> booking.amount_minor or r.done_at is distinct from refunded_at",
    ),
    (
        "a key has its request, and nothing else",
        "select count(*) from booking b full join request r on r.resource_id = b.booking_id
          where b.idempotency_key is distinct from r.idempotency_key or r.request_hash <> 'hash'
             or r.caller <> 'user:' || b.user_id",
    ),
    (
        "a request was told what the booking says",
        "select count(*) from booking b join request r on r.resource_id = b.booking_id
          where r.answer is distinct from
                case when status = 'PENDING' and first_answer is null then null
                     when status = 'CANCELLED' then 'CONFIRMED' else status end",
    ),
];

fn uuid(number: i64) -> String {
    format!("00000000-0000-4000-8000-{number:012}")
}

/// A statement about booking `number` of the user with this number. Every third has no key.
fn about(statement: &str, number: i64) -> AssertSqlSafe<String> {
    let key = if number % 3 == 0 {
        "null".to_owned()
    } else {
        format!("'key {number}'")
    };
    let sql = statement.replace("$1", &format!("'{}'::uuid", uuid(number)));
    AssertSqlSafe(sql.replace("$2", &number.to_string()).replace("$3", &key))
}

async fn live(old: &mut PgConnection, number: i64) {
    for statement in LIVES[usize::try_from(number).unwrap() % LIVES.len()] {
        let statement = about(statement, number);
        sqlx::raw_sql(statement).execute(&mut *old).await.unwrap();
    }
}

#[tokio::test]
async fn what_the_release_before_writes_is_carried_over_while_it_sells() {
    let database = Database::empty().await;
    let mut owner = database.connect().await;
    let (before, now): (Vec<_>, Vec<_>) = migrations("bookings")
        .into_iter()
        .partition(|(name, _)| name.as_str() < "0008");
    for (_, sql) in before {
        sqlx::raw_sql(AssertSqlSafe(sql))
            .execute(&mut owner)
            .await
            .unwrap();
    }
    database.add_gala(100_000, 100_000).await;
    let mut old = database.connect().await;
    for number in 0..1200 {
        live(&mut old, number).await;
    }
    let migrated = Cell::new(false);
    let migrate = async {
        for (_, sql) in now {
            sqlx::raw_sql(AssertSqlSafe(sql))
                .execute(&mut owner)
                .await
                .unwrap();
        }
        migrated.set(true);
    };
    let sell = async {
        let mut number = 1200;
        while !migrated.get() || number < 1800 {
            live(&mut old, number).await;
            number += 1;
        }
        // Bookings from before the migration move on: the old release confirms them.
        for number in 0..1200 {
            if number % 9 < 2 {
                sqlx::raw_sql(about(CONFIRM, number))
                    .execute(&mut old)
                    .await
                    .unwrap();
            }
        }
        number
    };
    let ((), sold) = tokio::join!(migrate, sell);
    println!("{sold} bookings by the release before");
    for (what, audit) in AUDITS {
        assert_eq!(database.count(audit).await, 0, "{what}");
    }
    the_two_releases_share_keys(&database, &mut old).await;
}

/// A booking that the new release made is settled by the old one, and the other way round.
async fn the_two_releases_share_keys(database: &Database, old: &mut PgConnection) {
    let db = database.process();
    let request = |user| BookingRequest {
        user_id: UserId::from(user),
        event_id: "gala".parse().unwrap(),
        tickets: Some(Tickets::ONE),
        items: Vec::new(),
        payment_method: None,
        hold: None,
        promo_code: None,
        expected_amount: None,
        contact: Default::default(),
    };
    let key = |key: &str| IdempotentRequest {
        key: IdempotencyKey::parse(key.as_bytes()).unwrap(),
        hash: RequestHash::of(b"body"),
    };
    let reserve = async |user, name: &str| {
        reserve(
            &db,
            Duration::from_secs(60),
            &request(user),
            Some(&key(name)),
        )
        .await
        .unwrap()
    };
    // Rejected by the release before.
    match reserve(1201, "key 1201").await {
        Reservation::Replay(stored) => assert_eq!(stored.answer, Some(Status::Rejected)),
        Reservation::New(booking) => panic!("sold twice: {booking:?}"),
    }
    let Reservation::New(new) = reserve(7, "new").await else {
        panic!("the key is new")
    };
    record_accepted(&db, new.booking_id, None).await.unwrap();
    let uuid_of_new = format!(
        "'{}'::uuid",
        new.booking_id.to_string().trim_start_matches("bk_")
    );
    let settle = CONFIRM.replace("$1", &uuid_of_new).replace("$2", "1");
    sqlx::raw_sql(AssertSqlSafe(settle))
        .execute(&mut *old)
        .await
        .unwrap();
    match reserve(7, "new").await {
        Reservation::Replay(stored) => assert_eq!(stored.answer, Some(Status::Confirmed)),
        Reservation::New(booking) => panic!("sold twice: {booking:?}"),
    }
    // The old release forgets a key: it is free in the new one too.
    let forget =
        "update booking set idempotency_key = null, request_hash = null where user_id = 1201";
    sqlx::raw_sql(forget).execute(&mut *old).await.unwrap();
    assert!(matches!(
        reserve(1201, "key 1201").await,
        Reservation::New(_)
    ));
    // Move a ticket to where the old release looks, so that only the key can refuse its sale.
    sqlx::raw_sql(
        "update stock set free = free - 1 where shard = 0; update event set available = 1",
    )
    .execute(&mut *old)
    .await
    .unwrap();
    let left = database.count(AVAILABLE).await;
    let again = RESERVE.replace("$2", "7").replace("$3", "'new'");
    let refused = sqlx::raw_sql(about(&again, 999_999))
        .execute(old)
        .await
        .unwrap_err();
    // The error code tells callers to repeat the statement.
    let code = refused.as_database_error().and_then(|error| error.code());
    assert_eq!(code.as_deref(), Some("40001"));
    assert_eq!(database.count(AVAILABLE).await, left);
}

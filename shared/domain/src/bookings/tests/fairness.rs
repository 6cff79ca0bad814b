//! Jobs that hang, and rows that are locked for good, don't keep the others from their turn.

use std::time::{Duration, SystemTime};

use futures_util::future::join_all;
use sqlx::Connection;
use sqlx::postgres::PgConnection;
use strum::VariantArray;
use tokio::time::sleep;

use crate::bookings::Status;
use crate::bookings::cancel::mark_refunded;
use crate::bookings::expire::expire;
use crate::bookings::reserve::release;
use crate::jobs::{self, Job, Kind, Worker};
use crate::testing::Database;
use runtime::calls;
use stores::db::Db;
use values::ids::BookingId;

/// Of each kind: the first 50 hang, the next one is locked, the others are healthy.
const JOBS: i32 = 1051;
const HANG: usize = 50;
const LOCKED: usize = 51;

/// A tenth of the real times: of how long a job may hang, and of how long a sweep has for its jobs. The lock timeout
/// is a tenth of the real one too.
const HANG_TIME: Duration = Duration::from_secs(1);
const SWEEP_TIME: Duration = Duration::from_secs(10);

/// As many sweeps as all healthy jobs may need, on a machine that is busy otherwise: an idle one needs four.
const SWEEPS: usize = 20;

const LEFT: &str =
    "select count(*) from job where done_at is null and right(substr(key, 1, 36), 6)::int > 51";

#[tokio::test]
async fn a_thousand_healthy_jobs_of_each_kind_are_done_while_fifty_hang_and_one_row_is_locked() {
    let database = Database::migrated().await;
    database.set("lock_timeout", "300ms").await;
    let mut owner = database.connect().await;
    database.add_gala(10_000, 1).await;
    fill(&mut owner).await;
    let mut locker = database.connect().await;
    lock(&mut locker).await;
    let db = database.process();
    let teams: Vec<_> = Kind::VARIANTS.iter().copied().map(Worker::team).collect();
    for sweep in 1..=SWEEPS {
        let worked = join_all(teams.iter().map(|team| {
            let claim = |worker: &Worker| jobs::claim(&db, *worker);
            jobs::work(team, claim, |job| perform(&db, job))
        }));
        let worked = calls::until(SystemTime::now() + SWEEP_TIME, worked).await;
        worked.into_iter().for_each(|outcome| outcome.unwrap());
        let left = database.count(LEFT).await;
        println!("after sweep {sweep}, {left} healthy jobs are left");
        if left == 0 {
            break;
        }
    }
    assert_eq!(database.count(LEFT).await, 0);
    let open = database
        .count("select count(*) from job where done_at is null")
        .await;
    assert_eq!(
        open,
        4 * 51,
        "what hangs or is locked is not done, and not given up"
    );
    locker.close().await.unwrap();
}

/// The number in a booking's id.
fn number(key: &str) -> usize {
    key[30..36].parse().unwrap()
}

async fn perform(db: &Db, job: Job) {
    let Job { kind, key, .. } = job;
    if number(&key) <= HANG {
        return sleep(HANG_TIME).await;
    }
    let booking_id = BookingId::of_uuid(&key[..36]).unwrap();
    let locked = match kind {
        Kind::Settle => release(db, booking_id, Status::Expired).await.is_err(),
        Kind::Expire => expire(db, booking_id).await.is_err(),
        Kind::Refund => mark_refunded(db, booking_id).await.is_err(),
        Kind::Announce => jobs::finish(db, kind, &key).await.is_err(),
    };
    assert_eq!(locked, number(&key) == LOCKED, "{kind} {key}");
}

/// Makes the event's bookings with their jobs, those that hang oldest.
async fn fill(owner: &mut PgConnection) {
    let kinds = [Kind::Settle, Kind::Announce, Kind::Refund, Kind::Expire];
    for (digit, kind) in (1..).zip(kinds) {
        let (status, suffix) = match kind {
            Kind::Expire => ("HELD", ""),
            Kind::Settle => ("PENDING", ""),
            Kind::Announce => ("CONFIRMED", ".confirmed"),
            Kind::Refund => ("CANCELLED", ""),
        };
        sqlx::query(
            "insert into booking (booking_id, user_id, event_id, tickets, amount_minor, currency, status,
                                  payment_id, refund_due_at, hold_until)
             select format('%s0000000-0000-0000-0000-%s', $1, lpad(n::text, 12, '0'))::uuid, n, 'gala', 1, 1000,
                    'USD', $2, gen_random_uuid(), case when $2 = 'CANCELLED' then now() end,
                    case when $2 = 'HELD' then now() end
               from generate_series(1, $3) n",
        )
        .bind(digit)
        .bind(status)
        .bind(JOBS)
        .execute(&mut *owner)
        .await
        .unwrap();
        sqlx::query("delete from job where key like $1 || '%'")
            .bind(digit.to_string())
            .execute(&mut *owner)
            .await
            .unwrap();
        sqlx::query(
            "insert into job (kind, key, next_attempt_at)
             select $1, booking_id || $2, now() - interval '1 hour' + user_id * interval '1 second'
               from booking where status = $3",
        )
        .bind(kind.as_ref())
        .bind(suffix)
        .bind(status)
        .execute(&mut *owner)
        .await
        .unwrap();
    }
}

/// Locks a row of each kind for as long as the connection is open.
async fn lock(locker: &mut PgConnection) {
    sqlx::raw_sql(
        "set idle_in_transaction_session_timeout = 0;
         begin;
         select from booking where user_id = 51 and status <> 'CONFIRMED' for update;
         select from job where kind = 'ANNOUNCE' and key like '%000051.confirmed' for update",
    )
    .execute(locker)
    .await
    .unwrap();
}

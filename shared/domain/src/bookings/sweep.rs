//! The sweep: works off the jobs that nobody finished, and forgets what is old.

use std::sync::Mutex;

use futures_util::future::join_all;
use strum::VariantArray;
use tracing::Instrument;

use super::cancel::refund;
use super::confirm::mark_announced;
use super::expire::expire;
use super::hold::look_again;
use super::settle::settle;
use super::{BoxOffice, GetBookingError, read};
use crate::jobs::{self, FORGET_BATCH, Job, Kind, Worker, in_batches};
use runtime::Error;
use runtime::faults::FailPoint;
use runtime::telemetry;
use stores::db::Db;
use values::idempotency;
use values::ids::{BookingId, PaymentId};
use values::time;

/// What a sweep did.
#[derive(Debug, Default, serde::Serialize)]
pub struct Swept {
    pub settled: usize,
    /// Holds whose time was over.
    pub expired: usize,
    pub announced: usize,
    pub refunded: usize,
    /// Idempotency keys that were old enough to be forgotten.
    pub forgotten: u64,
    /// Tried, and left for another sweep.
    pub failed: usize,
}

/// Does the jobs that are due, then deletes old keys and jobs. Before that, it reports as metrics how long the oldest
/// job of each kind has been due.
///
/// # Errors
/// The last error of a stage. The other stages were tried too.
pub async fn sweep(office: &BoxOffice) -> Result<Swept, Error> {
    let db = &office.db;
    let swept = Mutex::new(Swept::default());
    let measured = jobs::backlog(db)
        .await
        .map(|metrics| telemetry::measure(&office.stack, &metrics));
    let teams = Kind::VARIANTS.iter().copied().map(Worker::team);
    let teams: Vec<_> = teams.collect();
    // All kinds at once: each has all of the time, and none waits for another's charges or announcements.
    let worked = join_all(teams.iter().map(|team| {
        let claim = |worker: &Worker| jobs::claim(db, *worker);
        jobs::work(team, claim, |job| count(office, job, &swept))
    }))
    .await;
    let worked = worked.into_iter().collect::<Result<(), _>>();
    let forgotten = forget_keys(db).await;
    let mut swept = swept.into_inner().unwrap_or_default();
    swept.forgotten = *forgotten.as_ref().unwrap_or(&0);
    let mut outcome = Ok(swept);
    let stages = [
        measured.map_err(Error::from),
        worked.map_err(Error::from),
        forgotten.map(drop).map_err(Error::from),
        jobs::forget_done(db).await.map(drop).map_err(Error::from),
    ];
    for stage in stages {
        if let Err(error) = stage {
            tracing::error!(
                error = telemetry::chain(error.as_ref()),
                "sweep stage failed"
            );
            outcome = Err(error);
        }
    }
    outcome
}

/// Does a job and counts it. One that fails is due again later.
async fn count(office: &BoxOffice, job: Job, swept: &Mutex<Swept>) {
    let Job {
        kind,
        key,
        attempts,
    } = &job;
    let outcome = async {
        let done = perform(office, *kind, key).await;
        if let Err(error) = &done {
            let error = telemetry::chain(error.as_ref());
            tracing::error!(%kind, key, attempts, error, "job failed; it is tried again");
        }
        done
    };
    let outcome = outcome.instrument(telemetry::part_span()).await;
    let Ok(mut swept) = swept.lock() else { return };
    let counted = match (outcome, kind) {
        (Err(_), _) => &mut swept.failed,
        (Ok(()), Kind::Settle) => &mut swept.settled,
        (Ok(()), Kind::Expire) => &mut swept.expired,
        (Ok(()), Kind::Announce) => &mut swept.announced,
        (Ok(()), Kind::Refund) => &mut swept.refunded,
    };
    *counted += 1;
}

async fn perform(office: &BoxOffice, kind: Kind, key: &str) -> Result<(), Error> {
    let booking_id = BookingId::of_uuid(key.trim_end_matches(".confirmed"))?;
    telemetry::note("booking_id", booking_id);
    match kind {
        Kind::Settle => {
            if settle(office, booking_id).await? {
                return Ok(look_again(&office.db, booking_id).await?);
            }
            // That ended the job too, unless the booking was settled already.
            Ok(jobs::finish(&office.db, kind, key).await?)
        }
        Kind::Expire => {
            // Expiring ends the job too. If somebody paid or released the hold instead, that ended the job.
            expire(&office.db, booking_id).await?;
            Ok(())
        }
        Kind::Announce => {
            let booking = read::by_id(&office.db, booking_id).await?;
            let booking = booking.ok_or(GetBookingError::NotFound)?;
            telemetry::note("event_id", &booking.event_id);
            office.publish(&booking).await?;
            Ok(mark_announced(&office.db, booking_id).await?)
        }
        Kind::Refund => {
            let payment_id = PaymentId::of_booking(booking_id);
            Ok(refund(&office.db, &office.payments, booking_id, payment_id).await?)
        }
    }
}

/// Forgets idempotency keys that are older than their retention, as many as there is time for; how many.
async fn forget_keys(db: &Db) -> Result<u64, sqlx::Error> {
    let before = time::ago(idempotency::RETENTION);
    in_batches(FORGET_BATCH, async || {
        let forgotten = sqlx::query!(
            r#"
            delete from request
             where (caller, route, idempotency_key) in (
                 select caller, route, idempotency_key from request
                  where created_at < $1
                  order by created_at
                  limit $2
                    for update skip locked)
            "#,
            before,
            FORGET_BATCH,
        )
        .execute(db.idempotent(FailPoint("ForgetKeys")))
        .await?;
        Ok(forgotten.rows_affected())
    })
    .await
}

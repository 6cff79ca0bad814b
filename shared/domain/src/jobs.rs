//! Background work: the rows of `job`, and the loop that does them.
//!
//! The statement that makes work necessary also writes its job, and the statement that finishes the work marks the
//! job as done. So the list is complete, and anyone may try a job at any time, more than once.
//!
//! To claim a job is to postpone it, before its work begins. The pauses double, up to an hour, and the most overdue
//! job comes first. So a job that always fails or hangs soon falls behind all others, and the job of a worker that
//! dies is tried again.

use std::iter;
use std::time::Duration;

use futures_util::future::join_all;
use strum::{AsRefStr, Display, VariantArray};

use runtime::calls;
use runtime::faults::FailPoint;
use runtime::telemetry::Metric;
use stores::db::Db;

/// How many jobs of a kind run at once. One that hangs uses no processor.
pub(crate) const AT_ONCE: usize = 10;

/// The least time that the invocation must have left to begin a job: enough to finish it.
const ENOUGH_TIME: Duration = Duration::from_secs(5);

/// How long jobs that are done are kept, for those who look into what happened.
const DONE_RETENTION_DAYS: i32 = 7;

/// The most rows that one statement deletes.
pub(crate) const FORGET_BATCH: i64 = 1000;

/// What is to be done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, AsRefStr, Display, VariantArray)]
#[strum(serialize_all = "UPPERCASE")]
pub enum Kind {
    /// Find out what became of a payment, and end its booking accordingly.
    Settle,
    /// End a hold whose time is over.
    Expire,
    /// Hand a confirmation to the broker.
    Announce,
    /// Give money back.
    Refund,
}

impl Kind {
    /// The metric that says how long the oldest job of this kind has been due.
    fn age_metric(self) -> &'static str {
        match self {
            Self::Settle => "OldestUnsettledBooking",
            Self::Announce => "OldestUnannouncedBooking",
            Self::Expire => "OldestHoldOverdue",
            Self::Refund => "OldestRefundDue",
        }
    }
}

/// A job that somebody works on.
#[derive(Debug)]
pub struct Job {
    pub kind: Kind,
    /// What it is about: unique for its kind.
    pub key: String,
    /// How often it was tried, this time included.
    pub attempts: i32,
}

/// A worker for jobs of one kind. Half of the workers look for jobs that were never tried, the others for jobs that
/// failed before. Each takes the other sort if there is none of its own. So neither sort keeps the other waiting.
#[derive(Debug, Clone, Copy)]
pub struct Worker {
    kind: Kind,
    prefers_new: bool,
}

impl Worker {
    /// The workers of a kind.
    pub fn team(kind: Kind) -> Vec<Self> {
        let worker = |number| Self {
            kind,
            prefers_new: number % 2 == 0,
        };
        (0..AT_ONCE).map(worker).collect()
    }
}

/// Has a team do what is due, until nothing is left or only a quarter of the invocation's time remains. If the first
/// worker finds nothing, the others do not look.
///
/// # Errors
/// The list can't be read. Every job that was begun has run to its end.
pub async fn work<W, J, E, Claiming, Doing>(
    team: &[W],
    claim: impl Fn(&W) -> Claiming,
    run: impl Fn(J) -> Doing,
) -> Result<(), E>
where
    Claiming: Future<Output = Result<Option<J>, E>>,
    Doing: Future<Output = ()>,
{
    let (claim, run) = (&claim, &run);
    let keep = ENOUGH_TIME.max(calls::remaining() / 4);
    let Some((first, others)) = team.split_first() else {
        return Ok(());
    };
    let Some(job) = claim(first).await? else {
        return Ok(());
    };
    // One job at a time, so that none is claimed and then not begun.
    let go_on = |worker, mut next: Option<J>| async move {
        loop {
            if let Some(job) = next.take() {
                run(job).await;
            }
            if calls::remaining() <= keep {
                return Ok(());
            }
            next = claim(worker).await?;
            if next.is_none() {
                return Ok(());
            }
        }
    };
    let others = others.iter().map(|worker| go_on(worker, None));
    let all = iter::once(go_on(first, Some(job))).chain(others);
    join_all(all).await.into_iter().collect()
}

/// Claims the most overdue job, if one is due.
pub async fn claim(db: &Db, worker: Worker) -> Result<Option<Job>, sqlx::Error> {
    let Worker { kind, prefers_new } = worker;
    match claim_one(db, kind, prefers_new).await? {
        Some(job) => Ok(Some(job)),
        None => claim_one(db, kind, !prefers_new).await,
    }
}

async fn claim_one(db: &Db, kind: Kind, new: bool) -> Result<Option<Job>, sqlx::Error> {
    let claimed = sqlx::query!(
        r#"
        with due as (
            select job_id, attempts
              from job
             where kind = $1 and done_at is null and next_attempt_at <= now() and (attempts = 0) = $2
             order by next_attempt_at
             limit 1
               for no key update skip locked
        )
        update job
           set attempts = due.attempts + 1,
               next_attempt_at = now() + interval '1 second' * least(3600, 2 ^ least(due.attempts + 1, 12))
                                         * (0.75 + random() / 2)
          from due
         where job.job_id = due.job_id
        returning job.key, job.attempts
        "#,
        kind.as_ref(),
        new,
    )
    .fetch_optional(db.idempotent(FailPoint("ClaimJob")))
    .await?;
    Ok(claimed.map(|row| Job {
        kind,
        key: row.key,
        attempts: row.attempts,
    }))
}

/// Ends a job whose work turned out to be done.
pub async fn finish(db: &Db, kind: Kind, key: &str) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "update job set done_at = now() where kind = $1 and key = $2 and done_at is null",
        kind.as_ref(),
        key,
    )
    .execute(db.idempotent(FailPoint("FinishJob")))
    .await?;
    Ok(())
}

/// How long the oldest job of each kind has been due: what alarms watch.
pub async fn backlog(db: &Db) -> Result<Vec<Metric>, sqlx::Error> {
    let oldest = sqlx::query!(
        r#"
        select kind, extract(epoch from now() - min(due_at))::float8 as age
          from job
         where done_at is null and due_at <= now()
         group by kind
        "#
    )
    .fetch_all(db.idempotent(FailPoint("MeasureBacklog")))
    .await?;
    let metric = |kind: Kind| {
        let row = oldest.iter().find(|row| row.kind == kind.as_ref());
        Metric::seconds(kind.age_metric(), row.and_then(|row| row.age))
    };
    Ok(Kind::VARIANTS.iter().copied().map(metric).collect())
}

/// Forgets jobs that were done long ago, as many as there is time for.
pub async fn forget_done(db: &Db) -> Result<u64, sqlx::Error> {
    in_batches(FORGET_BATCH, async || {
        let forgotten = sqlx::query!(
            r#"
            delete from job
             where job_id in (
                 select job_id from job
                  where done_at < now() - make_interval(days => $1)
                  order by done_at
                  limit $2
                    for update skip locked)
            "#,
            DONE_RETENTION_DAYS,
            FORGET_BATCH,
        )
        .execute(db.idempotent(FailPoint("ForgetJobs")))
        .await?;
        Ok(forgotten.rows_affected())
    })
    .await
}

/// Deletes in batches of `size` rows, until a batch is not full or the invocation has little time left. Returns how
/// many rows were deleted.
pub(crate) async fn in_batches<E>(
    size: i64,
    delete: impl AsyncFn() -> Result<u64, E>,
) -> Result<u64, E> {
    let mut deleted = 0;
    loop {
        let batch = delete().await?;
        deleted += batch;
        if batch < size.unsigned_abs() || calls::remaining() < ENOUGH_TIME {
            return Ok(deleted);
        }
    }
}

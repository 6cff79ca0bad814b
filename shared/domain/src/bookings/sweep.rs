//! The sweep: what nobody finished is found and finished, and what is old is forgotten.
//!
//! It works through each list in batches, for as long as its invocation has time; what is left
//! waits for the next. What fails is tried again after a pause that doubles, so that it neither
//! stands in the way of the rest nor hammers who is down.

use std::time::Duration;

use tracing::field::display;
use tracing::{Instrument, Span};

use super::cancel::refund;
use super::confirm::mark_announced;
use super::{Booking, BoxOffice, booking_rows, read};
use runtime::Error;
use runtime::calls;
use runtime::faults::FailPoint;
use runtime::telemetry::{self, Metric};
use values::idempotency;
use values::ids::BookingId;
use values::time::{self, Timestamp};

/// The rows that one statement of the sweep reads or changes, at most.
const BATCH_SIZE: i64 = 50;

/// One booking's work is begun while there is this much time left: enough to end it.
const ENOUGH_TIME: Duration = Duration::from_secs(5);

/// What a sweep did.
#[derive(Debug, Default, serde::Serialize)]
pub struct Swept {
    pub settled: usize,
    pub announced: usize,
    pub refunded: usize,
    /// Idempotency keys that were old enough to be forgotten.
    pub forgotten: u64,
    /// Tried, and left for another sweep.
    pub failed: usize,
}

impl BoxOffice {
    /// Takes up what nobody finished: confirmations that were not announced, refunds that are due,
    /// bookings that are pending for long, and payments that are pending for long. Then forgets
    /// idempotency keys that are old. Before all, it says in metrics how old the oldest work is.
    ///
    /// Each list has its share of the time, and what fails in one keeps no other from its turn.
    ///
    /// # Errors
    /// What failed last. The others were done.
    pub async fn sweep(&self) -> Result<Swept, Error> {
        let mut swept = Swept::default();
        let before = time::ago(self.sweep_after);
        let whole = calls::remaining();
        let measured = self.measure_backlog().await;
        let announced = self.announce_all(before, whole / 4 * 3, &mut swept).await;
        let refunded = self.refund_all(before, whole / 2, &mut swept).await;
        let settled = self
            .settle_all(before, ENOUGH_TIME.max(whole / 6), &mut swept)
            .await;
        let payments = self.payments.sweep().await.map_err(Error::from);
        let forgotten = self.forget_keys().await.map(|keys| swept.forgotten = keys);
        let mut outcome = Ok(swept);
        for stage in [measured, announced, refunded, settled, payments, forgotten] {
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

    async fn settle_all(
        &self,
        before: Timestamp,
        reserve: Duration,
        swept: &mut Swept,
    ) -> Result<(), Error> {
        loop {
            let batch = self.unsettled(before).await?;
            for booking in &batch {
                if calls::remaining() < reserve {
                    return Ok(());
                }
                let settling = async {
                    match self.settle(booking.booking_id).await {
                        Ok(()) => swept.settled += 1,
                        Err(error) => self.postpone(booking, error.as_ref(), swept).await?,
                    }
                    Ok::<_, Error>(())
                };
                settling.instrument(part_span(booking)).await?;
            }
            if batch.len() < BATCH_SIZE as usize {
                return Ok(());
            }
        }
    }

    async fn refund_all(
        &self,
        before: Timestamp,
        reserve: Duration,
        swept: &mut Swept,
    ) -> Result<(), Error> {
        loop {
            let batch = self.refunds_due(before).await?;
            for booking in &batch {
                if calls::remaining() < reserve {
                    return Ok(());
                }
                let Some(payment_id) = booking.payment_id else {
                    continue;
                };
                let refunding = async {
                    match refund(&self.db, &self.payments, booking.booking_id, payment_id).await {
                        Ok(()) => swept.refunded += 1,
                        Err(error) => self.postpone(booking, error.as_ref(), swept).await?,
                    }
                    Ok::<_, Error>(())
                };
                refunding.instrument(part_span(booking)).await?;
            }
            if batch.len() < BATCH_SIZE as usize {
                return Ok(());
            }
        }
    }

    async fn announce_all(
        &self,
        before: Timestamp,
        reserve: Duration,
        swept: &mut Swept,
    ) -> Result<(), Error> {
        loop {
            let batch = self.unannounced(before).await?;
            for booking in &batch {
                if calls::remaining() < reserve {
                    return Ok(());
                }
                let announcing = async {
                    let announced = self.announce(booking).await;
                    if announced {
                        mark_announced(&self.db, booking.booking_id).await?;
                    }
                    Ok::<_, Error>(announced)
                };
                if !announcing.instrument(part_span(booking)).await? {
                    // The broker is down for the others too.
                    swept.failed += 1;
                    return Ok(());
                }
                swept.announced += 1;
            }
            if batch.len() < BATCH_SIZE as usize {
                return Ok(());
            }
        }
    }

    /// Has a booking's settling or refund tried again later: after a pause of 2, 4, 8 … seconds, half
    /// a minute at most, so that all is settled within a minute of the last fault.
    async fn postpone(
        &self,
        booking: &Booking,
        error: &(dyn std::error::Error + 'static),
        swept: &mut Swept,
    ) -> Result<(), Error> {
        swept.failed += 1;
        tracing::error!(error = telemetry::chain(error), "left for another sweep");
        self.db
            .idempotent(FailPoint::Postpone, |connection| {
                let statement = sqlx::query!(
                    r#"
                    update booking
                       set attempts = attempts + 1,
                           next_attempt_at = now() + interval '1 second' * least(30, 2 << least(attempts, 4))
                     where booking_id = $1
                    "#,
                    booking.booking_id as BookingId,
                );
                Box::pin(statement.execute(connection))
            })
            .await?;
        Ok(())
    }

    async fn unsettled(&self, before: Timestamp) -> Result<Vec<Booking>, sqlx::Error> {
        let rows = self
            .db
            .idempotent(FailPoint::FindUnsettled, |connection| {
                let statement = booking_rows!(
                    "select",
                    r#"
                      from booking b
                     where status = 'PENDING' and created_at < $1
                       and (next_attempt_at is null or next_attempt_at <= now())
                     order by created_at
                     limit $2
                    "#,
                    before,
                    BATCH_SIZE,
                );
                Box::pin(statement.fetch_all(connection))
            })
            .await?;
        read::all(rows)
    }

    async fn refunds_due(&self, before: Timestamp) -> Result<Vec<Booking>, sqlx::Error> {
        let rows = self
            .db
            .idempotent(FailPoint::FindRefundsDue, |connection| {
                let statement = booking_rows!(
                    "select",
                    r#"
                      from booking b
                     where refund_due_at < $1 and refunded_at is null
                       and (next_attempt_at is null or next_attempt_at <= now())
                     order by refund_due_at
                     limit $2
                    "#,
                    before,
                    BATCH_SIZE,
                );
                Box::pin(statement.fetch_all(connection))
            })
            .await?;
        read::all(rows)
    }

    async fn unannounced(&self, before: Timestamp) -> Result<Vec<Booking>, sqlx::Error> {
        let rows = self
            .db
            .idempotent(FailPoint::FindUnannounced, |connection| {
                let statement = booking_rows!(
                    "select",
                    r#"
                      from booking b
                     where status = 'CONFIRMED' and announced_at is null and updated_at < $1
                     order by updated_at
                     limit $2
                    "#,
                    before,
                    BATCH_SIZE,
                );
                Box::pin(statement.fetch_all(connection))
            })
            .await?;
        read::all(rows)
    }

    /// Forgets idempotency keys that are older than their retention, a batch at most.
    async fn forget_keys(&self) -> Result<u64, Error> {
        let before = time::ago(idempotency::RETENTION);
        let forgotten = self
            .db
            .idempotent(FailPoint::ForgetKeys, |connection| {
                let statement = sqlx::query!(
                    r#"
                    update booking
                       set idempotency_key = null, request_hash = null
                     where booking_id in (
                         select booking_id from booking
                          where idempotency_key is not null and created_at < $1
                          order by created_at
                          limit $2
                            for update skip locked)
                    "#,
                    before,
                    BATCH_SIZE * 20,
                );
                Box::pin(statement.execute(connection))
            })
            .await?;
        Ok(forgotten.rows_affected())
    }

    /// Says how much work waits and how old the oldest is: what alarms watch.
    async fn measure_backlog(&self) -> Result<(), Error> {
        let backlog = self
            .db
            .idempotent(FailPoint::MeasureBacklog, |connection| {
                let statement = sqlx::query!(
                    r#"
                    select (select extract(epoch from now() - min(created_at)) from booking
                             where status = 'PENDING')::float8 as unsettled,
                           (select extract(epoch from now() - min(updated_at)) from booking
                             where status = 'CONFIRMED' and announced_at is null)::float8 as unannounced,
                           (select extract(epoch from now() - min(refund_due_at)) from booking
                             where refund_due_at is not null and refunded_at is null)::float8 as refund_due
                    "#
                );
                Box::pin(statement.fetch_one(connection))
            })
            .await?;
        telemetry::measure(
            &self.stack,
            &[
                Metric::seconds("OldestUnsettledBooking", backlog.unsettled),
                Metric::seconds("OldestUnannouncedBooking", backlog.unannounced),
                Metric::seconds("OldestRefundDue", backlog.refund_due),
            ],
        );
        Ok(())
    }
}

/// The span of what is done about one booking.
fn part_span(booking: &Booking) -> Span {
    let span = telemetry::part_span();
    span.record("booking_id", display(booking.booking_id));
    span.record("event_id", display(&booking.event_id));
    span
}

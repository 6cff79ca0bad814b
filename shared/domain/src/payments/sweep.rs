//! The sweep of payments that belong to no booking. A booking's payment is settled with its booking.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tracing::Instrument;

use super::Payments;
use super::charge::close;
use super::record::Record;
use crate::jobs::{self, in_batches};
use runtime::FromConfig;
use runtime::config::Config;
use runtime::telemetry;
use values::time;

/// The most payments whose keys are forgotten at once.
const BATCH_SIZE: i64 = 50;

/// What the sweep of payments needs.
#[derive(Debug)]
pub struct PaymentSweeper {
    payments: Payments,
    /// The age at which a pending payment is taken up.
    sweep_after: Duration,
}

impl FromConfig for PaymentSweeper {
    async fn from_config(config: &Config) -> Result<Self, runtime::Error> {
        Ok(Self {
            payments: Payments::from_config(config).await?,
            sweep_after: config.sweep_after,
        })
    }
}

/// What a sweep of payments did.
#[derive(Debug, Default, serde::Serialize)]
pub struct SweptPayments {
    pub settled: usize,
    /// Idempotency keys that were old enough to be forgotten.
    pub forgotten: u64,
    /// Tried, and left for another sweep.
    pub failed: usize,
}

/// Settles payments of no booking that are pending for long, then forgets idempotency keys that are old.
/// What could not be settled is tried again after a pause that doubles.
pub async fn sweep(sweeper: &PaymentSweeper) -> Result<SweptPayments, mongodb::error::Error> {
    let records = &sweeper.payments.records;
    let before = time::ago(sweeper.sweep_after);
    let (settled, failed) = (AtomicUsize::new(0), AtomicUsize::new(0));
    let settle = async |record| {
        let settling = settle_claimed(&sweeper.payments, record);
        let done = settling.instrument(telemetry::part_span()).await;
        let counted = if done { &settled } else { &failed };
        counted.fetch_add(1, Ordering::Relaxed);
    };
    let team = [(); jobs::AT_ONCE];
    jobs::work(&team, |()| records.claim_unsettled(before), settle).await?;
    let forgotten = in_batches(BATCH_SIZE, async || records.forget_keys(BATCH_SIZE).await).await?;
    Ok(SweptPayments {
        settled: settled.into_inner(),
        forgotten,
        failed: failed.into_inner(),
    })
}

/// Whether a payment that was claimed is settled now.
async fn settle_claimed(payments: &Payments, record: Record) -> bool {
    telemetry::note("payment_id", record.payment_id);
    let (key, attempts) = (record.payment_id, record.attempts + 1);
    let closed = close(payments, record).await;
    if let Err(error) = &closed {
        let error = telemetry::chain(error);
        tracing::error!(kind = "SETTLE", %key, attempts, error, "job failed; it is tried again");
    }
    closed.is_ok()
}

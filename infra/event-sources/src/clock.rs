//! The schedule: `settle-bookings`, every so often, with EventBridge's event.

use std::time::Duration;

use chrono::{SecondsFormat, Utc};
use serde_json::json;
use tokio::time::{MissedTickBehavior, interval};
use uuid::Uuid;

use crate::lambda::{Invoked, Lambda};

/// Invokes `settle-bookings` every `period`, for as long as the process lives.
pub async fn run(period: Duration, lambda: Lambda) {
    let mut ticks = interval(period);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        let event = json!({
            "version": "0",
            "id": Uuid::now_v7(),
            "detail-type": "Scheduled Event",
            "source": "aws.events",
            "account": "000000000000",
            "time": Utc::now().to_rfc3339_opts(SecondsFormat::Secs, true),
            "region": "us-east-1",
            "resources": ["arn:aws:events:us-east-1:000000000000:rule/settle-bookings"],
            "detail": {},
        });
        match lambda.invoke("settle-bookings", event.to_string()).await {
            Ok(Invoked::Answered(_)) => {}
            Ok(Invoked::Failed(error)) => {
                tracing::warn!(error = %String::from_utf8_lossy(&error), "the sweep failed; the next comes in its time");
            }
            Err(error) => {
                tracing::warn!(%error, "the sweep was not invoked; the next comes in its time")
            }
        }
    }
}

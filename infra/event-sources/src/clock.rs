//! The schedules: the sweeps every so often, the clean-up of notifications less often, with EventBridge's
//! event.

use std::time::Duration;

use chrono::{SecondsFormat, Utc};
use serde_json::json;
use tokio::time::{MissedTickBehavior, interval};
use uuid::Uuid;

use crate::lambda::{Invoked, Lambda};

/// The clean-up's period, in those of the sweep: an hour where the sweep comes every minute.
const CLEAN_UP_EVERY: u32 = 60;

/// Sweeps every `period`, for as long as the process lives.
pub async fn run(period: Duration, lambda: Lambda) {
    tokio::join!(
        invoke_every(period, "sweep-bookings", &lambda),
        invoke_every(period, "sweep-payments", &lambda),
        invoke_every(period * CLEAN_UP_EVERY, "forget-notifications", &lambda),
    );
}

async fn invoke_every(period: Duration, function: &str, lambda: &Lambda) {
    let mut ticks = interval(period);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        let event = json!({
            "version": "0",
            "id": Uuid::now_v7(),
            "detail-type": "Scheduled Event",
            "source": "aws.scheduler",
            "account": "000000000000",
            "time": Utc::now().to_rfc3339_opts(SecondsFormat::Secs, true),
            "region": "us-east-1",
            "resources": [format!("arn:aws:events:us-east-1:000000000000:rule/{function}")],
            "detail": {},
        });
        match lambda.invoke(function, event.to_string()).await {
            Ok(Invoked::Answered(_)) => {}
            Ok(Invoked::Failed(error)) => {
                tracing::warn!(function, error = %String::from_utf8_lossy(&error), "scheduled invocation failed");
            }
            Err(error) => {
                tracing::warn!(function, %error, "invocation not started")
            }
        }
    }
}

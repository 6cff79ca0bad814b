//! Logs: JSON lines on standard output, which Lambda hands to CloudWatch.
//!
//! No password, token, e-mail address or body is ever a field of a log line.

use std::error::Error;
use std::time::Instant;

use serde_json::json;
use tracing_subscriber::EnvFilter;

use crate::time;

/// Sends this process's events to standard output as JSON lines.
///
/// `ADMIT_LOG` takes a filter in tracing's own syntax; the default shows `info` and above.
pub fn init() {
    let filter =
        EnvFilter::try_from_env("ADMIT_LOG").unwrap_or_else(|_| EnvFilter::new("info,lapin=error"));
    // A second call happens where tests start several handlers in one process: the first stands.
    let _ = tracing_subscriber::fmt()
        .json()
        .flatten_event(true)
        .with_current_span(true)
        .with_span_list(false)
        .with_target(false)
        .with_env_filter(filter)
        .try_init();
}

/// An error and everything that caused it, in one line: `reading the booking: connection refused`.
pub fn chain(error: &(dyn Error + 'static)) -> String {
    let mut line = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let text = error.to_string();
        // Some libraries print their cause as part of themselves.
        if !line.ends_with(&text) {
            line = format!("{line}: {text}");
        }
        cause = error.source();
    }
    line
}

/// Milliseconds since `start`, for `elapsed_ms` fields.
pub fn elapsed_ms(start: Instant) -> u64 {
    u64::try_from(start.elapsed().as_millis()).unwrap_or(u64::MAX)
}

/// A figure that alarms watch.
#[derive(Debug)]
pub struct Metric {
    name: &'static str,
    unit: &'static str,
    value: f64,
}

impl Metric {
    /// An age or a time in seconds; none of it is 0.
    pub fn seconds(name: &'static str, value: Option<f64>) -> Self {
        Self {
            name,
            unit: "Seconds",
            value: value.unwrap_or_default(),
        }
    }
}

/// Hands metrics of a stack to CloudWatch, as a log line in its embedded metric format.
pub fn measure(stack: &str, metrics: &[Metric]) {
    let defined: Vec<_> = metrics
        .iter()
        .map(|metric| json!({"Name": metric.name, "Unit": metric.unit}))
        .collect();
    let mut line = json!({
        "_aws": {
            "Timestamp": time::now().timestamp_millis(),
            "CloudWatchMetrics": [{"Namespace": "Admit", "Dimensions": [["Stack"]], "Metrics": defined}],
        },
        "Stack": stack,
    });
    for metric in metrics {
        line[metric.name] = metric.value.into();
    }
    println!("{line}");
}

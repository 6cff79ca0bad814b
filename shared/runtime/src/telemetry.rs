//! Logs: JSON lines on standard output, which Lambda hands to CloudWatch.
//!
//! No password, token, e-mail address or body is ever a field of a log line.

use std::env;
use std::error::Error;
use std::fmt::Display;
use std::time::Instant;

use serde_json::json;
use tracing::Span;
use tracing::field::{Empty, display};
use tracing::level_filters::LevelFilter;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

use values::ids::UserId;
use values::time;

/// Sends this process's events to standard output as JSON lines.
///
/// `ADMIT_LOG` says what is shown, by modules: `info,stores::aws=debug`. The default is `info` and above.
pub fn init() {
    let wanted = env::var("ADMIT_LOG")
        .ok()
        .and_then(|text| text.parse().ok());
    let filter: Targets = wanted.unwrap_or_else(|| {
        Targets::new()
            .with_default(LevelFilter::INFO)
            .with_target("lapin", LevelFilter::ERROR)
    });
    // It would log a failed invocation a second time, without its ids.
    let filter = filter.with_target("lambda_runtime::layers", LevelFilter::OFF);
    let lines = json_subscriber::layer()
        .flatten_event(true)
        .with_current_span(false)
        .with_span_list(false)
        // The ids of a request, in every line of it.
        .flatten_span_list_on_top_level(true)
        .with_target(false);
    // A second call happens where tests start several handlers in one process: the first stands.
    let _ = tracing_subscriber::registry()
        .with(filter)
        .with(lines)
        .try_init();
}

/// The span of one invocation. Its ids appear in every line that is logged inside it. [`note`] adds the
/// ids of what the invocation is about, once they are known.
pub fn request_span(function: &str, request_id: &str) -> Span {
    tracing::info_span!(
        "request",
        request_id,
        function,
        user_id = Empty,
        event_id = Empty,
        ticket_type_id = Empty,
        quota_id = Empty,
        booking_id = Empty,
        payment_id = Empty,
    )
}

/// The span of one part of an invocation that is about several things: a message of a batch, or one
/// booking of a sweep.
pub fn part_span() -> Span {
    tracing::info_span!(
        "part",
        event_id = Empty,
        booking_id = Empty,
        payment_id = Empty
    )
}

/// Adds an id to all further lines of the request, or of the part of one, by its name in
/// [`request_span`].
pub fn note(name: &str, id: impl Display) {
    Span::current().record(name, display(id));
}

/// Adds the user to all further lines of the request: the number that it is in the API too.
pub fn note_user(user: UserId) {
    Span::current().record("user_id", user.get());
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

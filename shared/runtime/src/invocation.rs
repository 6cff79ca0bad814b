//! Functions that are invoked by an event or by another function, with no client to answer.

use std::any::Any;
use std::num::NonZeroU32;
use std::panic::AssertUnwindSafe;
use std::time::Instant;

use futures_util::FutureExt;
use lambda_runtime::{Diagnostic, LambdaEvent, service_fn};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use tracing::Instrument;

use crate::{Error, calls, faults, telemetry};

/// The event of a schedule.
#[derive(Debug, Deserialize)]
#[serde(expecting = "must be a scheduled event")]
pub struct Schedule {
    #[serde(rename = "source")]
    _source: Scheduler,
}

/// EventBridge's scheduler, whose event is as the template has it, or its rules.
#[derive(Debug, Deserialize)]
enum Scheduler {
    #[serde(rename = "aws.scheduler")]
    Scheduler,
    #[serde(rename = "aws.events")]
    Rules,
}

/// An operator's demand that dead letters be tried again, up to so many of each kind.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(deny_unknown_fields, expecting = "must be {\"redrive\": N}")]
pub struct Redrive {
    redrive: NonZeroU32,
}

impl Redrive {
    /// How many at most.
    pub fn most(self) -> usize {
        usize::try_from(self.redrive.get()).unwrap_or(usize::MAX)
    }
}

/// What ended an invocation beside what its function says.
#[derive(Debug, thiserror::Error)]
enum Failure {
    #[error("the event is not one of this function's")]
    Event(#[source] serde_json::Error),
    #[error("{0}")]
    Panic(String),
}

/// The type that an error has for the invoker.
fn kind_of(error: &(dyn std::error::Error + 'static)) -> &'static str {
    match error.downcast_ref() {
        Some(Failure::Event(_)) => "InvalidEvent",
        Some(Failure::Panic(_)) => "Panic",
        None => "Failed",
    }
}

/// Serves invocations of `function` with `handle` until Lambda ends the process, each with one log
/// line, and a failed one with its whole chain of causes.
///
/// # Errors
/// The Lambda runtime can't be reached.
pub async fn serve<App, Event, Handle, Answer, Output>(
    function: &'static str,
    app: App,
    handle: Handle,
) -> Result<(), Error>
where
    App: Send + Sync + 'static,
    Event: DeserializeOwned,
    Handle: Fn(&'static App, Event) -> Answer,
    Answer: Future<Output = Result<Output, Error>>,
    Output: Serialize,
{
    // Lives as long as the process: a reference to it can be held by every invocation's future.
    let app: &'static App = Box::leak(Box::new(app));
    let handle = &handle;
    lambda_runtime::run(service_fn(move |event: LambdaEvent<Box<RawValue>>| {
        let deadline = event.context.deadline();
        let request_id = event.context.request_id;
        let span = telemetry::request_span(function, &request_id);
        let answer = async move {
            let started = Instant::now();
            let handled = AssertUnwindSafe(async {
                // Read here and not by the runtime, which would not log what it can't read.
                let event = serde_json::from_str(event.payload.get()).map_err(Failure::Event)?;
                handle(app, event).await
            });
            let handled = handled.catch_unwind().map(|outcome| {
                let panicked = |panic: Box<dyn Any + Send>| {
                    Err(Failure::Panic(telemetry::panic_message(panic.as_ref())).into())
                };
                outcome.unwrap_or_else(panicked)
            });
            let handled = faults::returning(function, Box::pin(handled));
            let outcome = calls::until(deadline, handled).await;
            let elapsed_ms = telemetry::elapsed_ms(started);
            match outcome {
                Ok(output) => {
                    let said = serde_json::to_string(&output).unwrap_or_default();
                    tracing::info!(
                        status = "ok",
                        elapsed_ms,
                        output = said,
                        "invocation completed"
                    );
                    Ok::<_, Diagnostic>(output)
                }
                Err(error) => {
                    let error_type = kind_of(error.as_ref());
                    let error = telemetry::chain(error.as_ref());
                    tracing::error!(status = "failed", elapsed_ms, error, "invocation failed");
                    // Whoever invoked it is one of us, and reads the whole chain.
                    Err(Diagnostic {
                        error_type: error_type.to_owned(),
                        error_message: error,
                    })
                }
            }
        };
        // Boxed: the nested futures are too deep for the compiler to compute their layout.
        Box::pin(answer.instrument(span))
    }))
    .await
}

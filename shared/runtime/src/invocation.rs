//! Functions that are invoked by an event or by another function, with no client to answer.

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

/// Serves invocations of `function` with `handle` until Lambda ends the process: one after the other, or as many at
/// once as Lambda Managed Instances are told.
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
    Event: DeserializeOwned + Send + 'static,
    Handle: Fn(&'static App, Event) -> Answer + Copy + Send + Sync + 'static,
    Answer: Future<Output = Result<Output, Error>> + Send + 'static,
    Output: Serialize + Send + 'static,
{
    // Lives as long as the process: a reference to it can be held by every invocation's future.
    let app: &'static App = Box::leak(Box::new(app));
    // Boxed: the nested futures are too deep for the compiler to compute their layout.
    let service = service_fn(move |event| Box::pin(answer(function, app, handle, event)));
    lambda_runtime::run_concurrent(service).await
}

/// Serves one invocation after the other, whatever Lambda says: for those of a deploy or a schedule.
///
/// # Errors
/// The Lambda runtime can't be reached.
pub async fn serve_in_turn<App, Event, Handle, Answer, Output>(
    function: &'static str,
    app: App,
    handle: Handle,
) -> Result<(), Error>
where
    App: 'static,
    Event: DeserializeOwned,
    Handle: Fn(&'static App, Event) -> Answer + Copy,
    Answer: Future<Output = Result<Output, Error>>,
    Output: Serialize,
{
    let app: &'static App = Box::leak(Box::new(app));
    let service = service_fn(move |event| Box::pin(answer(function, app, handle, event)));
    lambda_runtime::run(service).await
}

/// Serves one invocation: with one log line, and a failed one with its whole chain of causes.
async fn answer<App, Event, Answer, Output>(
    function: &'static str,
    app: &'static App,
    handle: impl Fn(&'static App, Event) -> Answer,
    event: LambdaEvent<Box<RawValue>>,
) -> Result<Output, Diagnostic>
where
    Event: DeserializeOwned,
    Answer: Future<Output = Result<Output, Error>>,
    Output: Serialize,
{
    let span = telemetry::request_span(function, &event.context.request_id);
    let answer = async move {
        let started = Instant::now();
        let handled = async {
            let handled = AssertUnwindSafe(async {
                // Read here and not by the runtime, which would not log what it can't read.
                let event = serde_json::from_str(event.payload.get()).map_err(Failure::Event)?;
                handle(app, event).await
            });
            match handled.catch_unwind().await {
                Ok(outcome) => outcome,
                Err(panic) => Err(Failure::Panic(telemetry::panic_message(panic.as_ref())).into()),
            }
        };
        let handled = faults::returning(function, Box::pin(handled));
        let outcome = calls::until(event.context.deadline(), handled).await;
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
                Ok(output)
            }
            Err(error) => {
                let error_type = kind_of(error.as_ref()).to_owned();
                let error_message = telemetry::chain(error.as_ref());
                tracing::error!(
                    status = "failed",
                    elapsed_ms,
                    error = error_message,
                    "invocation failed"
                );
                // Whoever invoked it is one of us, and reads the whole chain.
                Err(Diagnostic {
                    error_type,
                    error_message,
                })
            }
        }
    };
    answer.instrument(span).await
}

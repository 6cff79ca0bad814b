//! Functions that are invoked by an event or by another function, with no client to answer.

use std::num::NonZeroU32;
use std::time::Instant;

use futures_util::FutureExt;
use futures_util::future::{BoxFuture, LocalBoxFuture};
use lambda_runtime::{Context, Diagnostic, LambdaEvent, service_fn};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::value::{RawValue, to_raw_value};
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

/// Why a function did not take an event.
#[derive(Debug, thiserror::Error)]
#[error("the event is not one of this function's")]
struct InvalidEvent(#[source] serde_json::Error);

/// The type that an error has for the invoker.
fn kind_of(error: &(dyn std::error::Error + 'static)) -> &'static str {
    if error.is::<InvalidEvent>() {
        "InvalidEvent"
    } else {
        "Failed"
    }
}

/// What Lambda hands a function.
pub type Invocation = LambdaEvent<Box<RawValue>>;

/// What a function answers, in JSON.
type Answered = Result<Box<RawValue>, Diagnostic>;

/// What becomes of an invocation.
pub type ServiceFuture = BoxFuture<'static, Answered>;

/// What answers invocations. No generic type: Lambda's runtime is compiled here, once, and not in each function.
pub type Service = Box<dyn Fn(Invocation) -> ServiceFuture + Send + Sync>;

/// A service that stays on its thread.
type LocalService = Box<dyn Fn(Invocation) -> LocalBoxFuture<'static, Answered>>;

/// Answers invocations until Lambda ends the process: one after the other, or as many at once as Lambda Managed
/// Instances are told.
pub async fn run(service: Service) -> Result<(), Error> {
    let service = &*Box::leak(service);
    lambda_runtime::run_concurrent(service_fn(service)).await
}

/// Serves invocations of `function` with `handle` until Lambda ends the process.
pub async fn serve<App, Event, Handle, Answer, Output>(
    function: &'static str,
    app: &'static App,
    handle: Handle,
) -> Result<(), Error>
where
    App: Send + Sync + 'static,
    Event: DeserializeOwned + Send + 'static,
    Handle: Fn(&'static App, Event) -> Answer + Copy + Send + Sync + 'static,
    Answer: Future<Output = Result<Output, Error>> + Send + 'static,
    Output: Serialize + Send + 'static,
{
    run(Box::new(move |invocation| {
        let handled = handled(app, handle, invocation.payload);
        answer(function, invocation.context, handled.boxed()).boxed()
    }))
    .await
}

/// Serves one invocation after the other, even if Lambda allows more at once. For functions that a deploy or a
/// schedule invokes.
pub async fn serve_in_turn<App, Event, Handle, Answer, Output>(
    function: &'static str,
    app: &'static App,
    handle: Handle,
) -> Result<(), Error>
where
    App: 'static,
    Event: DeserializeOwned + 'static,
    Handle: Fn(&'static App, Event) -> Answer + Copy + 'static,
    Answer: Future<Output = Result<Output, Error>> + 'static,
    Output: Serialize + 'static,
{
    run_in_turn(Box::new(move |invocation| {
        let handled = handled(app, handle, invocation.payload);
        answer(function, invocation.context, handled.boxed_local()).boxed_local()
    }))
    .await
}

async fn run_in_turn(service: LocalService) -> Result<(), Error> {
    lambda_runtime::run(service_fn(service)).await
}

/// What `handle` makes of an event.
async fn handled<App, Event, Answer, Output>(
    app: &'static App,
    handle: impl Fn(&'static App, Event) -> Answer,
    payload: Box<RawValue>,
) -> Result<Box<RawValue>, Error>
where
    Event: DeserializeOwned,
    Answer: Future<Output = Result<Output, Error>>,
    Output: Serialize,
{
    // Parse the event here: Lambda's runtime would not log an event that it can't parse.
    let event = serde_json::from_str(payload.get()).map_err(InvalidEvent)?;
    let output = handle(app, event).await?;
    Ok(to_raw_value(&output)?)
}

/// Answers one invocation: with one log line, and a failed one with its whole chain of causes.
async fn answer(
    function: &'static str,
    context: Context,
    handled: impl Future<Output = Result<Box<RawValue>, Error>>,
) -> Answered {
    let span = telemetry::request_span(function, &context.request_id);
    let answer = async move {
        let started = Instant::now();
        let handled = faults::returning(function, Box::pin(handled));
        let outcome = calls::until(context.deadline(), handled).await;
        let elapsed_ms = telemetry::elapsed_ms(started);
        match outcome {
            Ok(output) => {
                tracing::info!(
                    status = "ok",
                    elapsed_ms,
                    output = output.get(),
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

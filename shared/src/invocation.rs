//! Functions that are invoked by an event or by another function, with no client to answer.

use std::time::Instant;

use lambda_runtime::{LambdaEvent, service_fn};
use serde::Serialize;
use serde::de::DeserializeOwned;
use tracing::Instrument;

use crate::{Error, calls, faults, telemetry};

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
    lambda_runtime::run(service_fn(move |event: LambdaEvent<Event>| {
        let deadline = event.context.deadline();
        let request_id = event.context.request_id;
        let span = tracing::info_span!("invocation", request_id, function);
        let answer = async move {
            let started = Instant::now();
            let handled = faults::returning(function, Box::pin(handle(app, event.payload)));
            let outcome = calls::until(deadline, handled).await;
            let elapsed_ms = telemetry::elapsed_ms(started);
            match outcome {
                Ok(output) => {
                    let said = serde_json::to_string(&output).unwrap_or_default();
                    tracing::info!(
                        request_id,
                        function,
                        status = "ok",
                        elapsed_ms,
                        output = said,
                        "done"
                    );
                    Ok::<_, Error>(output)
                }
                Err(error) => {
                    let error = telemetry::chain(error.as_ref());
                    tracing::error!(
                        request_id,
                        function,
                        status = "failed",
                        elapsed_ms,
                        error,
                        "failed"
                    );
                    // Whoever invoked it is one of us, and reads the whole chain.
                    Err(error.into())
                }
            }
        };
        // Boxed: what is nested in it is deeper than the compiler computes layouts.
        Box::pin(answer.instrument(span))
    }))
    .await
}

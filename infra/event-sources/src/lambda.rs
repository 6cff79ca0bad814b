//! Invoking functions.
//!
//! The processes are those of [`crate::environments`]. Rules of Lambda's that hold here:
//! - An execution environment serves one invocation at a time, or as many as `ADMIT_INVOCATIONS_AT_ONCE` says. A new
//!   one is started when all others of its function are busy. Their number is limited, as this machine is small.
//!   Beyond the limit, invocations wait; a function with reserved concurrency refuses them, as Lambda does.
//! - An environment that ended is replaced by a new one.
//! - An invocation that has begun runs to its end, even if its invoker stops waiting for it.
//! - A function's own error is an answer, and is told apart from the lack of any answer.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Bytes;
use shared::functions::{self, Function};
use shared::{faults, telemetry};
use tokio::sync::{Semaphore, TryAcquireError};
use tokio::time::{interval, sleep, timeout};

pub use crate::environments::Invoked;

use crate::environments::Environments;

/// Execution environments of one function at most, where none are reserved.
const CONCURRENCY: usize = 4;

/// The delay of an invocation that a test wants late. It is longer than the settling from the queue takes.
const LATE: Duration = Duration::from_secs(3);

/// How long to wait for an answer after the function's timeout.
const GRACE: Duration = Duration::from_secs(5);

/// Why a function was not invoked, or why nobody knows how it ended.
#[derive(Debug, Clone, thiserror::Error)]
pub enum InvokeError {
    #[error("there is no function {0}")]
    NoSuchFunction(String),
    #[error("as many invocations run as are reserved")]
    Throttled,
    #[error("the invocation broke off: {0}")]
    BrokenOff(String),
}

/// The functions.
#[derive(Debug, Clone)]
pub struct Lambda {
    environments: Arc<Environments>,
    functions: Arc<HashMap<&'static str, Concurrency>>,
}

#[derive(Debug)]
struct Concurrency {
    function: &'static Function,
    most: usize,
    free: Semaphore,
    /// Whether invocations beyond `most` are refused, as by Lambda, rather than made to wait.
    reserved: bool,
}

impl Lambda {
    /// The functions, and the concurrency that is reserved for some; 0 reserves none.
    pub fn new(environments: Arc<Environments>, reserved: &[(&str, usize)]) -> Self {
        let functions = functions::ALL.iter().map(|function| {
            let reserved = reserved
                .iter()
                .find(|(name, most)| *name == function.name && *most > 0)
                .map(|(_, most)| *most);
            let most = reserved.unwrap_or(CONCURRENCY * environments.each());
            let concurrency = Concurrency {
                function,
                most,
                free: Semaphore::new(most),
                reserved: reserved.is_some(),
            };
            (function.name, concurrency)
        });
        Self {
            functions: Arc::new(
                functions
                    .filter(|(name, _)| environments.has(name))
                    .collect(),
            ),
            environments,
        }
    }

    /// Invokes a function and waits for how it ends.
    pub async fn invoke(
        &self,
        function: &str,
        event: impl Into<Bytes>,
    ) -> Result<Invoked, InvokeError> {
        let (lambda, function, event) = (self.clone(), function.to_owned(), event.into());
        // A task of its own goes on when whoever waits here is dropped.
        tokio::spawn(async move { lambda.run(&function, event).await })
            .await
            .map_err(broken)?
    }

    async fn run(&self, name: &str, event: Bytes) -> Result<Invoked, InvokeError> {
        let concurrency = self
            .functions
            .get(name)
            .ok_or_else(|| InvokeError::NoSuchFunction(name.to_owned()))?;
        let _busy = if concurrency.reserved {
            concurrency
                .free
                .try_acquire()
                .map_err(|error| match error {
                    TryAcquireError::NoPermits => InvokeError::Throttled,
                    TryAcquireError::Closed => broken(error),
                })?
        } else {
            concurrency.free.acquire().await.map_err(broken)?
        };
        if faults::delivered_late(name) {
            let (lambda, name) = (self.clone(), name.to_owned());
            tokio::spawn(async move {
                sleep(LATE).await;
                if let Some(concurrency) = lambda.functions.get(name.as_str()) {
                    drop(lambda.deliver(concurrency, event).await);
                }
            });
            return Err(InvokeError::BrokenOff("it comes late".to_owned()));
        }
        if faults::delivered_twice(name) {
            drop(self.deliver(concurrency, event.clone()).await);
        }
        self.deliver(concurrency, event).await
    }

    async fn deliver(
        &self,
        concurrency: &Concurrency,
        event: Bytes,
    ) -> Result<Invoked, InvokeError> {
        let function = concurrency.function;
        let end = self.environments.invoke(function, event);
        let longest = self.environments.timeout(function) + GRACE;
        tokio::select! {
            end = timeout(longest, end) => end.map_err(broken)?.map_err(broken),
            error = self.keep_enough(concurrency) => Err(broken(error)),
        }
    }

    /// Starts an environment whenever there are too few for the running invocations. Returns only if
    /// one can't be started.
    async fn keep_enough(&self, concurrency: &Concurrency) -> std::io::Error {
        let mut ticks = interval(Duration::from_millis(50));
        loop {
            ticks.tick().await;
            let running = concurrency.most - concurrency.free.available_permits();
            if let Err(error) = self.environments.start_for(concurrency.function, running) {
                return error;
            }
        }
    }
}

fn broken<E: std::error::Error + 'static>(error: E) -> InvokeError {
    InvokeError::BrokenOff(telemetry::chain(&error))
}

//! Invoking functions.
//!
//! `cargo lambda watch --only-lambda-apis` answers Lambda's Runtime and Invoke APIs; the processes
//! are started here, see [`crate::environments`]. Rules of Lambda's that hold here:
//! - An execution environment serves one invocation at a time, and is started when all others of
//!   its function are busy. There are so many at most, as this machine is small; what comes then
//!   waits. A function with reserved concurrency refuses it, as Lambda does.
//! - An environment that ended is replaced by a new one.
//! - An invocation that was begun is ended, whoever stops waiting for it meanwhile.
//! - A function's own error is an answer, told apart from there being none.
//!
//! `cargo lambda` alone keeps none of these: it never replaces a process that ended, a caller that
//! hangs up breaks the one that answers it, and a hundred requests that wait for one function block
//! it for good.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Bytes;
use reqwest::{Client, StatusCode};
use shared::functions::{self, Function};
use shared::{faults, telemetry};
use tokio::sync::{Semaphore, TryAcquireError};
use tokio::time::{interval, sleep, timeout};

use crate::environments::Environments;

/// Execution environments of one function at most, where none are reserved.
const CONCURRENCY: usize = 4;

/// How late an invocation comes that a test wants late: later than its settling from the queue.
const LATE: Duration = Duration::from_secs(3);

/// How much longer than the function may run its end is waited for.
const GRACE: Duration = Duration::from_secs(5);

/// What became of an invocation.
#[derive(Debug)]
pub enum Invoked {
    /// The function's answer.
    Answered(Bytes),
    /// The function's error.
    Failed(Bytes),
}

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

/// The functions, behind `cargo lambda`.
#[derive(Debug, Clone)]
pub struct Lambda {
    client: Client,
    /// Where `cargo lambda` listens, `HOST:PORT`.
    address: String,
    environments: Arc<Environments>,
    functions: Arc<HashMap<&'static str, Concurrency>>,
}

#[derive(Debug)]
struct Concurrency {
    function: &'static Function,
    most: usize,
    free: Semaphore,
    /// Whether Lambda refuses what is more, rather than to start more environments.
    reserved: bool,
}

impl Lambda {
    /// The functions through `cargo lambda` at `address`; so many charges at once at most.
    ///
    /// # Errors
    /// No HTTP client can be made.
    pub fn new(
        address: String,
        environments: Arc<Environments>,
        charges: usize,
    ) -> Result<Self, reqwest::Error> {
        let functions = functions::ALL.iter().map(|function| {
            let reserved = function.name == "charge-payment";
            let most = if reserved { charges } else { CONCURRENCY };
            let concurrency = Concurrency {
                function,
                most,
                free: Semaphore::new(most),
                reserved,
            };
            (function.name, concurrency)
        });
        Ok(Self {
            client: Client::builder().build()?,
            address,
            functions: Arc::new(
                functions
                    .filter(|(name, _)| environments.has(name))
                    .collect(),
            ),
            environments,
        })
    }

    /// Invokes a function and waits for how it ends.
    ///
    /// # Errors
    /// See [`InvokeError`].
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
        let url = format!(
            "http://{}/2015-03-31/functions/{}/invocations",
            self.address, function.name
        );
        let answer = async {
            let response = self.client.post(url).body(event).send().await?;
            Ok((response.status(), response.bytes().await?))
        };
        let longest = self.environments.timeout(function) + GRACE;
        let (status, body) = tokio::select! {
            answer = timeout(longest, answer) => {
                answer.map_err(broken)?.map_err(broken::<reqwest::Error>)?
            }
            error = self.keep_enough(concurrency) => return Err(broken(error)),
        };
        match status {
            StatusCode::OK => Ok(Invoked::Answered(body)),
            StatusCode::NOT_FOUND => Err(InvokeError::NoSuchFunction(function.name.to_owned())),
            _ => Ok(Invoked::Failed(body)),
        }
    }

    /// Starts an environment whenever there are fewer than invocations that run. Returns only where
    /// none can be started.
    async fn keep_enough(&self, concurrency: &Concurrency) -> std::io::Error {
        let mut ticks = interval(Duration::from_millis(50));
        loop {
            ticks.tick().await;
            let running = concurrency.most - concurrency.free.available_permits();
            if self.environments.of(concurrency.function) < running
                && let Err(error) = self.environments.start(concurrency.function)
            {
                return error;
            }
        }
    }
}

fn broken<E: std::error::Error + 'static>(error: E) -> InvokeError {
    InvokeError::BrokenOff(telemetry::chain(&error))
}

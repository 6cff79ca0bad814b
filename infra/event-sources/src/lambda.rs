//! Invoking functions.
//!
//! Rules of Lambda's that hold here:
//! - An invocation that was begun is ended, whoever stops waiting for it meanwhile.
//! - A function runs so many invocations at a time; the others wait.
//! - A function's own error is an answer, told apart from there being none.
//!
//! `cargo lambda` needs the first two: a caller that hangs up kills the process that answers it,
//! and a hundred requests that wait for one function block it for good.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::body::Bytes;
use reqwest::{Client, StatusCode};
use tokio::sync::Semaphore;

/// Invocations of one function that `cargo lambda` holds at a time, running or waiting for a process.
const CONCURRENCY: usize = 32;

/// The longest that a function runs. The template's timeouts are all below it.
const TIMEOUT: Duration = Duration::from_secs(60);

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
    #[error("the invocation broke off: {0}")]
    BrokenOff(String),
}

/// The functions behind `cargo lambda`.
#[derive(Debug, Clone)]
pub struct Lambda {
    client: Client,
    url: String,
    running: Arc<Mutex<HashMap<String, Arc<Semaphore>>>>,
}

impl Lambda {
    /// The functions that are served at `url`.
    ///
    /// # Errors
    /// No HTTP client can be made.
    pub fn new(url: &str) -> Result<Self, reqwest::Error> {
        let client = Client::builder().timeout(TIMEOUT).build()?;
        Ok(Self {
            client,
            url: url.to_owned(),
            running: Arc::default(),
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
            .map_err(|error| InvokeError::BrokenOff(error.to_string()))?
    }

    async fn run(&self, function: &str, event: Bytes) -> Result<Invoked, InvokeError> {
        let broken = |error: &dyn std::error::Error| InvokeError::BrokenOff(error.to_string());
        let limit = self.limit(function);
        let _running = limit.acquire().await.map_err(|error| broken(&error))?;
        let response = self
            .client
            .post(format!(
                "{}/2015-03-31/functions/{function}/invocations",
                self.url
            ))
            .body(event)
            .send()
            .await
            .map_err(|error| broken(&error))?;
        let status = response.status();
        let body = response.bytes().await.map_err(|error| broken(&error))?;
        match status {
            StatusCode::OK => Ok(Invoked::Answered(body)),
            StatusCode::NOT_FOUND => Err(InvokeError::NoSuchFunction(function.to_owned())),
            _ => Ok(Invoked::Failed(body)),
        }
    }

    fn limit(&self, function: &str) -> Arc<Semaphore> {
        // Nothing panics while this lock is held, so that it is never poisoned.
        let mut running = self
            .running
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        let limit = running
            .entry(function.to_owned())
            .or_insert_with(|| Arc::new(Semaphore::new(CONCURRENCY)));
        Arc::clone(limit)
    }
}

//! Invoking functions, and the processes that run them.
//!
//! `cargo lambda watch --only-lambda-apis` answers Lambda's Runtime and Invoke APIs; the processes
//! are started here. Rules of Lambda's that hold here:
//! - An execution environment serves one invocation at a time, and is started when all others of
//!   its function are busy. There are so many at most; what comes then waits.
//! - An environment that ended is replaced by a new one.
//! - An invocation that was begun is ended, whoever stops waiting for it meanwhile.
//! - A function's own error is an answer, told apart from there being none.
//!
//! `cargo lambda` alone keeps none of these: it never replaces a process that ended, a caller that
//! hangs up breaks the one that answers it, and a hundred requests that wait for one function block
//! it for good.

use std::collections::HashMap;
use std::path::PathBuf;
use std::process::Stdio;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use axum::body::Bytes;
use reqwest::{Client, StatusCode};
use tokio::process::{Child, Command};
use tokio::sync::Semaphore;

/// Execution environments of one function at most.
const CONCURRENCY: usize = 4;

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

/// The functions, behind `cargo lambda`.
#[derive(Debug, Clone)]
pub struct Lambda {
    client: Client,
    /// Where `cargo lambda` listens, `HOST:PORT`.
    address: String,
    /// The folder with the functions' programs.
    programs: PathBuf,
    functions: Arc<Mutex<HashMap<String, Arc<Function>>>>,
}

/// One function's execution environments.
#[derive(Debug)]
struct Function {
    free: Semaphore,
    environments: Mutex<Vec<Child>>,
}

impl Lambda {
    /// The functions whose programs are in `programs`, through `cargo lambda` at `address`.
    ///
    /// # Errors
    /// No HTTP client can be made.
    pub fn new(address: String, programs: PathBuf) -> Result<Self, reqwest::Error> {
        let client = Client::builder().timeout(TIMEOUT).build()?;
        Ok(Self {
            client,
            address,
            programs,
            functions: Arc::default(),
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
        let function = self.function(name)?;
        let _busy = function.free.acquire().await.map_err(broken)?;
        self.start_missing(name, &function).map_err(broken)?;
        let url = format!(
            "http://{}/2015-03-31/functions/{name}/invocations",
            self.address
        );
        let response = tokio::select! {
            response = self.client.post(url).body(event).send() => response.map_err(broken)?,
            () = function.all_ended() => return Err(InvokeError::BrokenOff("the function's process ended".to_owned())),
        };
        let status = response.status();
        let body = response.bytes().await.map_err(broken)?;
        match status {
            StatusCode::OK => Ok(Invoked::Answered(body)),
            StatusCode::NOT_FOUND => Err(InvokeError::NoSuchFunction(name.to_owned())),
            _ => Ok(Invoked::Failed(body)),
        }
    }

    fn function(&self, name: &str) -> Result<Arc<Function>, InvokeError> {
        let mut functions = lock(&self.functions);
        if let Some(function) = functions.get(name) {
            return Ok(Arc::clone(function));
        }
        // A name is a file's here, so that it must be nothing else.
        let is_name = name
            .bytes()
            .all(|byte| byte.is_ascii_lowercase() || byte == b'-');
        if !is_name || !self.programs.join(name).is_file() {
            return Err(InvokeError::NoSuchFunction(name.to_owned()));
        }
        let function = Arc::new(Function {
            free: Semaphore::new(CONCURRENCY),
            environments: Mutex::default(),
        });
        functions.insert(name.to_owned(), Arc::clone(&function));
        Ok(function)
    }

    /// Starts an environment if there are fewer than invocations that run.
    fn start_missing(&self, name: &str, function: &Function) -> std::io::Result<()> {
        let running = CONCURRENCY - function.free.available_permits();
        let mut environments = function.living();
        if environments.len() < running {
            tracing::info!(
                function = name,
                environments = environments.len() + 1,
                "starting an execution environment"
            );
            environments.push(self.start(name)?);
        }
        Ok(())
    }

    fn start(&self, name: &str) -> std::io::Result<Child> {
        Command::new(self.programs.join(name))
            .env(
                "AWS_LAMBDA_RUNTIME_API",
                format!("http://{}/.rt/{name}", self.address),
            )
            .env("AWS_LAMBDA_FUNCTION_NAME", name)
            .env("AWS_LAMBDA_FUNCTION_VERSION", "$LATEST")
            .env("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "256")
            .stdin(Stdio::null())
            .kill_on_drop(true)
            .spawn()
    }
}

impl Function {
    /// Its environments, without those that ended.
    fn living(&self) -> MutexGuard<'_, Vec<Child>> {
        let mut environments = lock(&self.environments);
        environments.retain_mut(|environment| matches!(environment.try_wait(), Ok(None)));
        environments
    }

    /// Waits until no environment is left: nobody will answer.
    async fn all_ended(&self) {
        while !self.living().is_empty() {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }
}

fn broken(error: impl std::error::Error + 'static) -> InvokeError {
    InvokeError::BrokenOff(shared::telemetry::chain(&error))
}

/// Nothing panics while such a lock is held, so that what it guards is whole also where it is poisoned.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

//! The runtime: what every function of Admit is run by. Its settings, its limits in time, its fault
//! points, its log, and serving the invocations of a Lambda.
//!
//! This crate knows the values, and no store and no business.

pub mod calls;
pub mod config;
pub mod faults;
pub mod functions;
pub mod invocation;
pub mod telemetry;

use std::pin::Pin;

use crate::config::Config;

/// What stops a function before its first request, or an invocation that has no caller to answer.
pub type Error = Box<dyn std::error::Error + Send + Sync>;

/// What a function makes from its settings, once, before its first request.
pub trait FromConfig: Sized {
    /// Makes it.
    ///
    /// # Errors
    /// A setting is missing or can't be read.
    fn from_config(config: &Config) -> impl Future<Output = Result<Self, Error>> + Send;

    /// Begins what the first invocation would otherwise wait for, such as connecting, in the background. This can't make a
    /// start fail: what doesn't work now is tried again when it is needed.
    fn warm_up(&'static self) {}
}

/// For a function whose clients are made anew at each invocation.
impl FromConfig for Config {
    async fn from_config(config: &Config) -> Result<Self, Error> {
        Ok(config.clone())
    }
}

/// Reads the configuration and makes the function's clients from it, before the first request. They live as long as the
/// process, so that every invocation's future can hold a reference to them.
///
/// # Errors
/// A setting that is missing or unreadable: the function must not start without it.
pub async fn start<App: FromConfig + 'static>() -> Result<&'static App, Error> {
    telemetry::init();
    let started = match Config::from_env() {
        Ok(config) => App::from_config(&config).await,
        Err(missing) => Err(missing.into()),
    };
    let app = started.inspect_err(
        |error| tracing::error!(error = %telemetry::chain(error.as_ref()), "function not started"),
    )?;
    let app: &'static App = Box::leak(Box::new(app));
    app.warm_up();
    Ok(app)
}

/// Runs a function's process to its end: on one thread if it serves one invocation at a time.
///
/// # Errors
/// The work's own, or that the system has no resources for it.
pub fn block_on(work: impl Future<Output = Result<(), Error>>) -> Result<(), Error> {
    run_to_end(Box::pin(work))
}

/// No generic function, so that it is compiled once.
fn run_to_end(work: Pin<Box<dyn Future<Output = Result<(), Error>> + '_>>) -> Result<(), Error> {
    let mut threads = match config::concurrency() {
        1 => tokio::runtime::Builder::new_current_thread(),
        _ => tokio::runtime::Builder::new_multi_thread(),
    };
    threads.enable_all().build()?.block_on(work)
}

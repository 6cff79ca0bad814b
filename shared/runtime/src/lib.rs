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

use crate::config::Config;

/// What stops a function before its first request, or an invocation that has no caller to answer.
pub type Error = Box<dyn std::error::Error + Send + Sync>;

/// Reads the configuration and makes the function's clients from it, before the first request.
///
/// # Errors
/// A setting that is missing or unreadable: the function must not start without it.
pub async fn start<App, Make>(make: Make) -> Result<App, Error>
where
    Make: AsyncFnOnce(&Config) -> Result<App, Error>,
{
    telemetry::init();
    let started = match Config::from_env() {
        Ok(config) => make(&config).await,
        Err(missing) => Err(missing.into()),
    };
    started.inspect_err(
        |error| tracing::error!(error = %telemetry::chain(error.as_ref()), "cannot start"),
    )
}

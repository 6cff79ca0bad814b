//! What the functions of Admit share.
//!
//! The business is in [`users`], [`events`], [`bookings`], [`payments`] and [`notifications`]:
//! types, errors, SQL, and one public function per business step. The other modules are the
//! plumbing those need. A function's own package only decodes, calls one of these, and encodes.

pub mod accounts;
pub mod auth;
pub mod aws;
pub mod bookings;
pub mod broker;
pub mod calls;
pub mod cloudformation;
pub mod config;
pub mod db;
pub mod docdb;
pub mod events;
pub mod faults;
pub mod functions;
pub mod http;
pub mod idempotency;
pub mod ids;
pub mod invocation;
pub mod money;
pub mod notifications;
pub mod payments;
pub mod rotation;
pub mod secrets;
mod session;
pub mod telemetry;
mod text;
pub mod time;
mod tls;
pub mod token_key;
pub mod users;
pub mod web;

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

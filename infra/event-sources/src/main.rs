//! Plays Lambda's triggers where there is no AWS: the HTTP API, RabbitMQ, SQS and the clock.
//!
//! It answers Lambda's Runtime and Invoke APIs, runs the functions' processes and invokes them as AWS
//! would: with AWS's events, and by Lambda's rules for batches, repeats and concurrency. Each trigger is a
//! module with its rules in its header.

mod clock;
mod connection;
mod cors;
mod environments;
mod http_api;
mod invoke_api;
mod lambda;
mod rabbitmq;
mod settings;
mod sqs;

use std::env;
use std::net::SocketAddr;
use std::str::FromStr;
use std::time::Duration;

use shared::secrets::Secret;
use shared::{Error, telemetry};

use crate::cors::Cors;
use crate::environments::Environments;
use crate::lambda::Lambda;
use crate::settings::Settings;

#[tokio::main]
async fn main() -> Result<(), Error> {
    telemetry::init();
    let settings = Settings::new()?;
    let broker = settings.variable("redrive", "ADMIT_BROKER_SECRET")?;
    let queue = settings.variable("create-booking", "ADMIT_SETTLE_QUEUE_URL")?;
    let hurry = setting("ADMIT_HURRY")?;
    let each = setting("ADMIT_INVOCATIONS_AT_ONCE")?;
    let programs = setting("ADMIT_PROGRAMS")?;
    let environments = Environments::serve(programs, hurry, each, settings).await?;
    let bookings = setting("ADMIT_CONCURRENT_BOOKINGS")?;
    let charges = setting("ADMIT_CONCURRENT_CHARGES")?;
    // As functions.toml bounds them.
    let reserved = [
        ("create-booking", bookings),
        ("pay-booking", bookings),
        ("pages-booking", bookings),
        ("charge-payment", charges),
        ("create-payment", charges),
    ];
    let lambda = Lambda::new(environments, &reserved);
    let every = Duration::from_secs(setting("ADMIT_CLOCK_SECONDS")?);

    let broker = Secret::new(&broker).await;
    tokio::spawn(rabbitmq::run(broker, lambda.clone()));
    tokio::spawn(sqs::run(queue, lambda.clone()));
    tokio::spawn(clock::run(every, lambda.clone()));
    let cors = Cors::read(&setting::<String>("ADMIT_CORS")?)?;
    http_api::serve(setting::<SocketAddr>("ADMIT_LISTEN")?, lambda, &cors).await
}

/// A setting of this program's own.
fn setting<T: FromStr<Err: std::fmt::Display>>(name: &str) -> Result<T, Error> {
    let text =
        env::var(name).map_err(|error| format!("the environment variable {name}: {error}"))?;
    text.parse()
        .map_err(|error| format!("the environment variable {name}: {error}").into())
}

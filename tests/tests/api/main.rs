//! The API on the running stack: every route, every problem, and what must never happen.
#![expect(
    clippy::unwrap_used,
    reason = "a helper that fails is a test that fails"
)]

mod access;
mod before_the_shop;
mod bookings;
mod changes;
mod contract;
mod deploys;
mod documents;
mod gateway;
mod holds;
mod logs;
mod notifications;
mod original;
mod pages;
mod payments;
mod privacy;
mod readme;
mod shop;
mod strict_input;
mod users_and_events;

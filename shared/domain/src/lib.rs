//! The business: users and their tokens, events, bookings, payments, notifications. Types, errors, SQL,
//! and one public function for each business step.
//!
//! This crate uses the stores and no HTTP: no headers, no bodies, no status codes.

pub mod auth;
pub mod bookings;
pub mod events;
pub mod jobs;
pub mod notifications;
pub mod payments;
#[cfg(test)]
mod testing;
pub mod token_key;
pub mod users;

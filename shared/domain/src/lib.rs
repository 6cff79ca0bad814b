//! The business: users and their tokens, events, bookings, payments, notifications. Types, errors, SQL,
//! and one public function for each business step.
//!
//! This crate uses the stores and no HTTP: no headers and no bodies. The one exception is the status code
//! of a request's first answer, which its row stores.

pub mod auth;
pub mod bookings;
pub mod events;
pub mod notifications;
pub mod payments;
pub mod token_key;
pub mod users;

//! The business: users and their tokens, events, bookings, payments, notifications. Types, errors, SQL,
//! and one public function for each business step.
//!
//! This crate knows the stores, and no HTTP: no status, no header, no body of a request.

pub mod auth;
pub mod bookings;
pub mod events;
pub mod notifications;
pub mod payments;
pub mod token_key;
pub mod users;

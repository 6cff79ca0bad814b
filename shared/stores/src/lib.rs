//! The stores: PostgreSQL, the document store, the broker, SQS, Secrets Manager, and the TLS to them.
//!
//! This crate carries statements and bytes. It knows what a store's errors mean, and no business.
//!
//! What awaits a driver or one of AWS's SDKs returns a boxed future. The body of an `async fn` is compiled again in each
//! binary that awaits it; with these, that was most of a release build (see "Build times" in ARCHITECTURE.md).

pub mod aws;
pub mod broker;
pub mod db;
pub mod docdb;
pub mod documents;
mod early;
mod gate;
pub mod secrets;
pub mod settle_queue;
mod statement;
pub mod tls;
pub mod web;

pub use gate::Gate;

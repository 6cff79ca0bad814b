//! The stores: PostgreSQL, the document store, the broker, SQS, Secrets Manager, and the TLS to them.
//!
//! This crate carries statements and bytes. It knows what a store's errors mean, and no business.

pub mod aws;
pub mod broker;
pub mod db;
pub mod docdb;
mod gate;
pub mod secrets;
pub mod settle_queue;
mod statement;
pub mod tls;
pub mod web;

pub use gate::Gate;

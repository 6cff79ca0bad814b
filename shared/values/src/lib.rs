//! Values: what is read at the edge and can't be wrong inside. Ids, money, times, texts, pages of a
//! list, and the key that makes a request idempotent.
//!
//! This crate knows no other crate of Admit.

pub mod digest;
pub mod idempotency;
pub mod ids;
pub mod json;
pub mod money;
pub mod page;
mod schema;
pub mod tax;
pub mod text;
pub mod tickets;
pub mod time;

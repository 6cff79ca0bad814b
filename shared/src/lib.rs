//! What the functions of Admit see: HTTP, and through it the layers below, each a crate that knows only
//! those under it: `domain`, `stores`, `runtime`, `values`.
//!
//! A function's own package only decodes, calls one step of the business, and encodes.

pub mod http;
mod macros;

pub use domain::{auth, bookings, events, notifications, payments, token_key, users};
pub use runtime::{
    Error, FromConfig, block_on, calls, config, faults, functions, invocation, start, telemetry,
};
pub use stores::{aws, broker, db, docdb, secrets, settle_queue};
pub use values::{digest, idempotency, ids, money, page, tickets, time};

//! The functions, and how long each may run.
//!
//! Timeouts nest: a caller's timeout is longer than its callee's. A client, then API Gateway (30 s),
//! then a booking, then its charge. Tests hold them against one another and against the templates.

use std::time::Duration;

/// One Lambda function.
#[derive(Debug, Clone, Copy)]
pub struct Function {
    /// The package, the binary and the function.
    pub name: &'static str,
    /// When Lambda ends it.
    pub timeout: Duration,
}

const fn function(name: &'static str, seconds: u64) -> Function {
    Function {
        name,
        timeout: Duration::from_secs(seconds),
    }
}

/// All of them.
// derived from functions.toml: timeouts
pub const ALL: &[Function] = &[
    function("api-docs", 15),
    function("cancel-booking", 25),
    function("charge-payment", 10),
    function("create-booking", 25),
    function("create-event", 15),
    function("create-payment", 25),
    function("create-promo-code", 15),
    function("create-quota", 15),
    function("create-ticket-type", 15),
    function("forget-notifications", 30),
    function("get-booking", 15),
    function("get-event", 15),
    function("get-payment", 15),
    function("get-promo-code", 15),
    function("list-bookings", 15),
    function("list-events", 15),
    function("list-notifications", 15),
    function("list-promo-codes", 15),
    function("login", 15),
    function("migrate", 300),
    function("pages-bank", 15),
    function("pages-booking", 25),
    function("pages-desk", 15),
    function("pages-edit", 15),
    function("pages-login", 15),
    function("pages-new-event", 15),
    function("pages-register", 15),
    function("pages-shop", 15),
    function("pay-booking", 25),
    function("quote-booking", 15),
    function("redrive", 60),
    function("redrive-quarantine", 30),
    function("register-user", 15),
    function("release-booking", 25),
    function("rotate-secret", 60),
    function("send-notification", 30),
    function("settle-bookings", 30),
    function("sweep-bookings", 60),
    function("sweep-payments", 60),
    function("update-event", 15),
    function("update-promo-code", 15),
    function("update-quota", 15),
    function("update-ticket-type", 15),
];
// end of what is derived

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_callers_timeout_is_longer_than_its_callees() {
        let of = |name: &str| {
            let function = ALL.iter().find(|function| function.name == name);
            function.unwrap().timeout
        };
        let api_gateway = Duration::from_secs(30);
        for function in ["create-booking", "cancel-booking", "create-payment"] {
            assert!(of(function) < api_gateway, "{function}");
        }
        for function in ["create-booking", "cancel-booking", "settle-bookings"] {
            // It waits a second longer than the charge may take, and then has to answer.
            assert!(of(function) > 2 * of("charge-payment"), "{function}");
        }
    }
}

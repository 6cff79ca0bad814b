//! The steps and statements of bookings, each test on a database of its own.

mod baskets;
mod carry_over;
mod fairness;
mod holds;
mod mixture;
mod promo_codes;
mod steps;
mod tickets;

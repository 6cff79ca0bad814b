//! What a deploy and a rotation need: the stores' accounts, new passwords, and CloudFormation's answer.
//!
//! Only `migrate` and `rotate-secret` depend on this crate.

pub mod accounts;
pub mod cloudformation;
pub mod rotation;

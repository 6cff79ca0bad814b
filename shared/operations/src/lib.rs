//! What a deploy and a rotation need: the stores' accounts, new passwords, and CloudFormation's answer.
//!
//! Only `functions/deploy` depends on this crate.

pub mod accounts;
pub mod cloudformation;
pub mod rotation;

//! The pages for people: HTML that is made here, in English and German, and works without a script.
//!
//! A page calls a step of the business, as an endpoint of the API does, and shows its result. Pages know of each
//! other by their addresses only: every change is a form that answers 303, so that "back" and "reload" change nothing.

pub mod account;
pub mod assets;
pub mod bank;
pub mod booking;
pub mod desk;
pub mod edit;
mod edit_forms;
mod format;
mod frame;
mod language;
mod order;
mod organizer;
pub mod problem;
mod respond;
mod session;
pub mod shop;
mod texts;

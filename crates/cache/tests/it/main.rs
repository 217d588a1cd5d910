//! The public API of `bedplate-cache`.
#![expect(clippy::unwrap_used, reason = "a test that cannot unwrap has failed")]

mod budget;
mod events;
mod loads;
mod model;
mod satellites;
mod store;
mod stress;

//! The public API of `bedplate-cache`.
#![expect(clippy::unwrap_used, reason = "a test that cannot unwrap has failed")]

mod budget;
#[cfg(feature = "derive")]
mod derive;
mod events;
mod expiry;
mod loads;
mod model;
mod store;
mod stress;

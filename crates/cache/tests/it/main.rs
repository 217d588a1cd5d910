//! The public API of `bedplate-cache`.
#![expect(clippy::unwrap_used, reason = "a test that cannot unwrap has failed")]

mod batch;
mod blocking;
mod bounds;
mod budget;
#[cfg(feature = "derive")]
mod derive;
mod engine;
mod events;
mod expiry;
mod invalidation;
mod loads;
mod model;
#[cfg(all(feature = "json", feature = "snapshot", feature = "testing"))]
mod node;
mod satellites;
mod stampede;
mod store;
mod stress;

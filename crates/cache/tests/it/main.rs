//! The public API of `bedplate-cache`.
#![expect(clippy::unwrap_used, reason = "a test that cannot unwrap has failed")]

mod batch;
mod blocking;
mod bounds;
mod budget;
mod circles;
#[cfg(feature = "macros")]
mod derive;
mod engine;
mod events;
mod expiry;
mod invalidation;
mod loads;
#[cfg(feature = "macros")]
mod memoize;
mod model;
#[cfg(all(feature = "json", feature = "snapshot", feature = "testing"))]
mod node;
mod refresh;
mod satellites;
mod stampede;
mod store;
mod straight;
mod stress;

//! The public API of `bedplate-tasks`, from outside.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod blocking;
mod jobs;
mod memory_contract;
mod pool;
#[cfg(feature = "postgres")]
mod postgres_contract;
#[cfg(feature = "postgres")]
mod postgres_outage;
#[cfg(feature = "postgres")]
mod postgres_store;
#[cfg(feature = "postgres")]
mod postgres_support;
mod queue;
mod shutdown;
#[cfg(feature = "sqlite")]
mod sqlite_contract;
mod support;
mod surface;
mod testing_help;
mod trace;

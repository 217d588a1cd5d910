//! The public API of `bedplate-tasks`, from outside.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod ageing;
mod blocking;
#[cfg(feature = "cron")]
mod cron;
mod faulty;
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
mod queues;
mod raised;
#[cfg(feature = "redis")]
mod redis_contract;
#[cfg(feature = "redis")]
mod redis_engine;
#[cfg(feature = "redis")]
mod redis_jobs;
#[cfg(feature = "redis")]
mod redis_node;
#[cfg(feature = "redis")]
mod redis_outage;
#[cfg(feature = "redis")]
mod redis_support;
#[cfg(feature = "encryption")]
mod sealed;
mod shutdown;
#[cfg(feature = "sqlite")]
mod sqlite_contract;
#[cfg(feature = "sqlite")]
mod sqlite_store;
mod stuck;
mod support;
mod surface;
mod testing_help;
mod trace;

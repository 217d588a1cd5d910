//! The public API of `bedplate-tasks`, from outside.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod blocking;
mod jobs;
mod memory_contract;
mod pool;
mod queue;
mod shutdown;
mod support;
mod surface;
mod trace;

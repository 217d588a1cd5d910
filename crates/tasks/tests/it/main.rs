//! The public API of `bedplate-tasks`, from outside.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod blocking;
mod pool;
mod shutdown;
mod store;
mod support;
mod surface;
mod trace;

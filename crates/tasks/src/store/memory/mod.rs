//! Jobs in memory: nothing needs to be installed, nothing outlives the process.

mod board;
mod control;
mod entry;
mod limiter;
mod store;

pub use store::{MemoryConfig, MemoryStore};

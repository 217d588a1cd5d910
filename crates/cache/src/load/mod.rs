//! Loads what is missing, once per key.
//!
//! The load runs in a task of its own, not in the caller that happened to come first. So a caller
//! that gives up harms nobody, and everyone who waits is told of the same end: value, error or
//! panic. The alternative, a leader that loads in its own future and hands over when it is dropped,
//! starts the load anew with every timeout and, where errors are not shared, turns a failing origin
//! and N callers into N calls one after another.
//!
//! What to do for a caller is decided in `engine`; here it is done.

mod batch;
mod blocking;
mod context;
mod fetch;
mod fetched;
mod finish;
mod flight;
mod landing;
mod lineage;
#[cfg(feature = "macros")]
pub(crate) mod memoized;
mod patience;
mod refresh;
mod task;

pub use batch::Batch;
#[cfg(feature = "remote")]
pub(crate) use blocking::block_until;
#[cfg(feature = "remote")]
pub(crate) use context::Directives;
pub use context::LoadContext;
#[cfg(feature = "remote")]
pub(crate) use context::Storage;
pub use fetched::{Fetched, Source};
#[cfg(feature = "remote")]
pub(crate) use finish::Flight;
pub(crate) use flight::{FlightTable, hit_event};
#[cfg(feature = "remote")]
pub(crate) use landing::Failure;
pub(crate) use task::panic_message;
#[cfg(feature = "remote")]
pub(crate) use task::{catch, flatten, keys_of, share};

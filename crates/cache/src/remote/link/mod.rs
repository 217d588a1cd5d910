//! The shell around tier, backplane, breaker and queue: what the cache drives.
//!
//! ```text
//! load    breaker → tier (key and markers in one batch) → envelope → newer than every marker?
//! write   breaker → tier, newest wins → notification      } on failure: queued, replayed in order
//! ```
//! Nothing here fails a caller: a load that cannot be done is a miss with a reason, a write that cannot
//! be done is queued.

mod digest;
mod load;
mod outbox;
mod replay;
mod shell;
mod write;

pub(crate) use outbox::Prepared;
pub use shell::{CompiledPattern, LinkConfig, LinkStats, Loaded, RemoteEvent, RemoteLink, Replay, Written};

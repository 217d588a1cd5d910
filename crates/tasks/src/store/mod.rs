//! Where jobs wait and are claimed.
//!
//! [`MemoryQueue`] is the engine in memory: bounded, by priority with ageing, claims are leases with fencing
//! tokens. The pool runs closures on it directly. [`JobStore`] is the contract for jobs that are data, so that
//! they can outlive the process; [`MemoryStore`] keeps it on the same engine, durable stores keep it on theirs.

mod job;
mod lease;
mod memory;
mod queue;
mod ready;

pub use job::{Claim, ClaimRequest, JobRecord, JobState, JobStore, NewJob, Settlement, StoreError};
pub use lease::Lease;
pub use memory::MemoryStore;
pub use queue::{Claimed, MemoryQueue, PushError, QueueConfig, QueueStats};
pub use ready::{Priority, ReadyQueue, Ticket};

//! What could not be written or told while the remote was away.
//!
//! For every key the last word counts, so the queue holds one item per key and tag and pattern. Each
//! item is replayed remote first, then notification: a node that hears of a change must find it. When
//! the queue overflows, something is lost that others rely on; it says so by one sweeping item that
//! makes everything older suspect, which costs reloads and never serves what is wrong.

mod queue;

pub use queue::{Pending, PendingWrite, Pushed, RecoveryConfig, RecoveryQueue, Step, StepId};

use serde::{Deserialize, Serialize};

/// What a store can do beyond the contract's core.
///
/// A call that needs what is missing is refused with
/// [`StoreError::Unsupported`](crate::store::StoreError::Unsupported), never done in part.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
#[expect(clippy::struct_excessive_bools, reason = "each is an independent flag that a caller asks for by name")]
pub struct Capabilities {
    /// The store's name: `memory`, `sqlite`, `redis`, `postgres`.
    pub name: &'static str,
    /// Jobs outlive the process that submitted them.
    pub durable: bool,
    /// Other processes can share the jobs.
    pub shared: bool,
    /// A job can be enqueued in a transaction of the caller's: it exists if and only if that commits.
    pub transactional: bool,
    /// Waiting raises a job's priority.
    pub ageing: bool,
    /// A signal reaches other processes without their polling.
    pub push: bool,
    /// At most so many of a key run at a time, over all processes.
    pub key_concurrency: bool,
    /// At most so many of a key start per time, over all processes.
    pub key_rate: bool,
    /// At most so many of a queue run at a time, or start per time, over all processes.
    pub queue_limits: bool,
    /// Jobs may wait for others to complete.
    pub dependencies: bool,
}

impl Capabilities {
    /// Describes a store of this name that can do all in one process, and nothing beyond it.
    #[must_use]
    pub const fn in_process(name: &'static str) -> Self {
        Self {
            name,
            durable: false,
            shared: false,
            transactional: false,
            ageing: true,
            push: true,
            key_concurrency: true,
            key_rate: true,
            queue_limits: true,
            dependencies: true,
        }
    }
}

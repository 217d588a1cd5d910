//! The bounded queue in memory on which [`TaskPool`](crate::TaskPool) runs closures.
//!
//! [`MemoryQueue`] orders by priority with ageing. Jobs that are data,
//! so that they can outlive the process, are another matter: see [`store`](crate::store).

mod memory_queue;
mod ready;

pub use memory_queue::{Claimed, MemoryQueue, PushError, QueueConfig, QueueStats};
pub use ready::{Priority, ReadyQueue, Ticket};

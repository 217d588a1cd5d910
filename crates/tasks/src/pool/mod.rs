//! The pool: what is shared, its workers, and its end.
//!
//! Workers are a fixed number of tokio tasks that claim from one queue, rather than one spawned task per job: a
//! job costs no spawn, the number of running jobs is bounded by construction, and a worker that waits costs
//! nothing. A job's future is polled inside its worker, which catches its panics and drops it when it is
//! cancelled or out of time.

mod shared;
mod task_pool;
mod worker;

pub(crate) use shared::Shared;
pub use task_pool::TaskPool;

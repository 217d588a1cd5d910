#![doc = include_str!("../README.md")]

mod cell;
mod config;
mod context;
#[cfg(feature = "encryption")]
mod encryption;
mod error;
mod handle;
mod id;
#[cfg(all(test, shuttle))]
mod interleavings;
mod job;
mod jobs;
mod observer;
mod pool;
mod progress;
pub mod queue;
mod state;
mod stats;
pub mod store;
mod sync;
mod task;
#[cfg(feature = "testing")]
pub mod testing;

pub use config::{ConfigError, PoolBuilder, PoolConfig};
pub use context::{Cancelled, TaskContext};
#[cfg(feature = "encryption")]
pub use encryption::{Keyring, KeyringError};
pub use error::{SubmitError, TaskError};
pub use handle::TaskHandle;
pub use id::TaskId;
pub use job::{
    Attempt, Codec, CodecError, Decision, Job, JobContext, JobError, JobOptions, JsonCodec, Outcome, Stop, Stopped,
    UpgradeError,
};
pub use jobs::{
    AttemptEnd, Batch, BatchHandle, BatchProgress, Drain, DrainReport, EnqueueError, JobEvent, JobHandle, JobStatus,
    Jobs, JobsBuilder, JobsConfig, JobsStats, Latency, Propagate, QueueOptions, StartError, Submit, WaitError,
};
#[cfg(feature = "cron")]
pub use jobs::{CronError, CronSchedule, Missed, Overlap};
pub use observer::{Observer, TaskEvent};
pub use pool::TaskPool;
pub use progress::Progress;
pub use queue::Priority;
pub use state::{CancelReason, FailReason, TaskState};
pub use stats::{ShutdownReport, TaskStats, WorkerStats};
pub use task::Task;

/// How long [`JobOptions::backoff`] waits between attempts, and how that is scattered.
pub use bedplate_recovery::{Backoff, Jitter};

/// The SQLite library whose transactions [`SqliteStore::enqueue_in`](store::SqliteStore::enqueue_in) takes.
#[cfg(feature = "sqlite")]
pub use rusqlite;

/// The PostgreSQL library whose connections [`PostgresStore::enqueue_in`](store::PostgresStore::enqueue_in) takes.
#[cfg(feature = "postgres")]
pub use sqlx;

/// Compiles the blocks of the guide; a packaged crate has no such file, `cfg(doctest)` keeps it out.
#[cfg(doctest)]
#[doc = include_str!("../../../docs/src/guides/tasks.md")]
struct Guide;

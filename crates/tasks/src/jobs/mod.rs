//! The runtime of typed jobs: submitting, waiting, working.

mod batch;
mod builder;
mod config;
mod core;
#[cfg(feature = "cron")]
mod cron;
mod error;
mod event;
mod handle;
mod jobs_handle;
mod latency;
mod propagate;
mod shutdown;
mod stats;
mod submit;
mod waiters;
mod worker;

pub use batch::{Batch, BatchHandle, BatchProgress};
pub use builder::JobsBuilder;
pub use config::{JobsConfig, QueueOptions};
#[cfg(feature = "cron")]
pub use cron::{CronError, CronSchedule, Missed, Overlap};
pub use error::{EnqueueError, StartError, WaitError};
pub use event::{AttemptEnd, JobEvent};
pub use handle::{JobHandle, JobStatus};
pub use jobs_handle::Jobs;
pub use latency::Latency;
pub use propagate::Propagate;
pub use shutdown::{Drain, DrainReport};
pub use stats::JobsStats;
pub use submit::Submit;

//! Where jobs that are data wait, are claimed under a lease, and leave their result.
//!
//! [`JobStore`] is what producers and workers need, [`StoreControl`] what operators need, [`Store`] is both. Delivery is
//! at least once: a lease that is over gives the job to somebody else, and what the first holder says afterwards is
//! refused, so that a job has one accepted end. What a store cannot do it says in its [`Capabilities`].

#[cfg(any(feature = "postgres", feature = "redis"))]
mod books;
mod capabilities;
mod claim;
mod contract;
mod control;
mod error;
mod limits;
mod memory;
mod new_job;
#[cfg(feature = "postgres")]
mod postgres;
mod record;
#[cfg(feature = "redis")]
mod redis;
mod signal;
#[cfg(feature = "sqlite")]
mod sqlite;
mod validate;

pub use capabilities::Capabilities;
pub use claim::{Beat, Claim, ClaimRequest, End, Lease, LeaseState, QueueClaim, Settled, Settlement};
pub use contract::{JobStore, Store, StoreControl};
pub use control::{JobQuery, Maintained, QueueDepth, StoreStats, WorkerInfo};
pub(crate) use error::LONGEST_DELAY;
pub use error::StoreError;
pub use limits::{KeyLimit, Rate, Retention, Unique, UniqueScope};
pub use memory::{MemoryConfig, MemoryStore};
pub use new_job::{BatchId, Enqueued, NewJob, OnDependencyFailure, Start};
#[cfg(feature = "postgres")]
pub use postgres::{PostgresBuilder, PostgresStore};
pub use record::{Failure, FailureKind, JobProgress, JobRecord, JobState};
#[cfg(feature = "redis")]
pub use redis::{RedisStore, RedisStoreBuilder};
pub use signal::Signal;
#[cfg(feature = "sqlite")]
pub use sqlite::{Durability, SqliteBuilder, SqliteStore};

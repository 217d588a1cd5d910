#![doc = include_str!("../README.md")]

pub mod advise;
mod biased;
mod budget;
mod builder;
mod cache;
mod clock;
mod config;
mod counters;
mod engine;
mod entry;
mod error;
mod expiry;
mod held;
mod inner;
#[cfg(all(test, shuttle))]
mod interleavings;
mod invalidation;
mod latency;
mod load;
#[cfg(feature = "macros")]
#[doc(hidden)]
pub mod memo;
mod node;
mod observer;
mod options;
mod outgoing;
mod policy;
#[cfg(feature = "remote")]
pub mod remote;
#[cfg(not(shuttle))]
mod seat;
#[cfg(feature = "semantic")]
pub mod semantic;
mod shard;
#[cfg(feature = "snapshot")]
pub mod snapshot;
mod stats;
mod sweep;
mod sweeper;
mod sync;
mod weigh;

#[cfg(feature = "macros")]
pub use bedplate_cache_macros::{Weigh, memoize};
pub use builder::CacheBuilder;
pub use cache::Cache;
pub use clock::{Clock, CoarseClock, ManualClock, TokioClock};
pub use config::CacheConfig;
pub use error::{ConfigError, LoadError};
pub use invalidation::{CacheKey, Glob, GlobError, Invalidation, InvalidationSink, Tag, TextKey};
pub use latency::LatencyHistogram;
pub use load::{Batch, Fetched, LoadContext, Source};
pub use node::AdvisorConfig;
#[cfg(feature = "remote")]
pub use node::{Flushed, NodeConfig, WriteMode};
#[cfg(feature = "snapshot")]
pub use node::{SnapshotTaken, WarmStart};
pub use observer::{CacheEvent, LoadOutcome, MissCause, Observer};
pub use options::{EntryOptions, Insertion};
pub use policy::EvictionPolicy;
pub use stats::CacheStats;
pub use weigh::{ByWeight, Weigh, Weigher};

/// The blocks of the guide are tests too.
#[cfg(doctest)]
#[doc = include_str!("../../../docs/src/guides/cache.md")]
#[doc = include_str!("../../../docs/src/guides/cache/watch.md")]
#[doc = include_str!("../../../docs/src/guides/cache/memoize.md")]
#[doc = include_str!("../../../docs/src/guides/cache/weigh.md")]
#[doc = include_str!("../../../docs/src/guides/cache/resilience.md")]
#[doc = include_str!("../../../docs/src/guides/cache/remote.md")]
#[doc = include_str!("../../../docs/src/guides/cache/advise.md")]
#[doc = include_str!("../../../docs/src/guides/cache/snapshot.md")]
#[doc = include_str!("../../../docs/src/guides/cache/semantic.md")]
struct Guide;

//! What a cache is a part of: the tier behind it, the nodes beside it, the file it starts from, the
//! advisor that watches it.
//!
//! The store and the engine know one thing of all this: [`Attached`], whose every method does nothing
//! where nothing was attached. A load asks the tier before the loader, in the load's own task, so that
//! whoever waits shares that too; what a caller changes is heeded by the link to the tier before it
//! takes effect here, so that no load can bring the old value back in between. The alternative, a cache
//! wrapped around a cache, has two single flights, two clocks of staleness and a gap between them.

mod advisor;
#[cfg(not(feature = "remote"))]
mod alone;
#[cfg(feature = "remote")]
mod arrival;
mod attached;
mod attachments;
#[cfg(feature = "remote")]
mod config;
#[cfg(feature = "remote")]
mod flush;
#[cfg(feature = "remote")]
mod listen;
#[cfg(feature = "remote")]
mod look;
#[cfg(feature = "remote")]
mod patterns;
#[cfg(feature = "remote")]
mod remote;
#[cfg(feature = "remote")]
mod setup;
#[cfg(feature = "remote")]
mod turn;
#[cfg(feature = "snapshot")]
mod warm;
#[cfg(feature = "remote")]
mod word;

pub use advisor::AdvisorConfig;
#[cfg(feature = "remote")]
pub(crate) use arrival::{Arrival, Remaining};
pub(crate) use attached::Attached;
pub(crate) use attachments::Attachments;
#[cfg(feature = "remote")]
pub use config::{NodeConfig, WriteMode};
#[cfg(feature = "remote")]
pub use flush::Flushed;
#[cfg(feature = "remote")]
pub(crate) use remote::RemoteNode;
#[cfg(feature = "remote")]
pub(crate) use setup::{KeyText, NodeSetup};
#[cfg(feature = "remote")]
pub(crate) use turn::{run, run_blocking, run_many};
#[cfg(feature = "snapshot")]
pub use warm::{SnapshotTaken, WarmStart};
#[cfg(feature = "remote")]
pub(crate) use word::Word;

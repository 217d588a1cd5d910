//! What stands beside the store: remote tiers, look-up by meaning, advice, snapshots.

mod bounds;
#[cfg(all(feature = "testing", feature = "remote"))]
mod contracts;
#[cfg(all(feature = "testing", feature = "remote"))]
mod link;
#[cfg(all(feature = "redis", feature = "testing"))]
mod redis;
#[cfg(feature = "semantic")]
mod semantic;
#[cfg(feature = "snapshot")]
mod snapshot;

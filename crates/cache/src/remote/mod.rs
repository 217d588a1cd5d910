//! A second tier behind the memory, and the word to other nodes.
//!
//! Three small traits meet the outside: a [`RemoteTier`] keeps bytes, a [`Backplane`] carries
//! [`Notification`]s, a [`RemoteLock`] lets one node of many load. What they carry is typed on this
//! side of them: a [`Codec`] turns values into bytes, and a sealed envelope around those bytes says
//! when the value began to be true, until when it is fresh and whether it arrived whole.
//!
//! Newest wins, everywhere and by one rule: every write and every notification bears a [`Stamp`], and
//! a tier keeps what it has when that is newer. A replayed write from an hour ago cannot undo what
//! another node wrote since, which is why the recovery queue may replay without asking first. The
//! alternative, unconditional writes and trust in the order of arrival, is what makes a tier serve
//! old values after an outage.
//!
//! The decisions are pure and take the time as an argument: [`StampClock`], [`RemoteBreaker`],
//! [`RecoveryQueue`], [`GapDetector`]. [`RemoteLink`] is the thin shell that the cache drives.

mod backplane;
mod breaker;
mod codec;
#[cfg(feature = "disk")]
mod disk;
mod envelope;
mod error;
mod flight;
mod gaps;
mod link;
mod memory;
mod notification;
mod reader;
mod recovery;
#[cfg(feature = "redis")]
mod redis_backplane;
#[cfg(feature = "redis")]
mod redis_tier;
mod stamp;
#[cfg(feature = "testing")]
pub mod testing;
mod tier;
mod wall;
mod wire;

pub use backplane::{Backplane, Delivery, GapReason, MemoryBackplane, Subscription};
pub use breaker::{Admission, BreakerConfig, BreakerState, RemoteBreaker};
#[cfg(feature = "json")]
pub use codec::JsonCodec;
#[cfg(feature = "postcard")]
pub use codec::PostcardCodec;
pub use codec::{BytesCodec, Codec, CodecError};
#[cfg(feature = "disk")]
pub use disk::{DiskTier, DiskTierConfig};
pub use envelope::{Envelope, EnvelopeError, EnvelopeKind, EnvelopeLimits, EnvelopeMeta, Sealed};
pub use error::RemoteError;
pub use flight::{DistributedFlight, FlightConfig, LeaseGuard, Turn};
pub use gaps::{GapDetector, Sequence};
pub(crate) use link::Prepared;
pub use link::{CompiledPattern, LinkConfig, LinkStats, Loaded, RemoteEvent, RemoteLink, Replay, Written};
pub use memory::MemoryTier;
pub use notification::{Change, Notification, NotificationError};
pub use recovery::{Pending, PendingWrite, Pushed, RecoveryConfig, RecoveryQueue, Step, StepId};
#[cfg(feature = "redis")]
pub use redis_backplane::{RedisBackplane, RedisBackplaneConfig};
#[cfg(feature = "redis")]
pub use redis_tier::{RedisTier, RedisTierConfig};
pub use stamp::{NodeId, Skewed, Stamp, StampClock};
pub use tier::{KeyMatcher, LockToken, RemoteLock, RemoteTier, StoreOutcome, Write};
pub use wall::{ManualWallClock, SystemWallClock, WallClock};
pub use wire::{OpenError, Opened, Wire};

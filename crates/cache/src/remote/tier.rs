//! What a second tier must be able to do.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;

use super::{RemoteError, Sealed, Stamp};

/// Keeps sealed envelopes by key, outside of this process.
///
/// An implementation bounds every call in time by itself: a call that hangs holds up a load. It never
/// looks into an envelope but at the stamp in its head. Keys are arbitrary bytes, the same on every
/// node. `testing::remote_contract` is the suite that every implementation passes.
#[async_trait]
pub trait RemoteTier: fmt::Debug + Send + Sync + 'static {
    /// Returns what is stored under a key and has not run out.
    ///
    /// # Errors
    ///
    /// Any [`RemoteError`]; absence is none.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future leaves the tier as it was.
    async fn load(&self, key: &[u8]) -> Result<Option<Bytes>, RemoteError>;

    /// Returns what is stored under each of the keys, in their order.
    ///
    /// # Errors
    ///
    /// As [`load`](Self::load); one failure fails the batch.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future leaves the tier as it was.
    async fn load_many(&self, keys: &[Bytes]) -> Result<Vec<Option<Bytes>>, RemoteError> {
        let mut found = Vec::with_capacity(keys.len());
        for key in keys {
            found.push(self.load(key).await?);
        }
        Ok(found)
    }

    /// Stores an envelope unless a newer one is there, in one indivisible step.
    ///
    /// # Errors
    ///
    /// Any [`RemoteError`]. After one that is transient the write may or may not have happened; the
    /// same write may be made again, since its stamp is the same.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future leaves the write done or not done, never half done.
    async fn store(&self, write: Write<'_>) -> Result<StoreOutcome, RemoteError>;

    /// Removes a key; `true` if it was there.
    ///
    /// This forgets the stamp as well, so that an older write may come back: to invalidate, store a
    /// tombstone.
    ///
    /// # Errors
    ///
    /// Any [`RemoteError`].
    ///
    /// # Cancel safety
    ///
    /// Dropping the future leaves the removal done or not done.
    async fn remove(&self, key: &[u8]) -> Result<bool, RemoteError>;

    /// Removes every key that matches and whose envelope is older than a stamp, and returns how many
    /// they were. It looks at all keys, so it is slow work for the background.
    ///
    /// # Errors
    ///
    /// Any [`RemoteError`]; some keys may be removed then, and it may be called again.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future leaves some of the keys removed.
    async fn purge(&self, matches: KeyMatcher<'_>, before: Stamp) -> Result<u64, RemoteError>;
}

/// Chooses keys, see [`RemoteTier::purge`].
pub type KeyMatcher<'a> = &'a (dyn Fn(&[u8]) -> bool + Send + Sync);

#[async_trait]
impl<T: RemoteTier + ?Sized> RemoteTier for Arc<T> {
    async fn load(&self, key: &[u8]) -> Result<Option<Bytes>, RemoteError> {
        (**self).load(key).await
    }

    async fn load_many(&self, keys: &[Bytes]) -> Result<Vec<Option<Bytes>>, RemoteError> {
        (**self).load_many(keys).await
    }

    async fn store(&self, write: Write<'_>) -> Result<StoreOutcome, RemoteError> {
        (**self).store(write).await
    }

    async fn remove(&self, key: &[u8]) -> Result<bool, RemoteError> {
        (**self).remove(key).await
    }

    async fn purge(&self, matches: KeyMatcher<'_>, before: Stamp) -> Result<u64, RemoteError> {
        (**self).purge(matches, before).await
    }
}

/// One write to a tier.
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub struct Write<'a> {
    /// The key.
    pub key: &'a [u8],
    /// The envelope.
    pub envelope: &'a Sealed,
    /// How long it is kept; `None` keeps it until it is removed or the tier needs the room.
    pub ttl: Option<Duration>,
    /// A stored envelope whose stamp is later than this time, in milliseconds since 1970, is not
    /// believed and is overwritten: its node's clock was wrong.
    pub trusted_until: u64,
}

impl<'a> Write<'a> {
    /// Describes a write that believes every stamp and is kept without limit.
    pub const fn new(key: &'a [u8], envelope: &'a Sealed) -> Self {
        Self { key, envelope, ttl: None, trusted_until: u64::MAX }
    }

    /// Sets how long it is kept.
    #[must_use]
    pub const fn ttl(mut self, ttl: Option<Duration>) -> Self {
        self.ttl = ttl;
        self
    }

    /// Sets the latest time of a stored stamp that is believed.
    #[must_use]
    pub const fn trusted_until(mut self, millis: u64) -> Self {
        self.trusted_until = millis;
        self
    }

    /// Tells whether this write gives way to the stored bytes: the rule that every tier follows.
    pub fn gives_way_to(&self, stored: &[u8]) -> bool {
        Sealed::peek_stamp(stored)
            .is_some_and(|stored| stored.millis() <= self.trusted_until && stored > self.envelope.stamp())
    }
}

/// What became of a write.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum StoreOutcome {
    /// It is stored.
    Stored,
    /// Something newer was there and stays.
    Outdated,
}

/// A lock with a lease, so that of many nodes one loads.
///
/// A lease is a hint that saves work, not mutual exclusion: a holder that stalls beyond its lease has
/// lost it without knowing. The stamps of the writes keep the values right in any case.
#[async_trait]
pub trait RemoteLock: fmt::Debug + Send + Sync + 'static {
    /// Takes the lock for so long, unless another token holds it; `true` if it was taken.
    ///
    /// # Errors
    ///
    /// Any [`RemoteError`]; the lock may have been taken then and runs out by itself.
    ///
    /// # Cancel safety
    ///
    /// After dropping the future the lock may be taken and runs out by itself.
    async fn acquire(&self, key: &[u8], token: LockToken, lease: Duration) -> Result<bool, RemoteError>;

    /// Gives the lock back if this token still holds it; `true` if it did.
    ///
    /// # Errors
    ///
    /// Any [`RemoteError`]; the lock runs out by itself.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future leaves the lock given back or running out.
    async fn release(&self, key: &[u8], token: LockToken) -> Result<bool, RemoteError>;
}

#[async_trait]
impl<T: RemoteLock + ?Sized> RemoteLock for Arc<T> {
    async fn acquire(&self, key: &[u8], token: LockToken, lease: Duration) -> Result<bool, RemoteError> {
        (**self).acquire(key, token, lease).await
    }

    async fn release(&self, key: &[u8], token: LockToken) -> Result<bool, RemoteError> {
        (**self).release(key, token).await
    }
}

/// Tells one holder of a lock from all others.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct LockToken(u128);

impl LockToken {
    /// Makes a token that nobody else has.
    pub fn random() -> Self {
        Self(fastrand::u128(1..))
    }

    /// Returns it as the text that a tier stores.
    pub fn to_text(self) -> String {
        format!("{:032x}", self.0)
    }
}

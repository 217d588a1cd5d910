//! A tier, lock or backplane that misbehaves on demand.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use parking_lot::Mutex;

use crate::remote::{
    Backplane, KeyMatcher, LockToken, Notification, RemoteError, RemoteLock, RemoteTier, Stamp, StoreOutcome,
    Subscription, Write,
};

/// How a double behaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Manner {
    /// As what it wraps.
    Well,
    /// Every call fails.
    Down,
    /// Of so many calls the first fails.
    Flaky(u64),
    /// Every call takes so long.
    Slow(Duration),
    /// No call ever ends.
    Stuck,
    /// Writes happen, and their answer is lost.
    Mute,
    /// Loads return bytes that nobody stored.
    Garbage,
    /// Every call panics.
    Panicking,
}

/// Wraps a tier, lock or backplane; clones share the manner.
#[derive(Debug, Clone)]
pub struct Unruly<T> {
    inner: T,
    state: Arc<State>,
}

#[derive(Debug)]
struct State {
    manner: Mutex<Manner>,
    calls: AtomicU64,
}

impl<T> Unruly<T> {
    /// Wraps something, well-behaved at first.
    pub fn new(inner: T) -> Self {
        let state = State { manner: Mutex::new(Manner::Well), calls: AtomicU64::new(0) };
        Self { inner, state: Arc::new(state) }
    }

    /// Changes the manner of all clones, from the next call on.
    pub fn set(&self, manner: Manner) {
        *self.state.manner.lock() = manner;
    }

    /// Returns how many calls were made.
    pub fn calls(&self) -> u64 {
        self.state.calls.load(Ordering::SeqCst)
    }

    #[expect(clippy::panic, reason = "one of the ways to misbehave")]
    async fn act<R>(&self, call: impl Future<Output = Result<R, RemoteError>>) -> Result<R, RemoteError> {
        let count = self.state.calls.fetch_add(1, Ordering::SeqCst);
        let manner = *self.state.manner.lock();
        let down = || RemoteError::unreachable("the double is down");
        match manner {
            Manner::Down => Err(down()),
            Manner::Flaky(of) if count.is_multiple_of(of.max(1)) => Err(down()),
            Manner::Well | Manner::Garbage | Manner::Flaky(_) => call.await,
            Manner::Slow(pause) => {
                tokio::time::sleep(pause).await;
                call.await
            }
            Manner::Stuck => std::future::pending().await,
            Manner::Panicking => panic!("the double is broken"),
            Manner::Mute => call.await.and_then(|_| Err(RemoteError::timed_out(Duration::ZERO))),
        }
    }

    fn garble(&self, found: Option<Bytes>) -> Option<Bytes> {
        if *self.state.manner.lock() == Manner::Garbage { Some(Bytes::from_static(b"BPCE\x01garbage")) } else { found }
    }
}

#[async_trait]
impl<T: RemoteTier> RemoteTier for Unruly<T> {
    async fn load(&self, key: &[u8]) -> Result<Option<Bytes>, RemoteError> {
        self.act(self.inner.load(key)).await.map(|found| self.garble(found))
    }

    async fn load_many(&self, keys: &[Bytes]) -> Result<Vec<Option<Bytes>>, RemoteError> {
        let found = self.act(self.inner.load_many(keys)).await?;
        Ok(found.into_iter().map(|found| self.garble(found)).collect())
    }

    async fn store(&self, write: Write<'_>) -> Result<StoreOutcome, RemoteError> {
        self.act(self.inner.store(write)).await
    }

    async fn remove(&self, key: &[u8]) -> Result<bool, RemoteError> {
        self.act(self.inner.remove(key)).await
    }

    async fn purge(&self, matches: KeyMatcher<'_>, before: Stamp) -> Result<u64, RemoteError> {
        self.act(self.inner.purge(matches, before)).await
    }
}

#[async_trait]
impl<T: RemoteLock> RemoteLock for Unruly<T> {
    async fn acquire(&self, key: &[u8], token: LockToken, lease: Duration) -> Result<bool, RemoteError> {
        self.act(self.inner.acquire(key, token, lease)).await
    }

    async fn release(&self, key: &[u8], token: LockToken) -> Result<bool, RemoteError> {
        self.act(self.inner.release(key, token)).await
    }
}

#[async_trait]
impl<T: Backplane> Backplane for Unruly<T> {
    async fn publish(&self, notification: &Notification) -> Result<(), RemoteError> {
        self.act(self.inner.publish(notification)).await
    }

    async fn subscribe(&self) -> Result<Subscription, RemoteError> {
        self.act(self.inner.subscribe()).await
    }
}

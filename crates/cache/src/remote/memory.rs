//! A tier within the process: for tests, and for several caches of one process.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use parking_lot::Mutex;
use tokio::time::Instant;

use super::{KeyMatcher, LockToken, RemoteError, RemoteLock, RemoteTier, Sealed, Stamp, StoreOutcome, Write};

/// Keeps envelopes in memory, without a bound; clones share what they keep.
///
/// It follows tokio's time, paused or not.
#[derive(Debug, Clone, Default)]
pub struct MemoryTier {
    state: Arc<Mutex<State>>,
}

#[derive(Debug, Default)]
struct State {
    entries: HashMap<Vec<u8>, Entry>,
    locks: HashMap<Vec<u8>, (LockToken, Instant)>,
}

#[derive(Debug)]
struct Entry {
    bytes: Bytes,
    until: Option<Instant>,
}

impl MemoryTier {
    /// Makes an empty tier.
    pub fn new() -> Self {
        Self::default()
    }

    /// Returns how many entries it keeps, run out ones included.
    pub fn len(&self) -> usize {
        self.state.lock().entries.len()
    }

    /// Tells whether it keeps none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Puts bytes under a key as they are, whatever they are: for tests of what a tier may return.
    pub fn plant(&self, key: &[u8], bytes: impl Into<Bytes>) {
        self.state.lock().entries.insert(key.to_vec(), Entry { bytes: bytes.into(), until: None });
    }

    /// Returns the bytes under a key as they are.
    pub fn raw(&self, key: &[u8]) -> Option<Bytes> {
        self.state.lock().live(key)
    }
}

impl State {
    fn live(&mut self, key: &[u8]) -> Option<Bytes> {
        let entry = self.entries.get(key)?;
        if entry.until.is_some_and(|until| until <= Instant::now()) {
            self.entries.remove(key);
            return None;
        }
        Some(entry.bytes.clone())
    }
}

/// The point so far ahead, or `None` for what is beyond all clocks.
fn after(ttl: Duration) -> Option<Instant> {
    Instant::now().checked_add(ttl)
}

#[async_trait]
impl RemoteTier for MemoryTier {
    async fn load(&self, key: &[u8]) -> Result<Option<Bytes>, RemoteError> {
        Ok(self.state.lock().live(key))
    }

    async fn store(&self, write: Write<'_>) -> Result<StoreOutcome, RemoteError> {
        let mut state = self.state.lock();
        if state.live(write.key).is_some_and(|stored| write.gives_way_to(&stored)) {
            return Ok(StoreOutcome::Outdated);
        }
        let entry = Entry { bytes: write.envelope.bytes().clone(), until: write.ttl.and_then(after) };
        state.entries.insert(write.key.to_vec(), entry);
        Ok(StoreOutcome::Stored)
    }

    async fn remove(&self, key: &[u8]) -> Result<bool, RemoteError> {
        let mut state = self.state.lock();
        let was_there = state.live(key).is_some();
        state.entries.remove(key);
        Ok(was_there)
    }

    async fn purge(&self, matches: KeyMatcher<'_>, before: Stamp) -> Result<u64, RemoteError> {
        // The matcher is foreign code: it runs on a copy of the keys, outside of the lock.
        let keys: Vec<Vec<u8>> = self.state.lock().entries.keys().cloned().collect();
        let mut purged = 0;
        for key in keys.into_iter().filter(|key| matches(key)) {
            let mut state = self.state.lock();
            if state.live(&key).is_some_and(|bytes| Sealed::peek_stamp(&bytes).is_none_or(|stamp| stamp < before)) {
                state.entries.remove(&key);
                purged += 1;
            }
        }
        Ok(purged)
    }
}

#[async_trait]
impl RemoteLock for MemoryTier {
    async fn acquire(&self, key: &[u8], token: LockToken, lease: Duration) -> Result<bool, RemoteError> {
        let now = Instant::now();
        let mut state = self.state.lock();
        if state.locks.get(key).is_some_and(|(holder, until)| *until > now && *holder != token) {
            return Ok(false);
        }
        state.locks.insert(key.to_vec(), (token, now + lease));
        Ok(true)
    }

    async fn release(&self, key: &[u8], token: LockToken) -> Result<bool, RemoteError> {
        let now = Instant::now();
        let mut state = self.state.lock();
        let held = state.locks.get(key).is_some_and(|(holder, until)| *until > now && *holder == token);
        if held {
            state.locks.remove(key);
        }
        Ok(held)
    }
}

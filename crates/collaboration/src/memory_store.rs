use std::collections::{HashMap, VecDeque};
use std::fmt;

use async_trait::async_trait;
use bytes::Bytes;
use parking_lot::Mutex;

use crate::{DocumentStore, Position, StoreError, StoreErrorKind, Stored};

/// Keeps documents in memory, up to a number of bytes; the default store.
pub struct MemoryStore {
    capacity: usize,
    documents: Mutex<Documents>,
}

#[derive(Default)]
struct Documents {
    logs: HashMap<String, Log>,
    bytes: usize,
}

#[derive(Default)]
struct Log {
    snapshot: Option<Bytes>,
    updates: VecDeque<Bytes>,
    /// The position after the last update.
    end: u64,
}

impl MemoryStore {
    /// Makes a store that holds up to 256 MiB.
    #[must_use]
    pub fn new() -> Self {
        Self::with_capacity(256 << 20)
    }

    /// Makes a store that holds up to `capacity` bytes of snapshots, updates and names. What does not fit is refused
    /// with [`StoreErrorKind::Full`]; nothing is dropped to make room.
    #[must_use]
    pub fn with_capacity(capacity: usize) -> Self {
        Self { capacity, documents: Mutex::default() }
    }

    /// Returns how many documents are stored.
    #[must_use]
    pub fn len(&self) -> usize {
        self.documents.lock().logs.len()
    }

    /// Says whether no document is stored.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Returns how many bytes are stored.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.documents.lock().bytes
    }

    fn admit(&self, documents: &Documents, less: usize, more: usize) -> Result<usize, StoreError> {
        let bytes = documents.bytes.saturating_sub(less).saturating_add(more);
        if more > less && bytes > self.capacity {
            return Err(StoreError::new(
                StoreErrorKind::Full,
                format!("{bytes} bytes would be stored, expected at most {}", self.capacity),
            ));
        }
        Ok(bytes)
    }
}

impl Default for MemoryStore {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for MemoryStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemoryStore")
            .field("documents", &self.len())
            .field("bytes", &self.bytes())
            .field("capacity", &self.capacity)
            .finish()
    }
}

impl Log {
    fn bytes(&self) -> usize {
        self.snapshot.as_ref().map_or(0, Bytes::len) + self.updates.iter().map(Bytes::len).sum::<usize>()
    }
}

#[async_trait]
impl DocumentStore for MemoryStore {
    async fn load(&self, document: &str) -> Result<Stored, StoreError> {
        let documents = self.documents.lock();
        Ok(documents.logs.get(document).map_or_else(Stored::default, |log| {
            Stored::new(log.snapshot.clone(), log.updates.iter().cloned().collect(), Position::new(log.end))
        }))
    }

    async fn append(&self, document: &str, updates: &[Bytes]) -> Result<Position, StoreError> {
        let mut documents = self.documents.lock();
        let name = if documents.logs.contains_key(document) { 0 } else { document.len() };
        let more = updates.iter().map(Bytes::len).sum::<usize>() + name;
        documents.bytes = self.admit(&documents, 0, more)?;
        let log = documents.logs.entry(document.to_owned()).or_default();
        log.updates.extend(updates.iter().cloned());
        log.end = log.end.saturating_add(updates.len() as u64);
        Ok(Position::new(log.end))
    }

    async fn compact(&self, document: &str, through: Position, snapshot: Bytes) -> Result<(), StoreError> {
        let mut documents = self.documents.lock();
        let Some(log) = documents.logs.get(document) else {
            return Err(StoreError::new(StoreErrorKind::Corrupt, format!("document {document:?} is not stored")));
        };
        let before = log.bytes();
        let later = log.end.saturating_sub(through.get());
        let later = usize::try_from(later).unwrap_or(usize::MAX).min(log.updates.len());
        let covered = log.updates.len() - later;
        let kept = log.updates.iter().skip(covered).map(Bytes::len).sum::<usize>();
        documents.bytes = self.admit(&documents, before, kept + snapshot.len())?;
        if let Some(log) = documents.logs.get_mut(document) {
            log.updates.drain(..covered);
            log.snapshot = Some(snapshot);
        }
        Ok(())
    }

    async fn remove(&self, document: &str) -> Result<(), StoreError> {
        let mut documents = self.documents.lock();
        if let Some(log) = documents.logs.remove(document) {
            documents.bytes = documents.bytes.saturating_sub(log.bytes() + document.len());
        }
        Ok(())
    }
}

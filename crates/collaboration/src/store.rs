use std::error::Error;
use std::fmt;

use async_trait::async_trait;
use bytes::Bytes;

/// Keeps documents as a snapshot and the updates that came after it.
///
/// Snapshots and updates are in the first encoding of Yjs. Updates can be applied twice without harm, so a store that
/// cannot tell whether an append went through may report failure: the hub appends again.
#[async_trait]
pub trait DocumentStore: Send + Sync + 'static {
    /// Returns what is stored of a document; of an unknown one, nothing.
    ///
    /// # Errors
    /// [`StoreError`] if the store cannot be read.
    ///
    /// # Cancel safety
    /// Changes nothing.
    async fn load(&self, document: &str) -> Result<Stored, StoreError>;

    /// Appends updates, all or none, and returns the position after the last. `Ok` means durable. Without updates it
    /// returns the position alone.
    ///
    /// # Errors
    /// [`StoreError`] if they may not have been stored.
    ///
    /// # Cancel safety
    /// The hub may drop the future and append the same updates again.
    async fn append(&self, document: &str, updates: &[Bytes]) -> Result<Position, StoreError>;

    /// Replaces everything up to `through` by a snapshot that contains it; what was appended later stays.
    ///
    /// # Errors
    /// [`StoreError`] if the replacement failed; then what was stored before is still there.
    ///
    /// # Cancel safety
    /// Either everything or nothing is replaced.
    async fn compact(&self, document: &str, through: Position, snapshot: Bytes) -> Result<(), StoreError>;

    /// Removes a document; an unknown one is removed already.
    ///
    /// # Errors
    /// [`StoreError`] if it may still be there.
    ///
    /// # Cancel safety
    /// Either everything or nothing is removed.
    async fn remove(&self, document: &str) -> Result<(), StoreError>;
}

impl fmt::Debug for dyn DocumentStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("DocumentStore")
    }
}

/// What a store holds of one document.
#[derive(Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Stored {
    /// The newest snapshot.
    pub snapshot: Option<Bytes>,
    /// The updates after it, oldest first.
    pub updates: Vec<Bytes>,
    /// The position after the last update.
    pub position: Position,
}

impl Stored {
    /// Puts together what was stored.
    #[must_use]
    pub const fn new(snapshot: Option<Bytes>, updates: Vec<Bytes>, position: Position) -> Self {
        Self { snapshot, updates, position }
    }
}

impl fmt::Debug for Stored {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Stored")
            .field("snapshot_bytes", &self.snapshot.as_ref().map(Bytes::len))
            .field("updates", &self.updates.len())
            .field("position", &self.position)
            .finish()
    }
}

/// A place in a document's log. Later appends have greater positions; nothing else may be read from it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Position(u64);

impl Position {
    /// Makes a position from the store's own number.
    #[must_use]
    pub const fn new(number: u64) -> Self {
        Self(number)
    }

    /// Returns the store's own number.
    #[must_use]
    pub const fn get(self) -> u64 {
        self.0
    }
}

/// A store that failed or refused.
#[derive(Debug, thiserror::Error)]
#[error("store is {}: {context}", kind.as_str())]
pub struct StoreError {
    kind: StoreErrorKind,
    context: String,
    source: Option<Box<dyn Error + Send + Sync>>,
}

/// How a store failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum StoreErrorKind {
    /// It could not be reached or was too slow; later it may work.
    Unavailable,
    /// It has no room.
    Full,
    /// What it holds cannot be read.
    Corrupt,
}

impl StoreErrorKind {
    /// Names the kind with a fixed word.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Unavailable => "unavailable",
            Self::Full => "full",
            Self::Corrupt => "corrupt",
        }
    }
}

impl StoreError {
    /// Reports a failure; `context` says what was tried or what is wrong, without secrets.
    #[must_use]
    pub fn new(kind: StoreErrorKind, context: impl Into<String>) -> Self {
        Self { kind, context: context.into(), source: None }
    }

    /// Adds the error that was the cause.
    #[must_use]
    pub fn with_source(mut self, source: impl Error + Send + Sync + 'static) -> Self {
        self.source = Some(Box::new(source));
        self
    }

    /// Returns how the store failed.
    #[must_use]
    pub const fn kind(&self) -> StoreErrorKind {
        self.kind
    }

    /// Says whether the same call may succeed later.
    #[must_use]
    pub const fn is_transient(&self) -> bool {
        matches!(self.kind, StoreErrorKind::Unavailable)
    }
}

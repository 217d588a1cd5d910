use std::time::Duration;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use crate::{InteractionId, StorageError, Timestamp};

/// How a request ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Status {
    /// With the full answer.
    Succeeded,
    /// With an answer of a fall-back, of lower quality.
    Degraded,
    /// With an error.
    Failed,
}

impl Status {
    /// Returns the name that is stored.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Succeeded => "succeeded",
            Self::Degraded => "degraded",
            Self::Failed => "failed",
        }
    }

    #[cfg(feature = "sqlite")]
    pub(crate) fn parse(text: &str) -> Option<Self> {
        [Self::Succeeded, Self::Degraded, Self::Failed].into_iter().find(|status| status.as_str() == text)
    }
}

/// What the cache did for a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum CacheOutcome {
    /// It held the answer.
    Hit,
    /// It did not hold the answer.
    Miss,
    /// The answer came from a request for the same that was already being processed.
    Coalesced,
    /// It was not asked.
    Bypassed,
}

impl CacheOutcome {
    /// Returns the name that is stored.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Hit => "hit",
            Self::Miss => "miss",
            Self::Coalesced => "coalesced",
            Self::Bypassed => "bypassed",
        }
    }

    #[cfg(feature = "sqlite")]
    pub(crate) fn parse(text: &str) -> Option<Self> {
        [Self::Hit, Self::Miss, Self::Coalesced, Self::Bypassed].into_iter().find(|outcome| outcome.as_str() == text)
    }
}

/// One request and how it ended. Holds no content, only its hash and size.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Interaction {
    /// The request's id.
    pub id: InteractionId,
    /// The tenant the request belongs to.
    pub tenant: String,
    /// The user that the caller named.
    pub user: Option<String>,
    /// The session that the caller named.
    pub session: Option<String>,
    /// `text`, `audio`, `image` or `video`, or what the caller said instead.
    pub modality: String,
    /// Which processor, and which version of it, was asked: `image@1`.
    pub processor: String,
    /// The hash of the content, in hexadecimal; empty where there was none.
    pub content_hash: String,
    /// The size of the content in bytes.
    pub content_bytes: u64,
    /// How the request ended.
    pub status: Status,
    /// What the cache did.
    pub cache: CacheOutcome,
    /// Which source gave the answer; `None` for a failed request.
    pub served_by: Option<String>,
    /// How often a processor was tried; 0 for a cache hit.
    pub attempts: u32,
    /// The quality of the answer, 0.0 to 1.0; 0.0 for a failed request.
    pub quality: f64,
    /// The stable name of the error.
    pub error_kind: Option<String>,
    /// The error's message.
    pub error: Option<String>,
    /// When the request began.
    pub started_at: Timestamp,
    /// How long it took, kept to the microsecond.
    pub duration: Duration,
}

impl Interaction {
    /// Returns a succeeded request without an answer's particulars; set the fields that are known.
    #[must_use]
    pub fn new(id: InteractionId, modality: impl Into<String>, started_at: Timestamp) -> Self {
        Self {
            id,
            tenant: "default".to_owned(),
            user: None,
            session: None,
            modality: modality.into(),
            processor: String::new(),
            content_hash: String::new(),
            content_bytes: 0,
            status: Status::Succeeded,
            cache: CacheOutcome::Bypassed,
            served_by: None,
            attempts: 0,
            quality: 1.0,
            error_kind: None,
            error: None,
            started_at,
            duration: Duration::ZERO,
        }
    }

    pub(crate) fn validate(&self) -> Result<(), StorageError> {
        if !(0.0..=1.0).contains(&self.quality) {
            return Err(StorageError::Invalid {
                field: "interaction.quality",
                value: self.quality.to_string(),
                expected: "0.0 to 1.0",
            });
        }
        Ok(())
    }
}

/// Which interactions to list.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
#[must_use]
pub struct InteractionQuery {
    /// Only those of this tenant.
    pub tenant: Option<String>,
    /// Only those that ended so.
    pub status: Option<Status>,
    /// Only those that began at or after this time.
    pub since: Option<Timestamp>,
    /// At most so many, 1 to 10,000; the newest first. 100 by default.
    pub limit: u32,
}

impl InteractionQuery {
    /// The largest `limit`.
    pub const MAX_LIMIT: u32 = 10_000;

    /// Asks for the newest `limit` interactions of any kind.
    pub fn newest(limit: u32) -> Self {
        Self { tenant: None, status: None, since: None, limit }
    }

    /// Asks only for those of this tenant.
    pub fn tenant(mut self, tenant: impl Into<String>) -> Self {
        self.tenant = Some(tenant.into());
        self
    }

    /// Asks only for those that ended so.
    pub fn status(mut self, status: Status) -> Self {
        self.status = Some(status);
        self
    }

    /// Asks only for those that began at or after `since`.
    pub fn since(mut self, since: Timestamp) -> Self {
        self.since = Some(since);
        self
    }

    pub(crate) fn validate(&self) -> Result<(), StorageError> {
        if self.limit == 0 || self.limit > Self::MAX_LIMIT {
            return Err(StorageError::Invalid {
                field: "query.limit",
                value: self.limit.to_string(),
                expected: "1 to 10000",
            });
        }
        Ok(())
    }
}

impl Default for InteractionQuery {
    fn default() -> Self {
        Self::newest(100)
    }
}

/// How many interactions a store holds, by how they ended.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct StatusCounts {
    /// Those with the full answer.
    pub succeeded: u64,
    /// Those with an answer of a fall-back.
    pub degraded: u64,
    /// Those with an error.
    pub failed: u64,
}

impl StatusCounts {
    /// Returns the number of all interactions.
    #[must_use]
    pub const fn total(self) -> u64 {
        self.succeeded + self.degraded + self.failed
    }

    pub(crate) fn add(&mut self, status: Status, count: u64) {
        match status {
            Status::Succeeded => self.succeeded += count,
            Status::Degraded => self.degraded += count,
            Status::Failed => self.failed += count,
        }
    }
}

/// The interactions of a store.
#[async_trait]
pub trait Interactions: Send + Sync {
    /// Records interactions, all of them or none. One with an id that is already recorded replaces it, so that a
    /// batch may be sent again after an error of unknown outcome.
    ///
    /// # Errors
    /// [`StorageError::Invalid`] if a quality lies outside 0.0 to 1.0, [`StorageError::Database`] if the store cannot be written.
    ///
    /// # Cancel safety
    /// All are recorded or none.
    async fn record(&self, interactions: &[Interaction]) -> Result<(), StorageError>;

    /// Returns the interaction with this id.
    ///
    /// # Errors
    /// [`StorageError::Database`] if the store cannot be read, [`StorageError::Corrupt`] if a stored value is none of this version's.
    async fn interaction(&self, id: InteractionId) -> Result<Option<Interaction>, StorageError>;

    /// Lists interactions, the newest first; those of the same millisecond by descending id.
    ///
    /// # Errors
    /// [`StorageError::Invalid`] for a limit out of bounds, else as [`interaction`](Self::interaction).
    async fn interactions(&self, query: &InteractionQuery) -> Result<Vec<Interaction>, StorageError>;

    /// Counts the interactions by how they ended.
    ///
    /// # Errors
    /// [`StorageError::Database`] if the store cannot be read.
    async fn interaction_counts(&self) -> Result<StatusCounts, StorageError>;

    /// Removes those that began before `cutoff`, and returns how many there were.
    ///
    /// # Errors
    /// [`StorageError::Database`] if the store cannot be written.
    async fn remove_interactions_before(&self, cutoff: Timestamp) -> Result<u64, StorageError>;
}

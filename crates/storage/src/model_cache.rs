use std::collections::BTreeMap;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use crate::{StorageError, Timestamp};

/// An answer of a processor or model that outlives the process.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct CachedAnswer {
    /// What the answer answers; the caller's canonical key.
    pub key: String,
    /// Which processor or model, and which version of it, gave the answer: `image@1`.
    pub producer: String,
    /// The answer.
    pub body: serde_json::Value,
    /// When it was given.
    pub created_at: Timestamp,
    /// When it stops being served; `None` for never.
    pub expires_at: Option<Timestamp>,
}

impl CachedAnswer {
    /// Returns an answer that never expires; set [`expires_at`](Self::expires_at) to change that.
    #[must_use]
    pub fn new(
        key: impl Into<String>,
        producer: impl Into<String>,
        body: serde_json::Value,
        created_at: Timestamp,
    ) -> Self {
        Self { key: key.into(), producer: producer.into(), body, created_at, expires_at: None }
    }

    /// Returns whether the answer must not be served at `now`.
    #[must_use]
    pub fn is_expired(&self, now: Timestamp) -> bool {
        self.expires_at.is_some_and(|at| at <= now)
    }
}

/// The answers of models and processors that outlive the process.
#[async_trait]
pub trait ModelCache: Send + Sync {
    /// Stores an answer in the place of an earlier one with its key.
    ///
    /// # Errors
    /// [`StorageError::Database`] if the store cannot be written.
    async fn put_answer(&self, answer: &CachedAnswer) -> Result<(), StorageError>;

    /// Returns the answer with this key that has not expired at `now`.
    ///
    /// # Errors
    /// [`StorageError::Database`] if the store cannot be read, [`StorageError::Corrupt`] if the stored body is no JSON.
    async fn answer(&self, key: &str, now: Timestamp) -> Result<Option<CachedAnswer>, StorageError>;

    /// Removes every answer that has expired at `now`, and returns how many there were.
    ///
    /// # Errors
    /// [`StorageError::Database`] if the store cannot be written.
    async fn remove_expired_answers(&self, now: Timestamp) -> Result<u64, StorageError>;

    /// Removes every answer of a producer, as after a new version of a model, and returns how many there were.
    ///
    /// # Errors
    /// [`StorageError::Database`] if the store cannot be written.
    async fn remove_answers_by(&self, producer: &str) -> Result<u64, StorageError>;

    /// Returns the number of answers by producer, expired ones included.
    ///
    /// # Errors
    /// [`StorageError::Database`] if the store cannot be read.
    async fn answer_counts(&self) -> Result<BTreeMap<String, u64>, StorageError>;
}

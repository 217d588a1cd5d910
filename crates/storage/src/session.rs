use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use crate::{SessionId, StorageError, Timestamp, UserId};

/// A span of time in which one user, or an anonymous caller, sends requests.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Session {
    /// Its id.
    pub id: SessionId,
    /// Whose session it is; `None` for an anonymous caller.
    pub user: Option<UserId>,
    /// When it was opened.
    pub started_at: Timestamp,
    /// When it was last used.
    pub last_seen_at: Timestamp,
    /// When it was ended; `None` while it is open.
    pub ended_at: Option<Timestamp>,
}

impl Session {
    /// Returns an open session with a new id.
    #[must_use]
    pub fn new(user: Option<UserId>, started_at: Timestamp) -> Self {
        Self { id: SessionId::new(), user, started_at, last_seen_at: started_at, ended_at: None }
    }
}

/// The sessions of a store.
#[async_trait]
pub trait Sessions: Send + Sync {
    /// Adds a session.
    ///
    /// # Errors
    /// [`StorageError::Conflict`] if the id is taken, [`StorageError::NotFound`] if its user does not exist.
    ///
    /// # Cancel safety
    /// The session is added whole or not at all.
    async fn open_session(&self, session: &Session) -> Result<(), StorageError>;

    /// Returns the session with this id.
    ///
    /// # Errors
    /// [`StorageError::Database`] if the store cannot be read.
    async fn session(&self, id: SessionId) -> Result<Option<Session>, StorageError>;

    /// Notes that the session was used; an earlier time than the noted one changes nothing.
    ///
    /// # Errors
    /// [`StorageError::NotFound`] if there is no open session with this id.
    async fn touch_session(&self, id: SessionId, at: Timestamp) -> Result<(), StorageError>;

    /// Ends the session; ending it again changes nothing.
    ///
    /// # Errors
    /// [`StorageError::NotFound`] if there is no session with this id.
    async fn end_session(&self, id: SessionId, at: Timestamp) -> Result<(), StorageError>;

    /// Returns the open sessions of a user, oldest first.
    ///
    /// # Errors
    /// [`StorageError::Database`] if the store cannot be read.
    async fn open_sessions(&self, user: UserId) -> Result<Vec<Session>, StorageError>;
}

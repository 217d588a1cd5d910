use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use crate::{StorageError, Timestamp, UserId};

/// Somebody, or some service, that sends requests.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct User {
    /// Its id.
    pub id: UserId,
    /// Its name, unique in the store, 1 to 256 bytes.
    pub name: String,
    /// The tenant it belongs to.
    pub tenant: String,
    /// When it was created.
    pub created_at: Timestamp,
}

impl User {
    /// The longest name, in bytes.
    pub const MAX_NAME_BYTES: usize = 256;

    /// Returns a user with a new id.
    #[must_use]
    pub fn new(name: impl Into<String>, tenant: impl Into<String>, created_at: Timestamp) -> Self {
        Self { id: UserId::new(), name: name.into(), tenant: tenant.into(), created_at }
    }

    pub(crate) fn validate(&self) -> Result<(), StorageError> {
        if self.name.is_empty() || self.name.len() > Self::MAX_NAME_BYTES {
            return Err(StorageError::Invalid {
                field: "user.name",
                value: format!("{} bytes long", self.name.len()),
                expected: "1 to 256 bytes",
            });
        }
        Ok(())
    }
}

/// The users of a store.
#[async_trait]
pub trait Users: Send + Sync {
    /// Adds a user.
    ///
    /// # Errors
    /// [`StorageError::Conflict`] if the id or the name is taken, [`StorageError::Invalid`] if the name is empty or too long.
    ///
    /// # Cancel safety
    /// The user is added whole or not at all.
    async fn add_user(&self, user: &User) -> Result<(), StorageError>;

    /// Returns the user with this id.
    ///
    /// # Errors
    /// [`StorageError::Database`] if the store cannot be read.
    async fn user(&self, id: UserId) -> Result<Option<User>, StorageError>;

    /// Returns the user with this name.
    ///
    /// # Errors
    /// [`StorageError::Database`] if the store cannot be read.
    async fn user_by_name(&self, name: &str) -> Result<Option<User>, StorageError>;

    /// Removes a user and its sessions; interactions stay. Returns whether there was one.
    ///
    /// # Errors
    /// [`StorageError::Database`] if the store cannot be written.
    async fn remove_user(&self, id: UserId) -> Result<bool, StorageError>;
}

use std::fmt;

use async_trait::async_trait;

use crate::{Interactions, ModelCache, Sessions, StorageError, Users};

/// A whole store: users, sessions, interactions and cached answers, with its life cycle.
///
/// [`MemoryStore`](crate::MemoryStore) needs nothing installed and forgets at the end of the process;
/// `SqliteStore` (feature `sqlite`) keeps a file. An own store implements the four repositories and these
/// three methods, and proves itself with the contract suite of `testing` (feature `testing`).
#[async_trait]
pub trait Store: Users + Sessions + Interactions + ModelCache + fmt::Debug + 'static {
    /// Returns the name of the kind of store, as `sqlite`.
    fn name(&self) -> &'static str;

    /// Makes sure that the store can be read and written now.
    ///
    /// # Errors
    /// [`StorageError::Closed`] after [`close`](Self::close), [`StorageError::Database`] if it cannot.
    async fn ping(&self) -> Result<(), StorageError>;

    /// Finishes what is being written and lets go of files and connections. Every later call answers
    /// [`StorageError::Closed`]; closing again does nothing.
    async fn close(&self);
}

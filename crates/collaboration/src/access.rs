use std::fmt;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use crate::Participant;

/// What a session may do with its document. Presence and reading are open to both.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Access {
    /// The session reads and shows presence; its edits and updates are refused.
    Read,
    /// The session may change the document.
    Write,
}

/// Decides who may join which document, and with what access.
///
/// It is asked before anything is loaded, so that a join to a guessed name costs nothing.
#[async_trait]
pub trait Authorize: Send + Sync + 'static {
    /// Decides about one join.
    ///
    /// # Errors
    /// [`Denied`] with a reason that the joining side may read.
    ///
    /// # Cancel safety
    /// The hub drops the future when the joining side goes away.
    async fn authorize(&self, document: &str, participant: &Participant) -> Result<Access, Denied>;
}

impl fmt::Debug for dyn Authorize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Authorize")
    }
}

/// Grants [`Access::Write`] to everybody; the default.
#[derive(Debug, Clone, Copy, Default)]
#[expect(clippy::exhaustive_structs, reason = "a unit that will stay one")]
pub struct AllowAll;

#[async_trait]
impl Authorize for AllowAll {
    async fn authorize(&self, _document: &str, _participant: &Participant) -> Result<Access, Denied> {
        Ok(Access::Write)
    }
}

/// A join that was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{reason}")]
pub struct Denied {
    reason: String,
}

impl Denied {
    /// Refuses with a reason that the joining side may read.
    #[must_use]
    pub fn new(reason: impl Into<String>) -> Self {
        Self { reason: reason.into() }
    }

    /// Returns the reason.
    #[must_use]
    pub fn reason(&self) -> &str {
        &self.reason
    }
}

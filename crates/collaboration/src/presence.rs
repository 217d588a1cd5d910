use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

/// Who joins a document.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Participant {
    /// Who it is, the same in each of its sessions; 1 to 256 bytes.
    pub id: String,
    /// The name that others see; up to 256 bytes.
    pub name: String,
}

impl Participant {
    /// Makes a participant whose name is its id.
    #[must_use]
    pub fn new(id: impl Into<String>) -> Self {
        let id = id.into();
        Self { name: id.clone(), id }
    }

    /// Sets the name that others see.
    #[must_use]
    pub fn named(mut self, name: impl Into<String>) -> Self {
        self.name = name.into();
        self
    }
}

/// Tells the sessions of a hub apart; never given twice by one hub.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct SessionId(u64);

impl SessionId {
    pub(crate) const fn new(number: u64) -> Self {
        Self(number)
    }

    /// Returns the number behind the id.
    #[must_use]
    pub const fn get(self) -> u64 {
        self.0
    }
}

impl fmt::Display for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// One session that is in a document, as others see it.
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Present {
    /// The session.
    pub session: SessionId,
    /// Who it is.
    pub participant: Arc<Participant>,
    /// What it shows of itself: a cursor, a selection, a color; `None` until it says so.
    pub presence: Option<Arc<serde_json::Value>>,
}

impl fmt::Debug for Present {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Present")
            .field("session", &self.session)
            .field("participant", &self.participant)
            .field("has_presence", &self.presence.is_some())
            .finish()
    }
}

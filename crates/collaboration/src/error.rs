use crate::{Denied, EditError, StoreError};

/// What a hub or a session refuses or fails to do.
///
/// But for [`NotStored`](Self::NotStored), a call that fails has changed nothing.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CollaborationError {
    /// A name that no document or participant can have.
    #[error("{field} is {value:?}, expected {expected}")]
    InvalidName {
        /// What was named: `document`, `participant.id` or `participant.name`.
        field: &'static str,
        /// What was given, cut to 64 characters.
        value: String,
        /// What would be right.
        expected: &'static str,
    },
    /// The participant may not join.
    #[error("may not join document {document:?}")]
    Denied {
        /// The document.
        document: String,
        /// Why.
        #[source]
        source: Denied,
    },
    /// The session was granted reading alone.
    #[error("session may only read document {document:?}")]
    ReadOnly {
        /// The document.
        document: String,
    },
    /// As many documents are open as the hub allows.
    #[error("{limit} documents are open already, expected at most max_documents")]
    TooManyDocuments {
        /// The limit.
        limit: usize,
    },
    /// The document has as many sessions as the hub allows.
    #[error("document {document:?} has {limit} sessions already, expected at most max_sessions")]
    TooManySessions {
        /// The document.
        document: String,
        /// The limit.
        limit: usize,
    },
    /// Something is longer than the hub takes.
    #[error("{field} is {size} bytes, expected at most {limit}")]
    TooLarge {
        /// What is too long: `update`, `document`, `presence`, `state vector` or `edit`.
        field: &'static str,
        /// Its length.
        size: usize,
        /// The limit.
        limit: usize,
    },
    /// An edit does not fit the text.
    #[error("edit does not fit the text")]
    Edit(#[from] EditError),
    /// Bytes that no replica sends.
    #[error("{field} is malformed: {reason}")]
    Malformed {
        /// What was given: `update`, `state vector`, or `edit` where the document itself was bent by an update.
        field: &'static str,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// The update builds on changes that this document does not have. The sender shall send all that
    /// [`Session::state_vector`](crate::Session::state_vector) lacks.
    #[error("update builds on changes of client {client} that are missing from clock {have} on")]
    Gap {
        /// The client whose changes are missing.
        client: u64,
        /// The first clock that is missing.
        have: u32,
    },
    /// The document could not be loaded.
    #[error("document {document:?} could not be loaded")]
    Load {
        /// The document.
        document: String,
        /// What the store said.
        #[source]
        source: StoreError,
    },
    /// The change was made and shared, yet the store did not take it. It is kept, and stored with the next change, by
    /// [`Hub::flush`](crate::Hub::flush) or at the next join.
    #[error("change of document {document:?} is not stored yet")]
    NotStored {
        /// The document.
        document: String,
        /// What the store said.
        #[source]
        source: StoreError,
    },
    /// So many changes wait for the store that no more are taken. The change was not made.
    #[error("{bytes} bytes of document {document:?} wait for the store, expected at most {limit}")]
    StoreBehind {
        /// The document.
        document: String,
        /// What waits.
        bytes: usize,
        /// The limit.
        limit: usize,
    },
    /// What the store holds is no document.
    #[error("what is stored of document {document:?} is unreadable")]
    Corrupt {
        /// The document.
        document: String,
        /// What is wrong with it.
        #[source]
        source: Box<Self>,
    },
    /// The hub's own check of an edit's way failed.
    #[error("self-check failed to {step}")]
    SelfCheck {
        /// What did not work.
        step: &'static str,
    },
}

impl CollaborationError {
    /// Says whether the same call may succeed later.
    #[must_use]
    pub const fn is_transient(&self) -> bool {
        match self {
            Self::TooManyDocuments { .. }
            | Self::TooManySessions { .. }
            | Self::StoreBehind { .. }
            | Self::NotStored { .. } => true,
            Self::Load { source, .. } => source.is_transient(),
            _ => false,
        }
    }

    /// Names the error with a fixed word, fit for a label.
    #[must_use]
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::InvalidName { .. } => "invalid_name",
            Self::Denied { .. } => "denied",
            Self::ReadOnly { .. } => "read_only",
            Self::TooManyDocuments { .. } => "too_many_documents",
            Self::TooManySessions { .. } => "too_many_sessions",
            Self::TooLarge { .. } => "too_large",
            Self::Edit(_) => "edit",
            Self::Malformed { .. } => "malformed",
            Self::Gap { .. } => "gap",
            Self::Load { .. } => "load",
            Self::NotStored { .. } => "not_stored",
            Self::StoreBehind { .. } => "store_behind",
            Self::Corrupt { .. } => "corrupt",
            Self::SelfCheck { .. } => "self_check",
        }
    }

    pub(crate) const fn malformed(field: &'static str, reason: &'static str) -> Self {
        Self::Malformed { field, reason }
    }
}

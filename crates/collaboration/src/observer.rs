use std::fmt;

use crate::SessionId;

/// What happened in a hub.
#[derive(Debug)]
#[non_exhaustive]
pub enum CollaborationEvent<'a> {
    /// A document was read from the store.
    #[non_exhaustive]
    Opened {
        /// The document.
        document: &'a str,
        /// How many stored updates were replayed.
        updates: usize,
    },
    /// A session joined.
    #[non_exhaustive]
    Joined {
        /// The document.
        document: &'a str,
        /// The session.
        session: SessionId,
    },
    /// A session made an edit.
    #[non_exhaustive]
    Edited {
        /// The document.
        document: &'a str,
        /// The session.
        session: SessionId,
        /// The length of the update that others get.
        bytes: usize,
    },
    /// An update of another replica was applied.
    #[non_exhaustive]
    Updated {
        /// The document.
        document: &'a str,
        /// The session that brought it.
        session: SessionId,
        /// The length of what was new.
        bytes: usize,
    },
    /// A call was refused.
    #[non_exhaustive]
    Refused {
        /// The document.
        document: &'a str,
        /// The session, if it had joined.
        session: Option<SessionId>,
        /// The word of [`CollaborationError::as_str`](crate::CollaborationError::as_str).
        reason: &'static str,
    },
    /// The store did not take changes or a snapshot; they are kept.
    #[non_exhaustive]
    StoreFailed {
        /// The document.
        document: &'a str,
        /// What the store said.
        error: &'a crate::StoreError,
    },
    /// A session left.
    #[non_exhaustive]
    Left {
        /// The document.
        document: &'a str,
        /// The session.
        session: SessionId,
    },
    /// The last session left and the document was dropped from memory.
    #[non_exhaustive]
    Closed {
        /// The document.
        document: &'a str,
    },
}

/// Hears what happens in a hub, as to count it.
///
/// It is called outside of every lock, and must be quick.
pub trait Observer: Send + Sync + 'static {
    /// Hears one event.
    fn on_event(&self, event: &CollaborationEvent<'_>);
}

impl<F: Fn(&CollaborationEvent<'_>) + Send + Sync + 'static> Observer for F {
    fn on_event(&self, event: &CollaborationEvent<'_>) {
        self(event);
    }
}

impl fmt::Debug for dyn Observer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Observer")
    }
}

use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use tokio::sync::broadcast;

use crate::{Participant, SessionId};

/// What another session did.
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Change {
    /// The document changed.
    #[non_exhaustive]
    Update {
        /// Who changed it.
        session: SessionId,
        /// The change, in the first encoding of Yjs.
        update: Bytes,
    },
    /// A session joined.
    #[non_exhaustive]
    Joined {
        /// The session.
        session: SessionId,
        /// Who it is.
        participant: Arc<Participant>,
    },
    /// A session shows something else of itself.
    #[non_exhaustive]
    Presence {
        /// The session.
        session: SessionId,
        /// What it shows.
        presence: Option<Arc<serde_json::Value>>,
    },
    /// A session left; its presence is gone.
    #[non_exhaustive]
    Left {
        /// The session.
        session: SessionId,
    },
}

impl Change {
    /// Returns who did it.
    #[must_use]
    pub const fn session(&self) -> SessionId {
        match self {
            Self::Update { session, .. }
            | Self::Joined { session, .. }
            | Self::Presence { session, .. }
            | Self::Left { session } => *session,
        }
    }
}

impl fmt::Debug for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (name, session) = match self {
            Self::Update { session, .. } => ("Update", session),
            Self::Joined { session, .. } => ("Joined", session),
            Self::Presence { session, .. } => ("Presence", session),
            Self::Left { session } => ("Left", session),
        };
        f.debug_struct(name).field("session", session).finish_non_exhaustive()
    }
}

/// Receives what the other sessions of a document do, in order.
///
/// It ends when its session leaves. It keeps the last changes of the hub's `pending_changes`; a receiver that falls
/// further behind is told once that it must resynchronize, and goes on with what is still there.
pub struct Updates {
    session: SessionId,
    ended: bool,
    changes: broadcast::Receiver<Change>,
}

impl Updates {
    pub(crate) const fn new(session: SessionId, changes: broadcast::Receiver<Change>) -> Self {
        Self { session, ended: false, changes }
    }

    /// Waits for the next change by another session.
    ///
    /// # Errors
    /// [`UpdatesError::Resync`] if changes were missed: take [`Session::diff`](crate::Session::diff) and
    /// [`Session::participants`](crate::Session::participants) anew, then go on. [`UpdatesError::Ended`] once the
    /// session has left.
    ///
    /// # Cancel safety
    /// No change is lost.
    pub async fn recv(&mut self) -> Result<Change, UpdatesError> {
        use broadcast::error::RecvError;
        while !self.ended {
            match self.changes.recv().await {
                Ok(change) => {
                    if let Some(change) = self.admit(change) {
                        return Ok(change);
                    }
                }
                Err(RecvError::Lagged(missed)) => return Err(UpdatesError::Resync { missed }),
                Err(RecvError::Closed) => self.ended = true,
            }
        }
        Err(UpdatesError::Ended)
    }

    /// Returns the next change by another session if there is one already.
    ///
    /// # Errors
    /// As [`recv`](Self::recv).
    pub fn try_recv(&mut self) -> Result<Option<Change>, UpdatesError> {
        use broadcast::error::TryRecvError;
        while !self.ended {
            match self.changes.try_recv() {
                Ok(change) => {
                    if let Some(change) = self.admit(change) {
                        return Ok(Some(change));
                    }
                }
                Err(TryRecvError::Empty) => return Ok(None),
                Err(TryRecvError::Lagged(missed)) => return Err(UpdatesError::Resync { missed }),
                Err(TryRecvError::Closed) => self.ended = true,
            }
        }
        Err(UpdatesError::Ended)
    }

    fn admit(&mut self, change: Change) -> Option<Change> {
        if change.session() != self.session {
            return Some(change);
        }
        self.ended = matches!(change, Change::Left { .. });
        None
    }
}

impl fmt::Debug for Updates {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Updates")
            .field("session", &self.session)
            .field("waiting", &self.changes.len())
            .finish_non_exhaustive()
    }
}

/// Why there is no change to receive.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum UpdatesError {
    /// The receiver was too slow and missed changes, its own session's counted too.
    #[error("{missed} changes were missed, the receiver must resynchronize")]
    #[non_exhaustive]
    Resync {
        /// How many.
        missed: u64,
    },
    /// The session has left.
    #[error("the session has left")]
    Ended,
}

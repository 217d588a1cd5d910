use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use serde_json::Value;

use crate::document::{Content, Until};
use crate::hub::Seat;
use crate::stats::count;
use crate::{
    Access, CollaborationError, CollaborationEvent, EditError, Participant, Present, SessionId, TextEdit, Updates,
};

/// One participant's place in one document. Dropped, it leaves.
pub struct Session {
    id: SessionId,
    participant: Arc<Participant>,
    access: Access,
    seat: Seat,
}

/// What became of an update.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Applied {
    /// It changed the document and was shared.
    Changed,
    /// The document had all of it.
    Known,
}

impl Session {
    pub(crate) const fn new(id: SessionId, participant: Arc<Participant>, access: Access, seat: Seat) -> Self {
        Self { id, participant, access, seat }
    }

    /// Returns the session's id.
    #[must_use]
    pub const fn id(&self) -> SessionId {
        self.id
    }

    /// Returns the document's name.
    #[must_use]
    pub fn document(&self) -> &str {
        &self.seat.document.name
    }

    /// Returns who has joined.
    #[must_use]
    pub fn participant(&self) -> &Participant {
        &self.participant
    }

    /// Returns what the session may do.
    #[must_use]
    pub const fn access(&self) -> Access {
        self.access
    }

    /// Returns the shared text, without embedded objects.
    #[must_use]
    pub fn text(&self) -> String {
        self.content().map(Content::text).unwrap_or_default()
    }

    /// Changes the shared text by one plan, made whole or not at all, and shares it; returns when it is stored.
    ///
    /// The closure runs while the document is locked: it must be quick, and must not call a session of the same
    /// document, which would wait for itself. [`TextEdit::before`] has the text.
    ///
    /// # Errors
    /// [`CollaborationError::Edit`] with what the closure returned, [`ReadOnly`](CollaborationError::ReadOnly),
    /// [`TooLarge`](CollaborationError::TooLarge) or [`StoreBehind`](CollaborationError::StoreBehind), and nothing has
    /// changed; or [`NotStored`](CollaborationError::NotStored), and it has.
    ///
    /// # Cancel safety
    /// The change is made at the first poll. A caller that goes away while it is being stored leaves it made and
    /// shared; it is stored with the next change.
    pub async fn edit<T>(
        &self,
        plan: impl FnOnce(&mut TextEdit<'_>) -> Result<T, EditError>,
    ) -> Result<T, CollaborationError> {
        let config = &self.seat.shared.config;
        let edited = self.writable().and_then(|content| content.edit(&self.seat.document, self.id, config, plan));
        let (value, bytes) = self.judged(edited)?;
        if let Some(bytes) = bytes {
            count(&self.seat.shared.counters.edits);
            self.seat.shared.tell(&CollaborationEvent::Edited { document: self.document(), session: self.id, bytes });
            self.seat.document.save(&self.seat.shared, Until::Durable).await?;
        }
        Ok(value)
    }

    /// Applies an update of another replica, in the first encoding of Yjs, whole or not at all, and shares what of it
    /// is new; returns when it is stored. It may come from anybody.
    ///
    /// # Errors
    /// [`CollaborationError::Malformed`] for bytes that no replica sends; [`Gap`](CollaborationError::Gap) if it builds
    /// on changes that are not here, whereupon the sender shall send all that [`state_vector`](Self::state_vector)
    /// lacks; else as [`edit`](Self::edit).
    ///
    /// # Cancel safety
    /// As [`edit`](Self::edit).
    pub async fn apply_update(&self, update: &[u8]) -> Result<Applied, CollaborationError> {
        let config = &self.seat.shared.config;
        let applied = self.writable().and_then(|content| content.apply(&self.seat.document, self.id, config, update));
        let Some(bytes) = self.judged(applied)? else {
            count(&self.seat.shared.counters.known);
            return Ok(Applied::Known);
        };
        count(&self.seat.shared.counters.updates);
        self.seat.shared.tell(&CollaborationEvent::Updated { document: self.document(), session: self.id, bytes });
        self.seat.document.save(&self.seat.shared, Until::Durable).await?;
        Ok(Applied::Changed)
    }

    /// Returns what the document knows, as another replica needs it to send what is missing here.
    #[must_use]
    pub fn state_vector(&self) -> Bytes {
        self.content().map(Content::state_vector).unwrap_or_default()
    }

    /// Returns what a replica with this state vector lacks, as one update. An empty replica's state vector is `[0]`.
    ///
    /// # Errors
    /// [`CollaborationError::Malformed`] if it is no state vector, [`TooLarge`](CollaborationError::TooLarge) beyond
    /// the length of an update.
    pub fn diff(&self, state_vector: &[u8]) -> Result<Bytes, CollaborationError> {
        let limit = self.seat.shared.config.max_update_bytes;
        let diff = if state_vector.len() > limit {
            let size = state_vector.len();
            Err(CollaborationError::TooLarge { field: "state vector", size, limit })
        } else {
            self.content().map_or(Ok(Bytes::new()), |content| content.diff(state_vector))
        };
        self.judged(diff)
    }

    /// Hears what others do from now on. To follow the document, call this first and [`diff`](Self::diff) then: what
    /// comes twice does no harm.
    #[must_use]
    pub fn updates(&self) -> Updates {
        let changes = self.content().map(Content::subscribe);
        // A session's document is loaded; without it there would be nothing to hear.
        let changes = changes.unwrap_or_else(|| tokio::sync::broadcast::channel(1).1);
        Updates::new(self.id, changes)
    }

    /// Shows others something of this session: a cursor, a selection, a color. `Value::Null` takes it back. Presence
    /// is never stored.
    ///
    /// # Errors
    /// [`CollaborationError::TooLarge`] if its JSON is longer than the hub takes.
    pub fn set_presence(&self, presence: Value) -> Result<(), CollaborationError> {
        let limit = self.seat.shared.config.max_presence_bytes;
        let size = presence.to_string().len();
        if size > limit {
            return self.judged(Err(CollaborationError::TooLarge { field: "presence", size, limit }));
        }
        if let Some(content) = self.content() {
            content.show(self.id, (!presence.is_null()).then_some(presence));
        }
        Ok(())
    }

    /// Returns everybody in the document, this session too, in the order in which they joined.
    #[must_use]
    pub fn participants(&self) -> Vec<Present> {
        self.content().map(Content::present).unwrap_or_default()
    }

    /// Leaves; the last to leave stores the document as a snapshot and closes it.
    ///
    /// # Errors
    /// [`CollaborationError::NotStored`] if changes wait for the store. The session has left all the same; the
    /// document stays open until [`Hub::flush`](crate::Hub::flush), or the next session, stores them.
    ///
    /// # Cancel safety
    /// The session has left.
    pub async fn leave(self) -> Result<(), CollaborationError> {
        self.gone();
        let until = if self.seat.is_last() { Until::Snapshot } else { Until::Durable };
        self.seat.document.save(&self.seat.shared, until).await
    }

    fn gone(&self) {
        if let Some(content) = self.content() {
            content.leave(self.id);
        }
    }

    fn content(&self) -> Option<&Content> {
        self.seat.document.loaded()
    }

    fn writable(&self) -> Result<&Content, CollaborationError> {
        let content = self.content().filter(|_content| self.access == Access::Write);
        content.ok_or_else(|| CollaborationError::ReadOnly { document: self.document().to_owned() })
    }

    fn judged<T>(&self, outcome: Result<T, CollaborationError>) -> Result<T, CollaborationError> {
        if let Err(error) = &outcome {
            self.seat.shared.refused(self.document(), Some(self.id), error);
        }
        outcome
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        self.gone();
        tracing::debug!(document = self.document(), session = self.id.get(), "left");
        self.seat.shared.tell(&CollaborationEvent::Left { document: self.document(), session: self.id });
    }
}

impl fmt::Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Session")
            .field("id", &self.id)
            .field("document", &self.seat.document.name)
            .field("participant", &self.participant)
            .field("access", &self.access)
            .finish_non_exhaustive()
    }
}

use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use parking_lot::Mutex;
use serde_json::Value;
use tokio::sync::{Mutex as AsyncMutex, OnceCell, broadcast};

use crate::hub::Shared;
use crate::replica::Replica;
use crate::stats::count;
use crate::{
    Change, CollaborationError, CollaborationEvent, EditError, HubConfig, Participant, Present, SessionId, StoreError,
    TextEdit,
};

/// One open document: the replica, who is in it, and what the store does not have yet.
///
/// A change is made, shared and queued for the store without an await between, so that a caller that goes away
/// cannot tear it. What is queued is appended by whoever comes first, for all; an append that is repeated does no harm.
pub(crate) struct Document {
    pub(crate) name: Arc<str>,
    content: OnceCell<Content>,
}

pub(crate) struct Content {
    inner: Mutex<Inner>,
    saving: AsyncMutex<()>,
    changes: broadcast::Sender<Change>,
}

struct Inner {
    replica: Replica,
    present: BTreeMap<SessionId, Present>,
    unsaved: VecDeque<Bytes>,
    unsaved_bytes: usize,
    /// How many stored updates no snapshot covers.
    logged: usize,
}

impl Document {
    pub(crate) fn new(name: Arc<str>) -> Self {
        Self { name, content: OnceCell::new() }
    }

    /// Returns the content, read from the store by the first who asks.
    pub(crate) async fn content(&self, shared: &Shared) -> Result<&Content, CollaborationError> {
        self.content.get_or_try_init(|| self.load(shared)).await
    }

    pub(crate) fn loaded(&self) -> Option<&Content> {
        self.content.get()
    }

    async fn load(&self, shared: &Shared) -> Result<Content, CollaborationError> {
        let stored = shared
            .store
            .load(&self.name)
            .await
            .map_err(|source| CollaborationError::Load { document: self.name.as_ref().to_owned(), source })?;
        let log = stored.snapshot.iter().chain(&stored.updates);
        let replica = Replica::restore(&shared.config.text, log).map_err(|source| CollaborationError::Corrupt {
            document: self.name.as_ref().to_owned(),
            source: Box::new(source),
        })?;
        let updates = stored.updates.len();
        shared.tell(&CollaborationEvent::Opened { document: &self.name, updates });
        Ok(Content {
            inner: Mutex::new(Inner {
                replica,
                present: BTreeMap::new(),
                unsaved: VecDeque::new(),
                unsaved_bytes: 0,
                logged: updates,
            }),
            saving: AsyncMutex::new(()),
            changes: broadcast::channel(shared.config.pending_changes).0,
        })
    }

    /// Appends what is unsaved, and replaces the log by a snapshot when it is long, or at `Until::Snapshot` in any case.
    pub(crate) async fn save(&self, shared: &Shared, until: Until) -> Result<(), CollaborationError> {
        let Some(content) = self.loaded() else {
            return Ok(());
        };
        let _saving = content.saving.lock().await;
        let batch: Vec<Bytes> = content.inner.lock().unsaved.iter().cloned().collect();
        if batch.is_empty() && matches!(until, Until::Durable) {
            return Ok(());
        }
        let not_stored = |source| CollaborationError::NotStored { document: self.name.as_ref().to_owned(), source };
        if batch.is_empty() && content.inner.lock().logged == 0 {
            return Ok(());
        }
        let position = match shared.store.append(&self.name, &batch).await {
            Ok(position) => position,
            Err(source) => {
                self.store_failed(shared, &source);
                return Err(not_stored(source));
            }
        };
        let least = match until {
            Until::Durable => shared.config.snapshot_after,
            Until::Snapshot => 1,
        };
        let snapshot = content.inner.lock().saved(batch.len(), least);
        if let Some(snapshot) = snapshot {
            match shared.store.compact(&self.name, position, snapshot).await {
                Ok(()) => content.inner.lock().logged = 0,
                // The log is whole and the change durable: a snapshot is tried again next time.
                Err(error) => self.store_failed(shared, &error),
            }
        }
        Ok(())
    }

    fn store_failed(&self, shared: &Shared, error: &StoreError) {
        count(&shared.counters.store_failures);
        tracing::warn!(document = &*self.name, error = %error, "store failed");
        shared.tell(&CollaborationEvent::StoreFailed { document: &self.name, error });
    }
}

/// How far a save goes.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Until {
    /// Every change is in the log.
    Durable,
    /// Every change is in a snapshot.
    Snapshot,
}

impl Content {
    pub(crate) fn text(&self) -> String {
        self.inner.lock().replica.text()
    }

    pub(crate) fn state_vector(&self) -> Bytes {
        self.inner.lock().replica.state_vector()
    }

    pub(crate) fn diff(&self, state_vector: &[u8]) -> Result<Bytes, CollaborationError> {
        self.inner.lock().replica.diff(state_vector)
    }

    pub(crate) fn subscribe(&self) -> broadcast::Receiver<Change> {
        self.changes.subscribe()
    }

    pub(crate) fn present(&self) -> Vec<Present> {
        self.inner.lock().present.values().cloned().collect()
    }

    pub(crate) fn is_saved(&self) -> bool {
        self.inner.lock().unsaved.is_empty()
    }

    pub(crate) fn sessions(&self) -> usize {
        self.inner.lock().present.len()
    }

    /// Enters a session, unless the document has as many as `limit`.
    pub(crate) fn enter(&self, session: SessionId, participant: &Arc<Participant>, limit: usize) -> bool {
        let mut inner = self.inner.lock();
        if inner.present.len() >= limit {
            return false;
        }
        let participant = Arc::clone(participant);
        inner.present.insert(session, Present { session, participant: Arc::clone(&participant), presence: None });
        self.send(Change::Joined { session, participant });
        true
    }

    pub(crate) fn leave(&self, session: SessionId) {
        let mut inner = self.inner.lock();
        if inner.present.remove(&session).is_some() {
            self.send(Change::Left { session });
        }
    }

    pub(crate) fn show(&self, session: SessionId, presence: Option<Value>) {
        let mut inner = self.inner.lock();
        if let Some(present) = inner.present.get_mut(&session) {
            let presence = presence.map(Arc::new);
            present.presence.clone_from(&presence);
            self.send(Change::Presence { session, presence });
        }
    }

    pub(crate) fn edit<T>(
        &self,
        document: &Document,
        session: SessionId,
        config: &HubConfig,
        plan: impl FnOnce(&mut TextEdit<'_>) -> Result<T, EditError>,
    ) -> Result<(T, Option<usize>), CollaborationError> {
        let mut inner = self.inner.lock();
        let room = inner.room(document, config)?;
        let (value, update) = inner.replica.edit(plan, |bytes| room.admit("edit", bytes))?;
        Ok((value, update.map(|update| self.share(&mut inner, session, update))))
    }

    pub(crate) fn apply(
        &self,
        document: &Document,
        session: SessionId,
        config: &HubConfig,
        update: &[u8],
    ) -> Result<Option<usize>, CollaborationError> {
        let mut inner = self.inner.lock();
        inner.room(document, config)?.admit("update", update.len())?;
        let update = inner.replica.apply(update)?;
        Ok(update.map(|update| self.share(&mut inner, session, update)))
    }

    fn share(&self, inner: &mut Inner, session: SessionId, update: Bytes) -> usize {
        let bytes = update.len();
        inner.unsaved_bytes = inner.unsaved_bytes.saturating_add(bytes);
        inner.unsaved.push_back(update.clone());
        self.send(Change::Update { session, update });
        bytes
    }

    fn send(&self, change: Change) {
        // Nobody may be listening. Sent under the lock, so that changes arrive in the order in which they were made.
        let _listeners = self.changes.send(change);
    }
}

impl Inner {
    fn room(&self, document: &Document, config: &HubConfig) -> Result<Room, CollaborationError> {
        if self.unsaved_bytes >= config.max_unsaved_bytes {
            return Err(CollaborationError::StoreBehind {
                document: document.name.as_ref().to_owned(),
                bytes: self.unsaved_bytes,
                limit: config.max_unsaved_bytes,
            });
        }
        Ok(Room { update: config.max_update_bytes, document: config.max_document_bytes, used: self.replica.bytes() })
    }

    /// Notes that the `count` oldest unsaved updates are stored; returns a snapshot if `least` updates or more are logged.
    fn saved(&mut self, count: usize, least: usize) -> Option<Bytes> {
        let gone: usize = self.unsaved.drain(..count.min(self.unsaved.len())).map(|update| update.len()).sum();
        self.unsaved_bytes = self.unsaved_bytes.saturating_sub(gone);
        self.logged = self.logged.saturating_add(count);
        (self.logged >= least).then(|| self.replica.snapshot())
    }
}

/// How much more a document takes.
#[derive(Debug, Clone, Copy)]
struct Room {
    update: usize,
    document: usize,
    used: usize,
}

impl Room {
    const fn admit(self, field: &'static str, size: usize) -> Result<(), CollaborationError> {
        if size > self.update {
            return Err(CollaborationError::TooLarge { field, size, limit: self.update });
        }
        let whole = self.used.saturating_add(size);
        if size > 0 && whole > self.document {
            return Err(CollaborationError::TooLarge { field: "document", size: whole, limit: self.document });
        }
        Ok(())
    }
}

impl fmt::Debug for Document {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Document").field("name", &self.name).finish_non_exhaustive()
    }
}

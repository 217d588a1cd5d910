use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::Mutex;

use crate::document::{Document, Until};
use crate::replica::Replica;
use crate::stats::{Counters, count};
use crate::{
    AllowAll, Authorize, CollaborationError, CollaborationEvent, ConfigError, DocumentStore, HubConfig, HubStats,
    MemoryStore, Observer, Participant, Session, SessionId,
};

/// Holds the documents that are open, and lets sessions join them.
///
/// A handle: clones share one hub. It spawns nothing; a document is open while a session is in it.
#[derive(Clone)]
pub struct Hub {
    shared: Arc<Shared>,
}

pub(crate) struct Shared {
    pub(crate) config: HubConfig,
    pub(crate) store: Arc<dyn DocumentStore>,
    pub(crate) counters: Counters,
    authorize: Arc<dyn Authorize>,
    observer: Option<Arc<dyn Observer>>,
    documents: Mutex<HashMap<Arc<str>, Slot>>,
    next_session: AtomicU64,
}

/// An open document with how many hold a seat in it: sessions, and those about to be.
struct Slot {
    document: Arc<Document>,
    seats: usize,
}

impl Hub {
    /// Makes a hub with the default bounds, which lets everybody in and keeps documents in memory.
    #[must_use]
    pub fn new() -> Self {
        Self::assemble(HubBuilder::new())
    }

    /// Configures a hub.
    pub fn builder() -> HubBuilder {
        HubBuilder::new()
    }

    /// Joins a document, which is read from the store if it is not open, and made if it is not stored.
    ///
    /// # Errors
    /// [`CollaborationError::InvalidName`], [`Denied`](CollaborationError::Denied),
    /// [`TooManyDocuments`](CollaborationError::TooManyDocuments),
    /// [`TooManySessions`](CollaborationError::TooManySessions), [`Load`](CollaborationError::Load) or
    /// [`Corrupt`](CollaborationError::Corrupt).
    ///
    /// # Cancel safety
    /// Nobody has joined; the document is closed again if nobody else is in it.
    ///
    /// # Examples
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), bedplate_collaboration::CollaborationError> {
    /// use bedplate_collaboration::{Hub, Participant};
    ///
    /// let hub = Hub::new();
    /// let ann = hub.join("notes", Participant::new("ann")).await?;
    /// ann.edit(|text| text.insert(0, "hello")).await?;
    /// let bob = hub.join("notes", Participant::new("bob")).await?;
    /// assert_eq!(bob.text(), "hello");
    /// # Ok(())
    /// # }
    /// ```
    pub async fn join(&self, document: &str, participant: Participant) -> Result<Session, CollaborationError> {
        let joined = self.try_join(document, participant).await;
        if let Err(error) = &joined {
            self.shared.refused(document, None, error);
        }
        joined
    }

    async fn try_join(&self, document: &str, participant: Participant) -> Result<Session, CollaborationError> {
        name("document", document, 1)?;
        name("participant.id", &participant.id, 1)?;
        name("participant.name", &participant.name, 0)?;
        let granted = self.shared.authorize.authorize(document, &participant).await;
        let access = granted.map_err(|source| CollaborationError::Denied { document: document.to_owned(), source })?;
        let seat = match self.take_seat(document) {
            Err(CollaborationError::TooManyDocuments { .. }) => {
                self.close_idle().await;
                self.take_seat(document)?
            }
            taken => taken?,
        };
        let content = seat.document.content(&self.shared).await?;
        let id = SessionId::new(self.shared.next_session.fetch_add(1, Ordering::Relaxed));
        let participant = Arc::new(participant);
        if !content.enter(id, &participant, self.shared.config.max_sessions) {
            return Err(CollaborationError::TooManySessions {
                document: document.to_owned(),
                limit: self.shared.config.max_sessions,
            });
        }
        count(&self.shared.counters.joined);
        tracing::debug!(document, session = id.get(), "joined");
        self.shared.tell(&CollaborationEvent::Joined { document, session: id });
        Ok(Session::new(id, participant, access, seat))
    }

    /// Stores what a failing store has not taken, and closes the documents that stayed open for its sake alone.
    ///
    /// # Errors
    /// The first [`CollaborationError::NotStored`]; the other documents are stored all the same.
    ///
    /// # Cancel safety
    /// What is not stored stays kept.
    pub async fn flush(&self) -> Result<(), CollaborationError> {
        let open: Vec<_> = self.shared.documents.lock().keys().cloned().collect();
        let mut first = Ok(());
        for name in open {
            if let Some(seat) = self.seat_in_open(&name) {
                let saved = seat.document.save(&self.shared, Until::Durable).await;
                first = first.and(saved);
            }
        }
        first
    }

    /// Takes an edit through a document of its own and back: engine, encoding, guard and merge. It touches neither the
    /// store nor any open document, and counts nowhere.
    ///
    /// # Errors
    /// [`CollaborationError::SelfCheck`] with the step that failed.
    ///
    /// # Cancel safety
    /// Leaves no trace.
    #[expect(clippy::unused_async, reason = "a check by contract, so that it may come to wait for something")]
    pub async fn self_check(&self) -> Result<(), CollaborationError> {
        let failed = |step| move |_error| CollaborationError::SelfCheck { step };
        let root = &self.shared.config.text;
        let mut writer = Replica::new(root);
        let edited = writer.edit(|text| text.insert(0, PROBE), |_bytes| Ok(()));
        let ((), update) = edited.map_err(failed("edit a scratch document"))?;
        let update = update.ok_or(CollaborationError::SelfCheck { step: "encode an edit" })?;
        let mut reader = Replica::new(root);
        reader.apply(&update).map_err(failed("apply an update"))?;
        let rest = writer.diff(&reader.state_vector()).map_err(failed("compare two replicas"))?;
        let more = reader.apply(&rest).map_err(failed("apply an empty update"))?;
        if reader.text() != PROBE || more.is_some() {
            return Err(CollaborationError::SelfCheck { step: "read an edit back" });
        }
        Ok(())
    }

    /// Returns what the hub holds and has done.
    #[must_use]
    pub fn stats(&self) -> HubStats {
        let documents = self.shared.documents.lock();
        let sessions = documents.values().filter_map(|slot| slot.document.loaded());
        let sessions = sessions.map(crate::document::Content::sessions).sum();
        self.shared.counters.stats(documents.len(), sessions)
    }

    fn assemble(builder: HubBuilder) -> Self {
        Self {
            shared: Arc::new(Shared {
                config: builder.config,
                store: builder.store,
                counters: Counters::default(),
                authorize: builder.authorize,
                observer: builder.observer,
                documents: Mutex::default(),
                next_session: AtomicU64::new(1),
            }),
        }
    }

    fn take_seat(&self, name: &str) -> Result<Seat, CollaborationError> {
        let mut documents = self.shared.documents.lock();
        let limit = self.shared.config.max_documents;
        let open = documents.len();
        let document = match documents.entry(Arc::from(name)) {
            Entry::Occupied(mut slot) => {
                let slot = slot.get_mut();
                slot.seats += 1;
                Arc::clone(&slot.document)
            }
            Entry::Vacant(_) if open >= limit => {
                return Err(CollaborationError::TooManyDocuments { limit });
            }
            Entry::Vacant(vacant) => {
                let document = Arc::new(Document::new(Arc::clone(vacant.key())));
                vacant.insert(Slot { document: Arc::clone(&document), seats: 1 });
                document
            }
        };
        drop(documents);
        Ok(Seat { document, shared: Arc::clone(&self.shared) })
    }

    fn seat_in_open(&self, name: &str) -> Option<Seat> {
        let mut documents = self.shared.documents.lock();
        let slot = documents.get_mut(name)?;
        slot.seats += 1;
        let document = Arc::clone(&slot.document);
        drop(documents);
        Some(Seat { document, shared: Arc::clone(&self.shared) })
    }

    /// Closes the documents that stayed open for the store's sake alone.
    async fn close_idle(&self) {
        for name in self.idle() {
            if let Some(seat) = self.seat_in_open(&name) {
                // A failure is counted and told; the document stays.
                let _saved = seat.document.save(&self.shared, Until::Durable).await;
            }
        }
    }

    fn idle(&self) -> Vec<Arc<str>> {
        let documents = self.shared.documents.lock();
        let idle = documents.iter().filter(|(_, slot)| slot.seats == 0);
        idle.map(|(name, _)| Arc::clone(name)).collect()
    }
}

impl Default for Hub {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for Hub {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Hub").field("config", &self.shared.config).field("stats", &self.stats()).finish_non_exhaustive()
    }
}

impl Shared {
    pub(crate) fn tell(&self, event: &CollaborationEvent<'_>) {
        if let Some(observer) = &self.observer {
            observer.on_event(event);
        }
    }

    pub(crate) fn refused(&self, document: &str, session: Option<SessionId>, error: &CollaborationError) {
        // A change that waits for the store was made.
        if !matches!(error, CollaborationError::NotStored { .. }) {
            count(&self.counters.refused);
            self.tell(&CollaborationEvent::Refused { document, session, reason: error.as_str() });
        }
    }
}

/// Keeps a document open; dropped with the last, it closes, if the store has all of it.
pub(crate) struct Seat {
    pub(crate) document: Arc<Document>,
    pub(crate) shared: Arc<Shared>,
}

impl Seat {
    /// Says whether nobody else keeps the document open.
    pub(crate) fn is_last(&self) -> bool {
        let documents = self.shared.documents.lock();
        documents.get(&self.document.name).is_some_and(|slot| slot.seats == 1)
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let mut documents = self.shared.documents.lock();
        let Some(slot) = documents.get_mut(&self.document.name) else {
            return;
        };
        slot.seats = slot.seats.saturating_sub(1);
        let saved = self.document.loaded().is_none_or(crate::document::Content::is_saved);
        if slot.seats > 0 || !saved {
            return;
        }
        documents.remove(&self.document.name);
        drop(documents);
        if self.document.loaded().is_some() {
            self.shared.tell(&CollaborationEvent::Closed { document: &self.document.name });
        }
    }
}

/// Configures a [`Hub`].
#[must_use]
pub struct HubBuilder {
    config: HubConfig,
    store: Arc<dyn DocumentStore>,
    authorize: Arc<dyn Authorize>,
    observer: Option<Arc<dyn Observer>>,
}

impl HubBuilder {
    fn new() -> Self {
        Self {
            config: HubConfig::default(),
            store: Arc::new(MemoryStore::new()),
            authorize: Arc::new(AllowAll),
            observer: None,
        }
    }

    /// Sets all bounds at once.
    pub fn config(mut self, config: HubConfig) -> Self {
        self.config = config;
        self
    }

    /// Sets [`HubConfig::text`].
    pub fn text(mut self, name: impl Into<String>) -> Self {
        self.config.text = name.into();
        self
    }

    /// Sets [`HubConfig::max_documents`].
    pub const fn max_documents(mut self, documents: usize) -> Self {
        self.config.max_documents = documents;
        self
    }

    /// Sets [`HubConfig::max_sessions`].
    pub const fn max_sessions(mut self, sessions: usize) -> Self {
        self.config.max_sessions = sessions;
        self
    }

    /// Sets [`HubConfig::max_update_bytes`].
    pub const fn max_update_bytes(mut self, bytes: usize) -> Self {
        self.config.max_update_bytes = bytes;
        self
    }

    /// Sets [`HubConfig::max_document_bytes`].
    pub const fn max_document_bytes(mut self, bytes: usize) -> Self {
        self.config.max_document_bytes = bytes;
        self
    }

    /// Sets [`HubConfig::max_presence_bytes`].
    pub const fn max_presence_bytes(mut self, bytes: usize) -> Self {
        self.config.max_presence_bytes = bytes;
        self
    }

    /// Sets [`HubConfig::pending_changes`].
    pub const fn pending_changes(mut self, changes: usize) -> Self {
        self.config.pending_changes = changes;
        self
    }

    /// Sets [`HubConfig::max_unsaved_bytes`].
    pub const fn max_unsaved_bytes(mut self, bytes: usize) -> Self {
        self.config.max_unsaved_bytes = bytes;
        self
    }

    /// Sets [`HubConfig::snapshot_after`].
    pub const fn snapshot_after(mut self, updates: usize) -> Self {
        self.config.snapshot_after = updates;
        self
    }

    /// Sets where documents are kept; by default in a [`MemoryStore`] of this hub alone.
    pub fn store(mut self, store: Arc<dyn DocumentStore>) -> Self {
        self.store = store;
        self
    }

    /// Sets who decides about joins; by default [`AllowAll`].
    pub fn authorize(mut self, authorize: impl Authorize) -> Self {
        self.authorize = Arc::new(authorize);
        self
    }

    /// Sets who hears what happens.
    pub fn observer(mut self, observer: impl Observer) -> Self {
        self.observer = Some(Arc::new(observer));
        self
    }

    /// Makes the hub.
    ///
    /// # Errors
    /// [`ConfigError`] names the setting that is out of bounds.
    pub fn build(self) -> Result<Hub, ConfigError> {
        self.config.validate()?;
        Ok(Hub::assemble(self))
    }
}

impl fmt::Debug for HubBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HubBuilder").field("config", &self.config).finish_non_exhaustive()
    }
}

fn name(field: &'static str, value: &str, least: usize) -> Result<(), CollaborationError> {
    if value.len() < least || value.len() > 256 || value.chars().any(char::is_control) {
        return Err(CollaborationError::InvalidName {
            field,
            value: value.chars().take(64).collect(),
            expected: "at most 256 bytes without control characters, and not empty but for participant.name",
        });
    }
    Ok(())
}

const PROBE: &str = "bedplate 🛠 self-check";

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bedplate_cache::Cache;
use bedplate_health::Health;
use bedplate_observability::Observability;
#[cfg(feature = "server")]
use bedplate_storage::{Interaction, Timestamp};
use bedplate_storage::{Recorder, Store};
use bedplate_tasks::TaskPool;
use serde::Serialize;
use tokio::sync::watch;
#[cfg(feature = "server")]
use tokio::time::Instant;

#[cfg(feature = "server")]
use crate::lifecycle::Unrecorded;

use crate::explain::Layered;
use crate::processed::Answered;
use crate::route::{ModelRoute, ProcessorRoute};
use crate::{BedplateBuilder, Explanation, Mode, ProcessError, Processed, Request, Settings, ShutdownReport};

/// A running system: a handle whose clones share it.
///
/// # Shutdown
/// Call [`shutdown`](Self::shutdown) at the end: it finishes what was begun, writes every record and says what was lost.
/// Without it the tasks end with the last handle, and what was not written is lost.
#[derive(Clone)]
pub struct Bedplate {
    pub(crate) system: Arc<System>,
}

/// The parts, shared by all handles and by every request under way.
pub(crate) struct System {
    pub(crate) layered: Layered,
    pub(crate) cache: Cache<String, Arc<Answered>>,
    /// Takes requests; a worker is held for the whole of a request, retries included.
    pub(crate) pool: TaskPool,
    pub(crate) routes: Vec<ProcessorRoute>,
    pub(crate) models: ModelRoute,
    pub(crate) documents: bedplate_collaboration::Hub,
    pub(crate) health: Health,
    pub(crate) telemetry: Observability,
    pub(crate) store: Arc<dyn Store>,
    pub(crate) recorder: Recorder,
    /// The gate that a shutdown closes.
    pub(crate) closed: AtomicBool,
    /// What is counted of requests, for all but the retries.
    pub(crate) counters: watch::Sender<Counters>,
}

/// What a system counts of its requests.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Counters {
    /// Requests that ended.
    pub requests: u64,
    /// Those with the full answer.
    pub succeeded: u64,
    /// Those with a fall-back's answer.
    pub degraded: u64,
    /// Those with an error.
    pub failed: u64,
    /// Attempts beyond the first, over all processors and models.
    pub retries: u64,
    /// Requests under way.
    pub in_flight: u64,
    /// Records that found no room in the recorder's queue.
    pub records_dropped: u64,
}

impl Bedplate {
    /// Configures a system in the mode STANDARD.
    pub fn builder() -> BedplateBuilder {
        BedplateBuilder::new()
    }

    /// Processes one request: validates it, looks its answer up, or has it processed by the task pool under the recovery
    /// policies, and records how it ended.
    ///
    /// # Errors
    /// [`ProcessError`]; its [`kind`](ProcessError::kind) says what the caller can do about it. Every failed request is
    /// recorded too.
    ///
    /// # Cancel safety
    /// If the future is dropped, the request is recorded as failed with the kind `cancelled`; processing that was begun
    /// goes on and fills the cache.
    ///
    /// # Examples
    /// ```
    /// use bedplate::{Bedplate, CacheOutcome, Request};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let system = Bedplate::builder().build().await?;
    /// let request = Request::text("The bedplate carries the engine. It is cast in one piece.");
    /// let first = system.process(request.clone()).await?;
    /// let again = system.process(request).await?;
    /// assert_eq!((first.cache, again.cache), (CacheOutcome::Miss, CacheOutcome::Hit));
    /// assert!(system.shutdown(std::time::Duration::from_secs(5)).await.is_clean());
    /// # Ok(())
    /// # }
    /// ```
    pub async fn process(&self, request: Request) -> Result<Processed, ProcessError> {
        self.system.process(request).await
    }

    /// Returns the mode that was chosen.
    #[must_use]
    pub fn mode(&self) -> Mode {
        self.explain().mode
    }

    /// Returns the effective settings.
    #[must_use]
    pub fn settings(&self) -> &Settings {
        self.system.settings()
    }

    /// Returns every effective setting with where it comes from.
    #[must_use]
    pub fn explain(&self) -> Explanation {
        self.system.layered.explain()
    }

    /// Returns what was counted so far.
    #[must_use]
    pub fn counters(&self) -> Counters {
        self.system.counters()
    }

    /// Returns what the cache of answers counted so far.
    #[must_use]
    pub fn cache_stats(&self) -> bedplate_cache::CacheStats {
        self.system.cache.stats()
    }

    /// Forgets every cached answer.
    pub fn clear_cache(&self) {
        self.system.cache.clear();
    }

    /// Returns the task pool that takes the requests, to run work of your own on it.
    #[must_use]
    pub fn tasks(&self) -> &TaskPool {
        &self.system.pool
    }

    /// Returns the health service.
    #[must_use]
    pub fn health(&self) -> &Health {
        &self.system.health
    }

    /// Returns the shared documents.
    #[must_use]
    pub fn documents(&self) -> &bedplate_collaboration::Hub {
        &self.system.documents
    }

    /// Returns the telemetry.
    #[must_use]
    pub fn telemetry(&self) -> &Observability {
        &self.system.telemetry
    }

    /// Returns the store of users, sessions, interactions and cached answers. Records reach it in batches; call
    /// [`flush_records`](Self::flush_records) before reading what was just processed.
    #[must_use]
    pub fn store(&self) -> &Arc<dyn Store> {
        &self.system.store
    }

    /// Waits until every record handed over so far is in the store.
    pub async fn flush_records(&self) {
        // After the shutdown there is nothing left to wait for.
        let _closed = self.system.recorder.flush().await;
    }

    /// Takes no more requests, finishes those under way for at most about `deadline`, and says what was lost.
    ///
    /// # Cancel safety
    /// What was not finished when the future is dropped is lost; call it to its end.
    pub async fn shutdown(&self, deadline: Duration) -> ShutdownReport {
        Box::pin(self.system.shutdown(deadline)).await
    }
}

#[cfg(feature = "server")]
impl Bedplate {
    /// Counts, logs and records what was refused before it became a request.
    pub(crate) async fn refuse(&self, kind: crate::ErrorKind, message: &str) -> crate::RequestId {
        let interaction = Interaction::new(crate::RequestId::new(), "unknown", Timestamp::now());
        let id = interaction.id;
        let mut unrecorded = Unrecorded::new(Arc::clone(&self.system), interaction, Instant::now());
        tracing::info_span!("process", request_id = %id).in_scope(|| unrecorded.failed(kind, message));
        unrecorded.record().await;
        id
    }
}

impl fmt::Debug for Bedplate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Bedplate")
            .field("settings", &self.system.layered.settings)
            .field("counters", &self.counters())
            .finish_non_exhaustive()
    }
}

impl System {
    pub(crate) const fn settings(&self) -> &Settings {
        &self.layered.settings
    }

    pub(crate) fn counters(&self) -> Counters {
        let retries = self.guards().map(crate::route::Guard::retried).sum();
        Counters { retries, ..*self.counters.borrow() }
    }

    pub(crate) fn guards(&self) -> impl Iterator<Item = &crate::route::Guard> {
        self.routes.iter().map(|route| &route.guard).chain(self.models.guards())
    }

    pub(crate) fn close(&self) {
        self.closed.store(true, Ordering::SeqCst);
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.closed.load(Ordering::SeqCst)
    }

    pub(crate) fn count(&self, change: impl FnOnce(&mut Counters)) {
        self.counters.send_modify(change);
    }

    /// Waits until no request is under way.
    pub(crate) async fn drained(&self) {
        // The sender lives as long as the system, so the wait ends by the count alone.
        let mut counters = self.counters.subscribe();
        let _count = counters.wait_for(|counters| counters.in_flight == 0).await;
    }
}

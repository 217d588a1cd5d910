use std::future::Future as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use async_trait::async_trait;
use bedplate_collaboration::{
    CollaborationError, DocumentStore, Hub, MemoryStore, Participant, Position, StoreError, StoreErrorKind, Stored,
};
use bytes::Bytes;
use tokio::sync::Semaphore;

use crate::join;

/// A store that fails, or waits, when told to.
struct Moody {
    inner: MemoryStore,
    fails: AtomicBool,
    loads: AtomicU32,
    appends: AtomicU32,
    gate: Semaphore,
}

impl Moody {
    fn new() -> Arc<Self> {
        Arc::new(Self {
            inner: MemoryStore::new(),
            fails: AtomicBool::new(false),
            loads: AtomicU32::new(0),
            appends: AtomicU32::new(0),
            gate: Semaphore::new(PERMITS),
        })
    }

    fn answer(&self) -> Result<(), StoreError> {
        if self.fails.load(Ordering::Relaxed) {
            return Err(StoreError::new(StoreErrorKind::Unavailable, "disk is gone"));
        }
        Ok(())
    }
}

#[async_trait]
impl DocumentStore for Moody {
    async fn load(&self, document: &str) -> Result<Stored, StoreError> {
        self.loads.fetch_add(1, Ordering::Relaxed);
        let _pass = self.gate.acquire().await.unwrap();
        self.answer()?;
        self.inner.load(document).await
    }

    async fn append(&self, document: &str, updates: &[Bytes]) -> Result<Position, StoreError> {
        self.appends.fetch_add(1, Ordering::Relaxed);
        let _pass = self.gate.acquire().await.unwrap();
        self.answer()?;
        self.inner.append(document, updates).await
    }

    async fn compact(&self, document: &str, through: Position, snapshot: Bytes) -> Result<(), StoreError> {
        self.answer()?;
        self.inner.compact(document, through, snapshot).await
    }

    async fn remove(&self, document: &str) -> Result<(), StoreError> {
        self.inner.remove(document).await
    }
}

const PERMITS: usize = 100;

fn hub(store: &Arc<Moody>) -> Hub {
    let store: Arc<dyn DocumentStore> = Arc::clone(store) as Arc<dyn DocumentStore>;
    Hub::builder().store(store).max_documents(1).snapshot_after(4).build().unwrap()
}

#[tokio::test]
async fn the_last_to_leave_stores_a_snapshot_and_closes() {
    let store = Moody::new();
    let hub = hub(&store);
    let (ann, bob) = (join(&hub, "ann").await, join(&hub, "bob").await);
    ann.edit(|text| text.insert(0, "kept")).await.unwrap();
    assert_eq!(store.inner.load("doc").await.unwrap().updates.len(), 1);
    ann.leave().await.unwrap();
    assert_eq!(hub.stats().documents, 1, "bob is still there");
    bob.leave().await.unwrap();
    assert_eq!(hub.stats().documents, 0);
    let stored = store.inner.load("doc").await.unwrap();
    assert!(stored.snapshot.is_some() && stored.updates.is_empty());
    assert_eq!(join(&hub, "carl").await.text(), "kept");
    assert_eq!(store.loads.load(Ordering::Relaxed), 2);
}

#[tokio::test]
async fn a_dropped_session_loses_nothing() {
    let store = Moody::new();
    let hub = hub(&store);
    let ann = join(&hub, "ann").await;
    ann.edit(|text| text.insert(0, "kept")).await.unwrap();
    drop(ann);
    assert_eq!(hub.stats().documents, 0);
    assert_eq!(join(&hub, "bob").await.text(), "kept");
}

#[tokio::test]
async fn a_long_log_becomes_a_snapshot() {
    let store = Moody::new();
    let hub = hub(&store);
    let ann = join(&hub, "ann").await;
    for _ in 0..6 {
        ann.edit(|text| text.push("x")).await.unwrap();
    }
    let stored = store.inner.load("doc").await.unwrap();
    assert!(stored.snapshot.is_some());
    assert_eq!(stored.updates.len(), 2);
    drop(ann);
    assert_eq!(join(&hub, "bob").await.text(), "xxxxxx");
}

#[tokio::test]
async fn what_a_failing_store_did_not_take_is_kept_and_stored_later() {
    let store = Moody::new();
    let hub = hub(&store);
    let ann = join(&hub, "ann").await;
    store.fails.store(true, Ordering::Relaxed);
    let error = ann.edit(|text| text.insert(0, "late")).await.unwrap_err();
    assert!(matches!(error, CollaborationError::NotStored { .. }) && error.is_transient());
    assert_eq!(ann.text(), "late");
    assert!(ann.leave().await.is_err());
    assert_eq!(hub.stats().documents, 1, "it stays open for what is not stored");
    assert!(hub.flush().await.is_err());
    let full = hub.join("other", Participant::new("bob")).await.unwrap_err();
    assert!(matches!(full, CollaborationError::TooManyDocuments { .. }));
    store.fails.store(false, Ordering::Relaxed);
    // A join that needs the room stores and closes it by itself.
    hub.join("other", Participant::new("bob")).await.unwrap();
    assert_eq!(join(&hub, "ann").await.text(), "late");
    assert_eq!(hub.stats().store_failures, 4);
}

#[tokio::test]
async fn a_store_that_stays_away_stops_changes_at_the_bound() {
    let store = Moody::new();
    store.fails.store(true, Ordering::Relaxed);
    let shared: Arc<dyn DocumentStore> = Arc::clone(&store) as Arc<dyn DocumentStore>;
    let hub = Hub::builder().store(shared).max_update_bytes(64).max_unsaved_bytes(64).build().unwrap();
    let failed = hub.join("doc", Participant::new("ann")).await.unwrap_err();
    assert!(matches!(failed, CollaborationError::Load { .. }) && failed.is_transient());
    assert_eq!(hub.stats().documents, 0, "a failed load leaves nothing open");
    store.fails.store(false, Ordering::Relaxed);
    let ann = join(&hub, "ann").await;
    store.fails.store(true, Ordering::Relaxed);
    ann.edit(|text| text.push(&"x".repeat(64))).await.unwrap_err();
    let refused = ann.edit(|text| text.push("y")).await.unwrap_err();
    assert!(matches!(refused, CollaborationError::StoreBehind { limit: 64, .. }));
    assert_eq!(ann.text().len(), 64);
    store.fails.store(false, Ordering::Relaxed);
    hub.flush().await.unwrap();
    ann.edit(|text| text.push("y")).await.unwrap();
}

#[tokio::test]
async fn an_edit_whose_caller_goes_away_is_made_and_stored_later() {
    let store = Moody::new();
    let hub = hub(&store);
    let (ann, bob) = (join(&hub, "ann").await, join(&hub, "bob").await);
    let closed = store.gate.acquire_many(u32::try_from(PERMITS).unwrap()).await.unwrap();
    {
        let mut edit = std::pin::pin!(ann.edit(|text| text.insert(0, "made")));
        let polled = std::future::poll_fn(|cx| std::task::Poll::Ready(edit.as_mut().poll(cx).is_ready())).await;
        assert!(!polled, "the store has not answered");
        assert_eq!(bob.text(), "made");
    }
    drop(closed);
    drop(ann);
    bob.edit(|text| text.push("!")).await.unwrap();
    drop(bob);
    assert_eq!(join(&hub, "carl").await.text(), "made!");
}

#[tokio::test]
async fn many_joins_load_a_document_once() {
    let store = Moody::new();
    let hub = hub(&store);
    let joins = (0..20).map(|i| {
        let hub = hub.clone();
        tokio::spawn(async move { hub.join("doc", Participant::new(format!("p{i}"))).await.unwrap() })
    });
    let mut sessions = Vec::new();
    for join in joins.collect::<Vec<_>>() {
        sessions.push(join.await.unwrap());
    }
    assert_eq!(store.loads.load(Ordering::Relaxed), 1);
    assert_eq!(sessions[0].participants().len(), 20);
}

#[tokio::test]
async fn the_memory_store_is_bounded_and_counts_what_it_holds() {
    let store = MemoryStore::with_capacity(20);
    let update = Bytes::from_static(&[0; 8]);
    let position = store.append("doc", &[update.clone(), update.clone()]).await.unwrap();
    assert_eq!((store.bytes(), position.get()), (19, 2));
    let full = store.append("doc", std::slice::from_ref(&update)).await.unwrap_err();
    assert_eq!(full.kind(), StoreErrorKind::Full);
    assert!(!full.is_transient());
    store.compact("doc", Position::new(1), Bytes::from_static(&[1; 4])).await.unwrap();
    let stored = store.load("doc").await.unwrap();
    assert_eq!((stored.updates.len(), stored.snapshot.unwrap().len(), store.bytes()), (1, 4, 15));
    store.remove("doc").await.unwrap();
    assert_eq!((store.bytes(), store.is_empty()), (0, true));
}

#[tokio::test]
async fn a_stored_document_that_is_none_is_reported() {
    let store = Arc::new(MemoryStore::new());
    store.append("doc", &[Bytes::from_static(b"garbage")]).await.unwrap();
    let hub = Hub::builder().store(store).build().unwrap();
    let error = hub.join("doc", Participant::new("ann")).await.unwrap_err();
    assert!(matches!(error, CollaborationError::Corrupt { .. }), "{error}");
}

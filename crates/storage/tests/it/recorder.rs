use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use bedplate_storage::{
    CachedAnswer, Interaction, InteractionId, InteractionQuery, Interactions, MemoryStore, ModelCache, Recorder,
    RecorderConfig, Session, SessionId, Sessions, StatusCounts, StorageError, Store, Timestamp, User, UserId, Users,
};

use super::interaction;

#[tokio::test(start_paused = true)]
async fn everything_accepted_is_written() {
    let store = Arc::new(MemoryStore::new());
    let recorder = Recorder::start(Arc::clone(&store) as Arc<dyn Store>, RecorderConfig::default()).unwrap();
    for index in 0..2_000 {
        recorder.record(interaction(index)).await.unwrap();
    }
    recorder.flush().await.unwrap();
    assert_eq!(store.interaction_counts().await.unwrap().total(), 2_000);

    recorder.record(interaction(2_000)).await.unwrap();
    let report = recorder.shutdown(Duration::from_secs(5)).await;
    assert_eq!((report.written, report.lost), (2_001, 0));
    assert!(matches!(recorder.record(interaction(1)).await, Err(StorageError::Closed)));
    assert!(matches!(recorder.flush().await, Err(StorageError::Closed)));
}

#[tokio::test(start_paused = true)]
async fn a_store_that_is_out_of_reach_for_a_while_loses_nothing() {
    let store = Arc::new(Faulty::failing(3));
    let recorder = Recorder::start(Arc::clone(&store) as Arc<dyn Store>, RecorderConfig::default()).unwrap();
    for index in 0..10 {
        recorder.record(interaction(index)).await.unwrap();
    }
    recorder.flush().await.unwrap();
    assert_eq!(store.inner.interaction_counts().await.unwrap().total(), 10);
    assert_eq!(recorder.stats().retries, 3);
}

#[tokio::test(start_paused = true)]
async fn a_row_that_the_database_refuses_holds_no_other() {
    let mut faulty = Faulty::failing(0);
    faulty.refused = Some("refuse me");
    let store = Arc::new(faulty);
    let recorder = Recorder::start(Arc::clone(&store) as Arc<dyn Store>, RecorderConfig::default()).unwrap();
    for index in 0..20 {
        let mut one = interaction(index);
        if index % 7 == 3 {
            one.modality = "refuse me".to_owned();
        }
        recorder.record(one).await.unwrap();
    }
    recorder.flush().await.unwrap();
    let stats = recorder.stats();
    assert_eq!((stats.written, stats.refused, stats.retries), (17, 3, 0));
    assert_eq!(store.inner.interaction_counts().await.unwrap().total(), 17);
}

#[tokio::test(start_paused = true)]
async fn a_dead_store_cannot_hold_the_shutdown_and_the_loss_is_told() {
    let store = Arc::new(Faulty::failing(u32::MAX));
    let recorder = Recorder::start(store as Arc<dyn Store>, RecorderConfig::default()).unwrap();
    for index in 0..7 {
        recorder.record(interaction(index)).await.unwrap();
    }
    let report = recorder.shutdown(Duration::from_secs(1)).await;
    assert_eq!((report.written, report.lost), (0, 7));
    assert_eq!(recorder.shutdown(Duration::from_secs(1)).await, report);
}

#[tokio::test(start_paused = true)]
async fn a_full_queue_makes_callers_wait_or_says_so() {
    let mut config = RecorderConfig::default();
    config.queue = 2;
    config.batch = 1;
    let recorder = Recorder::start(Arc::new(Faulty::failing(u32::MAX)) as Arc<dyn Store>, config).unwrap();
    // One is in the writer's hands, two wait.
    for index in 0..3 {
        recorder.record(interaction(index)).await.unwrap();
        tokio::task::yield_now().await;
    }
    assert!(matches!(recorder.try_record(interaction(3)), Err(StorageError::QueueFull { capacity: 2 })));
    let waited = tokio::time::timeout(Duration::from_secs(30), recorder.record(interaction(4))).await;
    assert!(waited.is_err());
    assert_eq!(recorder.stats().accepted, 3);
}

#[tokio::test(start_paused = true)]
async fn one_wrong_row_does_not_hold_the_others() {
    let store = Arc::new(MemoryStore::new());
    let recorder = Recorder::start(Arc::clone(&store) as Arc<dyn Store>, RecorderConfig::default()).unwrap();
    let mut wrong = interaction(1);
    wrong.quality = 7.0;
    for one in [interaction(0), wrong, interaction(2)] {
        recorder.record(one).await.unwrap();
    }
    recorder.flush().await.unwrap();
    assert_eq!(store.interaction_counts().await.unwrap().total(), 2);
    assert_eq!(recorder.stats().refused, 1);
}

#[tokio::test]
async fn settings_out_of_bounds_are_named() {
    type Spoil = fn(&mut RecorderConfig);
    let cases: [(Spoil, &str); 4] = [
        (|config| config.queue = 0, "recorder.queue"),
        (|config| config.batch = 10_001, "recorder.batch"),
        (|config| config.linger = Duration::from_secs(11), "recorder.linger"),
        (|config| config.retry_delay = Duration::ZERO, "recorder.retry_delay"),
    ];
    for (spoil, expected) in cases {
        let mut config = RecorderConfig::default();
        spoil(&mut config);
        match Recorder::start(Arc::new(MemoryStore::new()), config) {
            Err(StorageError::Invalid { field, .. }) => assert_eq!(field, expected),
            other => panic!("expected an invalid {expected}, got {other:?}"),
        }
    }
}

/// A store whose first writes fail as those of a database out of reach do.
#[derive(Debug)]
struct Faulty {
    inner: MemoryStore,
    failures: AtomicU32,
    /// Batches with this modality fail for good.
    refused: Option<&'static str>,
}

impl Faulty {
    fn failing(times: u32) -> Self {
        Self { inner: MemoryStore::new(), failures: AtomicU32::new(times), refused: None }
    }
}

#[async_trait]
impl Interactions for Faulty {
    async fn record(&self, interactions: &[Interaction]) -> Result<(), StorageError> {
        let left = self.failures.load(Ordering::Relaxed);
        if left > 0 {
            self.failures.store(left - 1, Ordering::Relaxed);
            return Err(StorageError::Database {
                operation: "record interactions",
                transient: true,
                source: "the database is locked".into(),
            });
        }
        if interactions.iter().any(|one| Some(one.modality.as_str()) == self.refused) {
            return Err(StorageError::Database {
                operation: "record interactions",
                transient: false,
                source: "a constraint".into(),
            });
        }
        self.inner.record(interactions).await
    }

    async fn interaction(&self, id: InteractionId) -> Result<Option<Interaction>, StorageError> {
        self.inner.interaction(id).await
    }

    async fn interactions(&self, query: &InteractionQuery) -> Result<Vec<Interaction>, StorageError> {
        self.inner.interactions(query).await
    }

    async fn interaction_counts(&self) -> Result<StatusCounts, StorageError> {
        self.inner.interaction_counts().await
    }

    async fn remove_interactions_before(&self, cutoff: Timestamp) -> Result<u64, StorageError> {
        self.inner.remove_interactions_before(cutoff).await
    }
}

#[async_trait]
impl Users for Faulty {
    async fn add_user(&self, user: &User) -> Result<(), StorageError> {
        self.inner.add_user(user).await
    }

    async fn user(&self, id: UserId) -> Result<Option<User>, StorageError> {
        self.inner.user(id).await
    }

    async fn user_by_name(&self, name: &str) -> Result<Option<User>, StorageError> {
        self.inner.user_by_name(name).await
    }

    async fn remove_user(&self, id: UserId) -> Result<bool, StorageError> {
        self.inner.remove_user(id).await
    }
}

#[async_trait]
impl Sessions for Faulty {
    async fn open_session(&self, session: &Session) -> Result<(), StorageError> {
        self.inner.open_session(session).await
    }

    async fn session(&self, id: SessionId) -> Result<Option<Session>, StorageError> {
        self.inner.session(id).await
    }

    async fn touch_session(&self, id: SessionId, at: Timestamp) -> Result<(), StorageError> {
        self.inner.touch_session(id, at).await
    }

    async fn end_session(&self, id: SessionId, at: Timestamp) -> Result<(), StorageError> {
        self.inner.end_session(id, at).await
    }

    async fn open_sessions(&self, user: UserId) -> Result<Vec<Session>, StorageError> {
        self.inner.open_sessions(user).await
    }
}

#[async_trait]
impl ModelCache for Faulty {
    async fn put_answer(&self, answer: &CachedAnswer) -> Result<(), StorageError> {
        self.inner.put_answer(answer).await
    }

    async fn answer(&self, key: &str, now: Timestamp) -> Result<Option<CachedAnswer>, StorageError> {
        self.inner.answer(key, now).await
    }

    async fn remove_expired_answers(&self, now: Timestamp) -> Result<u64, StorageError> {
        self.inner.remove_expired_answers(now).await
    }

    async fn remove_answers_by(&self, producer: &str) -> Result<u64, StorageError> {
        self.inner.remove_answers_by(producer).await
    }

    async fn answer_counts(&self) -> Result<BTreeMap<String, u64>, StorageError> {
        self.inner.answer_counts().await
    }
}

#[async_trait]
impl Store for Faulty {
    fn name(&self) -> &'static str {
        "faulty"
    }

    async fn ping(&self) -> Result<(), StorageError> {
        self.inner.ping().await
    }

    async fn close(&self) {
        self.inner.close().await;
    }
}

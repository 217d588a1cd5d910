use std::borrow::Cow;
use std::collections::BTreeMap;
use std::time::{Duration, SystemTime};

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::id::TaskId;
use crate::queue::Priority;
use crate::store::limits::{KeyLimit, Retention, Unique};

/// When a job may begin.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Start {
    /// As soon as a worker is free.
    #[default]
    Now,
    /// So long after it was taken in, by the store's clock; at most ten years.
    In(Duration),
    /// At this time of the wall clock; one in the past is now.
    At(SystemTime),
}

/// What becomes of a job when one that it depends on fails or is cancelled.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum OnDependencyFailure {
    /// It is cancelled, and so are those that depend on it.
    #[default]
    Cancel,
    /// It runs nevertheless, once all have ended: the way to clean up or to report.
    Run,
}

/// The name of a set of jobs that were submitted together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct BatchId(pub(crate) Uuid);

impl BatchId {
    /// Makes a new id.
    #[must_use]
    pub fn generate() -> Self {
        Self(TaskId::generate().as_uuid())
    }

    /// Takes over an id from elsewhere.
    #[must_use]
    pub const fn from_uuid(uuid: Uuid) -> Self {
        Self(uuid)
    }

    /// Returns the UUID.
    #[must_use]
    pub const fn as_uuid(self) -> Uuid {
        self.0
    }
}

impl std::fmt::Display for BatchId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(f)
    }
}

/// A job to take in: plain data, the same for every store.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct NewJob {
    /// Its id; one that the store knows already changes nothing.
    pub id: TaskId,
    /// What kind of work it is, a stable name of 1 to 255 bytes; workers choose their code by it.
    pub kind: Cow<'static, str>,
    /// The version of the payload's form.
    pub version: u16,
    /// In which queue it waits; 1 to 255 bytes, default `default`.
    pub queue: Cow<'static, str>,
    /// What the work is about, a JSON text unless `headers` say otherwise.
    pub payload: Vec<u8>,
    /// What goes along: the trace context, the encoding; names and values are text.
    pub headers: BTreeMap<String, String>,
    /// How soon it gets a worker.
    pub priority: Priority,
    /// When it may begin.
    pub start: Start,
    /// How many times it may be started before it failed, crashes included; at least 1, default 25.
    pub max_attempts: u32,
    /// How long one attempt may take; `None` for ever.
    pub timeout: Option<Duration>,
    /// When it is not worth starting any more, and an attempt is cut off.
    pub deadline: Option<SystemTime>,
    /// What makes another job its duplicate.
    pub unique: Option<Unique>,
    /// What it shares with others of a key.
    pub limit: Option<KeyLimit>,
    /// Jobs that must have completed before; they must be known to the store, or stand before it in the same call.
    pub depends_on: Vec<TaskId>,
    /// What becomes of it when one of these does not complete.
    pub on_dependency_failure: OnDependencyFailure,
    /// The set that it belongs to.
    pub batch: Option<BatchId>,
    /// How long it is remembered.
    pub retention: Retention,
}

impl NewJob {
    /// Describes a job with a new id.
    #[must_use]
    pub fn new(kind: impl Into<Cow<'static, str>>, payload: Vec<u8>) -> Self {
        Self { id: TaskId::generate(), kind: kind.into(), payload, ..Self::usual() }
    }

    /// What is so unless something else is said.
    pub(crate) const fn usual() -> Self {
        Self {
            id: TaskId::from_uuid(Uuid::nil()),
            kind: Cow::Borrowed(""),
            version: 1,
            queue: Cow::Borrowed("default"),
            payload: Vec::new(),
            headers: BTreeMap::new(),
            priority: Priority::Normal,
            start: Start::Now,
            max_attempts: 25,
            timeout: Some(Duration::from_mins(5)),
            deadline: None,
            unique: None,
            limit: None,
            depends_on: Vec::new(),
            on_dependency_failure: OnDependencyFailure::Cancel,
            batch: None,
            retention: Retention::USUAL,
        }
    }

    /// Puts it into this queue.
    #[must_use]
    pub fn queue(mut self, queue: impl Into<Cow<'static, str>>) -> Self {
        self.queue = queue.into();
        self
    }

    /// Lets it overtake those of lower priority.
    #[must_use]
    pub const fn priority(mut self, priority: Priority) -> Self {
        self.priority = priority;
        self
    }

    /// Sets when it may begin.
    #[must_use]
    pub const fn start(mut self, start: Start) -> Self {
        self.start = start;
        self
    }

    /// Sets how many times it may be started.
    #[must_use]
    pub const fn max_attempts(mut self, attempts: u32) -> Self {
        self.max_attempts = attempts;
        self
    }

    /// Makes others with the same key its duplicates.
    #[must_use]
    pub fn unique(mut self, unique: Unique) -> Self {
        self.unique = Some(unique);
        self
    }

    /// Sets what it shares with others of a key.
    #[must_use]
    pub fn limit(mut self, limit: KeyLimit) -> Self {
        self.limit = Some(limit);
        self
    }

    /// Lets it wait until these have completed.
    #[must_use]
    pub fn depends_on(mut self, ids: impl IntoIterator<Item = TaskId>) -> Self {
        self.depends_on = ids.into_iter().collect();
        self
    }

    /// Sets what becomes of it when one that it depends on does not complete.
    #[must_use]
    pub const fn on_dependency_failure(mut self, what: OnDependencyFailure) -> Self {
        self.on_dependency_failure = what;
        self
    }

    /// Makes it one of this set.
    #[must_use]
    pub const fn batch(mut self, batch: BatchId) -> Self {
        self.batch = Some(batch);
        self
    }

    /// Sets how long it is remembered.
    #[must_use]
    pub const fn retention(mut self, retention: Retention) -> Self {
        self.retention = retention;
        self
    }

    /// Sets when it is not worth starting any more.
    #[must_use]
    pub const fn deadline(mut self, deadline: SystemTime) -> Self {
        self.deadline = Some(deadline);
        self
    }
}

/// What became of a job that was to be taken in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Enqueued {
    /// It was taken in.
    New(TaskId),
    /// It was not: this one is known already by its id or its unique key.
    Duplicate(TaskId),
}

impl Enqueued {
    /// Returns the id of the job that is now in the store.
    #[must_use]
    pub const fn id(self) -> TaskId {
        match self {
            Self::New(id) | Self::Duplicate(id) => id,
        }
    }

    /// Says whether it was another one's duplicate.
    #[must_use]
    pub const fn is_duplicate(self) -> bool {
        matches!(self, Self::Duplicate(_))
    }
}

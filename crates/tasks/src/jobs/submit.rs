use std::borrow::Cow;
use std::future::{Future, IntoFuture};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, SystemTime};

use tracing::field;

use crate::id::TaskId;
use crate::job::{Job, encode_json, seal_payload};
use crate::jobs::core::Core;
use crate::jobs::error::EnqueueError;
use crate::jobs::event::JobEvent;
use crate::jobs::handle::JobHandle;
use crate::jobs::stats::count;
use crate::queue::Priority;
use crate::store::{BatchId, Enqueued, KeyLimit, NewJob, OnDependencyFailure, Retention, Start, StoreError, Unique};

/// A job on its way to the store; awaited it is there.
///
/// What is not said here is as the kind's [`options`](Job::options) say.
#[must_use = "a job is submitted when this is awaited"]
#[derive(Debug)]
pub struct Submit<J: Job> {
    core: Arc<Core>,
    prepared: Result<NewJob, EnqueueError>,
    wait_for_room: bool,
    kind: std::marker::PhantomData<fn(J)>,
}

impl<J: Job> Submit<J> {
    pub(crate) fn new(core: &Arc<Core>, job: J, wait_for_room: bool) -> Self {
        let prepared = prepare(job);
        Self { core: Arc::clone(core), prepared, wait_for_room, kind: std::marker::PhantomData }
    }

    fn with(mut self, change: impl FnOnce(&mut NewJob)) -> Self {
        if let Ok(job) = &mut self.prepared {
            change(job);
        }
        self
    }

    /// Lets it begin so long from now, at most ten years.
    pub fn delay(self, delay: Duration) -> Self {
        self.with(|job| job.start = Start::In(delay))
    }

    /// Lets it begin at this time of the calendar; one in the past is now.
    pub fn at(self, time: SystemTime) -> Self {
        self.with(|job| job.start = Start::At(time))
    }

    /// Lets it overtake those of lower priority.
    pub fn priority(self, priority: Priority) -> Self {
        self.with(|job| job.priority = priority)
    }

    /// Puts it into this queue.
    pub fn queue(self, queue: impl Into<Cow<'static, str>>) -> Self {
        self.with(|job| job.queue = queue.into())
    }

    /// Sets how many times it may be started.
    pub fn max_attempts(self, attempts: u32) -> Self {
        self.with(|job| job.max_attempts = attempts)
    }

    /// Sets how long one attempt may take.
    pub fn timeout(self, limit: Duration) -> Self {
        self.with(|job| job.timeout = Some(limit))
    }

    /// Sets when it is not worth starting any more, and is cut off.
    pub fn deadline(self, deadline: SystemTime) -> Self {
        self.with(|job| job.deadline = Some(deadline))
    }

    /// Makes others with the same key its duplicates.
    pub fn unique(self, unique: Unique) -> Self {
        self.with(|job| job.unique = Some(unique))
    }

    /// Makes a repeated call harmless for a day: a second job with the same key is the first one's duplicate, whatever
    /// became of that.
    pub fn idempotency_key(self, key: impl Into<String>) -> Self {
        self.with(|job| job.unique = Some(Unique::idempotency(key, Duration::from_hours(24))))
    }

    /// Sets what it shares with others of a key.
    pub fn limit(self, limit: KeyLimit) -> Self {
        self.with(|job| job.limit = Some(limit))
    }

    /// Lets it wait until these have completed.
    pub fn after(self, jobs: impl IntoIterator<Item = TaskId>) -> Self {
        self.with(|job| job.depends_on.extend(jobs))
    }

    /// Sets what becomes of it when one that it waits for does not complete.
    pub fn on_dependency_failure(self, what: OnDependencyFailure) -> Self {
        self.with(|job| job.on_dependency_failure = what)
    }

    /// Makes it one of this set.
    pub fn batch(self, batch: BatchId) -> Self {
        self.with(|job| job.batch = Some(batch))
    }

    /// Sets how long it is remembered.
    pub fn retention(self, retention: Retention) -> Self {
        self.with(|job| job.retention = retention)
    }

    /// Gives it an id from elsewhere; one that the store knows already makes it a duplicate.
    pub fn id(self, id: TaskId) -> Self {
        self.with(|job| job.id = id)
    }

    /// Lets a text go along with it.
    pub fn header(self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.with(|job| drop(job.headers.insert(name.into(), value.into())))
    }

    /// Returns the job as data, to be taken into a store by other means, such as a transaction of the caller's.
    ///
    /// # Errors
    /// [`EnqueueError`] for arguments that cannot be written.
    pub fn prepare(self) -> Result<NewJob, EnqueueError> {
        let Self { core, prepared, .. } = self;
        let mut job = prepared?;
        inject(&core, &mut job);
        seal(&core, &mut job)?;
        Ok(job)
    }

    /// The job as data before it is sealed.
    #[cfg(feature = "cron")]
    pub(crate) fn prepare_plain(self) -> Result<NewJob, EnqueueError> {
        self.prepared
    }

    async fn send(self) -> Result<JobHandle<J>, EnqueueError> {
        let (core, wait) = (Arc::clone(&self.core), self.wait_for_room);
        let job = self.prepare()?;
        let answers = enqueue(&core, vec![job], wait).await?;
        let answer = answers.first().copied().ok_or(EnqueueError::Closed)?;
        Ok(JobHandle::new(core, answer.id(), answer.is_duplicate()))
    }
}

impl<J: Job> IntoFuture for Submit<J> {
    type Output = Result<JobHandle<J>, EnqueueError>;
    type IntoFuture = Pin<Box<dyn Future<Output = Self::Output> + Send>>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(self.send())
    }
}

/// Seals the arguments of a job that is otherwise complete.
pub(crate) fn seal(core: &Core, job: &mut NewJob) -> Result<(), EnqueueError> {
    seal_payload(&*core.codec, job).map_err(|source| EnqueueError::Codec { kind: job.kind.clone(), source })
}

fn prepare<J: Job>(arguments: J) -> Result<NewJob, EnqueueError> {
    let (kind, options) = (J::KIND, J::options());
    let json = encode_json(&arguments).map_err(|source| EnqueueError::Arguments { kind, source })?;
    if json.len() > options.max_payload {
        return Err(EnqueueError::TooLarge { kind, size: json.len(), most: options.max_payload });
    }
    let by_arguments = || {
        let (scope, within) = options.unique?;
        Some(Unique { key: format!("args:{kind}:{}", blake3::hash(&json).to_hex()), within, scope })
    };
    let unique = arguments.unique().or_else(by_arguments);
    let mut job = NewJob::new(kind, json);
    job.version = J::VERSION;
    job.queue = options.queue;
    job.priority = options.priority;
    job.max_attempts = options.max_attempts;
    job.timeout = options.timeout;
    job.retention = options.retention;
    job.limit = arguments.limit();
    drop(arguments);
    job.unique = unique;
    Ok(job)
}

/// Makes the span of sending, by the messaging conventions, and lets it go along.
pub(crate) fn inject(core: &Core, job: &mut NewJob) {
    let Some(propagate) = &core.propagate else { return };
    let span = tracing::info_span!(
        "send",
        otel.name = field::Empty,
        otel.kind = "producer",
        messaging.system = "bedplate",
        messaging.operation.name = "send",
        messaging.operation.type = "send",
        messaging.destination.name = &*job.queue,
        messaging.message.id = %job.id,
        job.kind = &*job.kind,
    );
    if !span.is_disabled() {
        span.record("otel.name", format_args!("send {}", job.queue));
    }
    span.in_scope(|| propagate.inject(&mut job.headers));
}

/// How long to wait for room until looking again, should a wake-up be missed.
const LOOK_FOR_ROOM: Duration = Duration::from_millis(20);

/// Takes jobs to the store, waiting for room if that is wanted.
pub(crate) async fn enqueue(core: &Arc<Core>, jobs: Vec<NewJob>, wait: bool) -> Result<Vec<Enqueued>, EnqueueError> {
    loop {
        if core.stopped.is_cancelled() {
            return Err(EnqueueError::Closed);
        }
        match core.store.enqueue(jobs.clone()).await {
            // A list that is longer than the store is large would wait for ever.
            Err(StoreError::Full { capacity }) if wait && jobs.len() <= capacity => core.pause(LOOK_FOR_ROOM).await,
            answer => {
                let answers = finish(core, &jobs, answer)?;
                #[cfg(feature = "testing")]
                if core.manual.as_ref().is_some_and(|manual| manual.inline) {
                    // A job that submits would otherwise be a future within itself.
                    Box::pin(crate::jobs::worker::run_due(core)).await;
                }
                return Ok(answers);
            }
        }
    }
}

fn finish(
    core: &Core,
    jobs: &[NewJob],
    answer: Result<Vec<Enqueued>, StoreError>,
) -> Result<Vec<Enqueued>, EnqueueError> {
    core.note(&answer);
    let answers = answer?;
    for (job, answer) in jobs.iter().zip(&answers) {
        count(&core.counters.submitted);
        if answer.is_duplicate() {
            core.counters.duplicates.fetch_add(1, Ordering::Relaxed);
        }
        core.tell(|| JobEvent::Submitted { id: answer.id(), kind: job.kind.clone(), duplicate: answer.is_duplicate() });
    }
    Ok(answers)
}

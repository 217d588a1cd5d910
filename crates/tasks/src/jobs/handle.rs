use std::fmt;
use std::future::{Future, IntoFuture};
use std::marker::PhantomData;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use futures_util::Stream;
use futures_util::stream::unfold;
use tokio::time::timeout;

use crate::id::TaskId;
use crate::job::{Job, JobError, Outcome, outcome};
use crate::jobs::core::Core;
use crate::jobs::error::WaitError;
use crate::store::{JobRecord, JobState, NewJob, StoreError};

/// A job in the store, whichever process submitted or runs it: its state, its progress, its end.
///
/// Dropping it changes nothing. Another handle to the same job is made from its id by
/// [`Jobs::handle`](crate::Jobs::handle), also in another process.
pub struct JobHandle<J: Job> {
    core: Arc<Core>,
    id: TaskId,
    duplicate: bool,
    kind: PhantomData<fn() -> J>,
}

/// What a job is at.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct JobStatus<P> {
    /// Its state.
    pub state: JobState,
    /// How many attempts were begun that count.
    pub attempts: u32,
    /// The latest report of the latest attempt.
    pub progress: Option<P>,
    /// All that the store knows of it.
    pub record: JobRecord,
}

impl<J: Job> JobHandle<J> {
    pub(crate) const fn new(core: Arc<Core>, id: TaskId, duplicate: bool) -> Self {
        Self { core, id, duplicate, kind: PhantomData }
    }

    /// Returns the job's id.
    #[must_use]
    pub const fn id(&self) -> TaskId {
        self.id
    }

    /// Says whether what was submitted was this job's duplicate, and was not taken in.
    #[must_use]
    pub const fn is_duplicate(&self) -> bool {
        self.duplicate
    }

    /// Returns what the job is at.
    ///
    /// # Errors
    /// [`WaitError::Expired`] if the store does not know it any more, [`WaitError::OtherKind`] if it is not of this kind,
    /// [`WaitError::Store`] if the store fails.
    pub async fn status(&self) -> Result<JobStatus<J::Progress>, WaitError> {
        let answer = self.core.store.job(self.id).await;
        self.core.note(&answer);
        let record = answer?.ok_or(WaitError::Expired(self.id))?;
        check_kind::<J>(&record)?;
        let progress = read_progress::<J>(&record);
        Ok(JobStatus { state: record.state, attempts: record.attempts, progress, record })
    }

    /// Waits until the job has ended and returns how.
    ///
    /// It outlives outages of the store.
    ///
    /// # Errors
    /// [`WaitError::Expired`] if the store does not know it any more, [`WaitError::Undecodable`] if its result is not
    /// what the kind gives, [`WaitError::OtherKind`] at once if the job is not of this kind, [`WaitError::Closed`] if the
    /// runtime is shut down before the job has ended, [`WaitError::Store`] if the store fails for good.
    ///
    /// # Cancel safety
    /// Dropping the future loses nothing.
    pub async fn wait(&self) -> Result<Outcome<J::Output, J::Error>, WaitError> {
        let record = wait_for_end(&self.core, self.id, check_kind::<J>).await?;
        match outcome::<J>(&record) {
            Ok(outcome) => outcome.ok_or(WaitError::Expired(self.id)),
            Err(source) => Err(WaitError::Undecodable { id: self.id, source }),
        }
    }

    /// Waits for at most so long.
    ///
    /// # Errors
    /// [`WaitError::Elapsed`] if the job did not end in time; the others as [`wait`](Self::wait).
    ///
    /// # Cancel safety
    /// Dropping the future loses nothing.
    pub async fn wait_timeout(&self, limit: Duration) -> Result<Outcome<J::Output, J::Error>, WaitError> {
        timeout(limit, self.wait()).await.unwrap_or(Err(WaitError::Elapsed(self.id)))
    }

    /// Waits for what the job gives; awaiting the handle does the same.
    ///
    /// # Errors
    /// [`JobError`] if it gave nothing.
    ///
    /// # Cancel safety
    /// Dropping the future loses nothing.
    pub async fn result(&self) -> Result<J::Output, JobError<J::Error>> {
        self.wait().await?.into_result()
    }

    /// Gives the job up and returns in which state it is now: one that waits is cancelled at once; one that runs is
    /// told to stop, wherever that is, and is dropped after a grace. If it completes first, it completed.
    ///
    /// # Errors
    /// [`WaitError::Expired`] if the store does not know it any more, [`WaitError::Store`] if that fails.
    pub async fn cancel(&self, reason: &str) -> Result<JobState, WaitError> {
        cancel(&self.core, self.id, reason).await
    }

    /// Streams the job's reports, from the latest on; it ends with the job, with the runtime, or when the store does not know that any
    /// more, or knows it as one of another kind.
    ///
    /// Only the latest report is kept, so that a slow reader misses some. Reports that cannot be read are left out.
    pub fn progress(&self) -> impl Stream<Item = J::Progress> + Send + Unpin + use<J> {
        let core = Arc::clone(&self.core);
        Box::pin(unfold((core, self.id, None), |(core, id, seen)| async move {
            loop {
                let watch = core.waiters.watch(id);
                let changed = Arc::clone(&watch.changed);
                let mut changed = std::pin::pin!(changed.notified());
                changed.as_mut().enable();
                let record = core.insist(|| core.store.job(id)).await.ok().flatten()?;
                check_kind::<J>(&record).ok()?;
                // Numbers begin anew with each attempt, and an attempt that was snoozed does not count.
                if record.progress != seen
                    && let Some(progress) = read_progress::<J>(&record)
                {
                    drop(watch);
                    return Some((progress, (Arc::clone(&core), id, record.progress)));
                }
                if record.state.is_final() || core.stopped.is_cancelled() {
                    return None;
                }
                // A wake-up may be missed, then it is looked for again.
                drop(timeout(look_again(&core), changed).await);
            }
        }))
    }
}

/// What a job of another kind gives may look like what this one gives.
fn check_kind<J: Job>(record: &JobRecord) -> Result<(), WaitError> {
    let NewJob { id, kind, .. } = &*record.job;
    if kind == J::KIND {
        return Ok(());
    }
    Err(WaitError::OtherKind { id: *id, kind: kind.clone(), expected: J::KIND })
}

/// The latest report.
fn read_progress<J: Job>(record: &JobRecord) -> Option<J::Progress> {
    serde_json::from_slice(&record.progress.as_ref()?.value).ok()
}

pub(crate) async fn cancel(core: &Core, id: TaskId, reason: &str) -> Result<JobState, WaitError> {
    let answer = core.store.cancel(id, reason).await;
    core.note(&answer);
    let state = answer.map_err(|error| match error {
        StoreError::Unknown(id) => WaitError::Expired(id),
        error => WaitError::Store(error),
    })?;
    if core.run_of(id) {
        core.beat_now.notify_one();
    }
    core.waiters.wake(id);
    Ok(state)
}

/// How long to trust that a wake-up comes.
fn look_again(core: &Core) -> Duration {
    if core.store.capabilities().push { Duration::from_secs(3) } else { core.config.poll }
}

/// Waits for a job that this does not object to.
pub(crate) async fn wait_for_end(
    core: &Core,
    id: TaskId,
    check: impl Fn(&JobRecord) -> Result<(), WaitError> + Send,
) -> Result<JobRecord, WaitError> {
    loop {
        let watch = core.waiters.watch(id);
        let mut changed = std::pin::pin!(watch.changed.notified());
        changed.as_mut().enable();
        let record = core.insist(|| core.store.job(id)).await?;
        let record = record.ok_or(WaitError::Expired(id))?;
        check(&record)?;
        if record.state.is_final() {
            return Ok(record);
        }
        // Who looks after that is woken no more.
        if core.stopped.is_cancelled() {
            return Err(WaitError::Closed(id));
        }
        drop(timeout(look_again(core), changed).await);
    }
}

impl<J: Job> IntoFuture for JobHandle<J> {
    type Output = Result<J::Output, JobError<J::Error>>;
    type IntoFuture = Pin<Box<dyn Future<Output = Self::Output> + Send>>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(async move { self.result().await })
    }
}

impl<J: Job> Clone for JobHandle<J> {
    fn clone(&self) -> Self {
        Self::new(Arc::clone(&self.core), self.id, self.duplicate)
    }
}

impl<J: Job> fmt::Debug for JobHandle<J> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("JobHandle")
            .field("kind", &J::KIND)
            .field("id", &self.id)
            .field("duplicate", &self.duplicate)
            .finish_non_exhaustive()
    }
}

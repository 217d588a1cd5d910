use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use futures_util::stream::{iter, unfold};
use futures_util::{FutureExt as _, Stream, StreamExt as _};
use serde::Serialize;
use tokio::time::Instant;

use crate::id::TaskId;
use crate::job::Job;
use crate::jobs::core::Core;
use crate::jobs::error::{EnqueueError, WaitError};
use crate::jobs::handle::{JobHandle, wait_for_end};
use crate::jobs::submit::{Submit, enqueue};
use crate::store::{BatchId, JobState, NewJob};

/// A set of jobs that are submitted together, all or none, and may wait for each other.
///
/// # Examples
/// ```
/// # use bedplate_tasks::{Job, JobContext, Jobs};
/// # use bedplate_tasks::store::MemoryStore;
/// # #[derive(serde::Serialize, serde::Deserialize)] struct Step(u32);
/// # impl Job for Step {
/// #     const KIND: &'static str = "step"; type Output = u32; type Error = String; type Progress = (); type State = ();
/// #     async fn run(self, _: JobContext<Self>) -> Result<u32, String> { Ok(self.0) }
/// # }
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let jobs = Jobs::builder(MemoryStore::default()).register::<Step>().start()?;
/// let mut batch = jobs.batch();
/// let left = batch.add(jobs.submit(Step(1)))?;
/// let right = batch.add(jobs.submit(Step(2)))?;
/// let last = batch.add(jobs.submit(Step(3)).after([left.id(), right.id()]))?;
/// let batch = batch.submit().await?;
/// assert_eq!(last.result().await?, 3);
/// assert_eq!(batch.wait().await?.completed, 3);
/// # jobs.shutdown(Default::default()).await; Ok(()) }
/// ```
#[derive(Debug)]
#[must_use = "a batch is submitted by `submit`"]
pub struct Batch {
    core: Arc<Core>,
    id: BatchId,
    jobs: Vec<NewJob>,
}

impl Batch {
    pub(crate) fn new(core: &Arc<Core>) -> Self {
        Self { core: Arc::clone(core), id: BatchId::generate(), jobs: Vec::new() }
    }

    /// Adds a job and returns the handle that it has once the batch is submitted.
    ///
    /// # Errors
    /// [`EnqueueError`] for arguments that cannot be written.
    pub fn add<J: Job>(&mut self, job: Submit<J>) -> Result<JobHandle<J>, EnqueueError> {
        let job = job.batch(self.id).prepare()?;
        let handle = JobHandle::new(Arc::clone(&self.core), job.id, false);
        self.jobs.push(job);
        Ok(handle)
    }

    /// Submits all, or none.
    ///
    /// A job that is another one's duplicate is not taken in, so that its handle expires; in the batch's own handle the
    /// other stands for it.
    ///
    /// # Errors
    /// [`EnqueueError`] for the first that cannot be.
    pub async fn submit(self) -> Result<BatchHandle, EnqueueError> {
        let Self { core, id, jobs } = self;
        let answers = enqueue(&core, jobs, true).await?;
        // Duplicates of one another are one job.
        let mut seen = HashSet::new();
        let ids = answers.iter().map(|answer| answer.id()).filter(|id| seen.insert(*id)).collect();
        Ok(BatchHandle { core, id, ids })
    }
}

/// A set of jobs that were submitted together.
#[derive(Debug, Clone)]
pub struct BatchHandle {
    core: Arc<Core>,
    id: BatchId,
    ids: Vec<TaskId>,
}

/// How far a set of jobs has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
#[non_exhaustive]
pub struct BatchProgress {
    /// How many jobs there are.
    pub total: usize,
    /// Those that completed.
    pub completed: usize,
    /// Those that failed.
    pub failed: usize,
    /// Those that were cancelled.
    pub cancelled: usize,
    /// Those that the store has forgotten.
    pub expired: usize,
}

impl BatchProgress {
    /// Returns how many have not ended.
    #[must_use]
    pub const fn left(&self) -> usize {
        self.total - self.completed - self.failed - self.cancelled - self.expired
    }

    const fn add(&mut self, state: Option<JobState>) {
        match state {
            Some(JobState::Completed) => self.completed += 1,
            Some(JobState::Failed) => self.failed += 1,
            Some(JobState::Cancelled) => self.cancelled += 1,
            None => self.expired += 1,
            Some(JobState::Pending | JobState::Running) => {}
        }
    }
}

/// How many jobs of a set are looked at at a time.
const TOGETHER: usize = 64;

/// How often a set's progress is looked at while it changes.
const LOOK: Duration = Duration::from_millis(100);

impl BatchHandle {
    /// Returns the set's name, by which its jobs are found.
    #[must_use]
    pub const fn id(&self) -> BatchId {
        self.id
    }

    /// Returns the jobs' ids, in the order in which they were added; duplicates of one another stand there once.
    #[must_use]
    pub fn jobs(&self) -> &[TaskId] {
        &self.ids
    }

    /// Waits until all have ended, and returns how.
    ///
    /// # Errors
    /// [`WaitError::Closed`] if the runtime is shut down before, [`WaitError::Store`] if the store fails for good.
    ///
    /// # Cancel safety
    /// Dropping the future loses nothing.
    pub async fn wait(&self) -> Result<BatchProgress, WaitError> {
        let mut progress = BatchProgress { total: self.ids.len(), ..BatchProgress::default() };
        for id in &self.ids {
            match wait_for_end(&self.core, *id, |_| Ok(())).await {
                Ok(record) => progress.add(Some(record.state)),
                Err(WaitError::Expired(_)) => progress.add(None),
                Err(error) => return Err(error),
            }
        }
        Ok(progress)
    }

    /// Streams how far the set has come whenever that changes, at most ten times a second, and for large sets less often;
    /// ends when all have ended, the runtime is shut down, or the store fails for good.
    pub fn progress(&self) -> impl Stream<Item = BatchProgress> + Send + Unpin + use<> {
        let progress = BatchProgress { total: self.ids.len(), ..BatchProgress::default() };
        let begin = (Arc::clone(&self.core), self.ids.clone(), progress, None);
        Box::pin(unfold(begin, |(core, mut unfinished, mut progress, mut told)| async move {
            loop {
                let began = Instant::now();
                let mut left = Vec::new();
                {
                    let core = &core;
                    let look = |id| core.insist(move || core.store.job(id)).map(move |answer| (id, answer));
                    let mut answers = iter(unfinished.iter().copied().map(look)).buffered(TOGETHER);
                    while let Some((id, answer)) = answers.next().await {
                        let state = answer.ok()?.map(|record| record.state);
                        if state.is_none_or(JobState::is_final) {
                            progress.add(state);
                        } else {
                            left.push(id);
                        }
                    }
                }
                unfinished = left;
                // Looking at many takes long, and is not to keep the store busy.
                let pause = LOOK.max(began.elapsed() * 4);
                if told != Some(progress) {
                    told = Some(progress);
                    return Some((progress, (core, unfinished, progress, told)));
                }
                if unfinished.is_empty() {
                    return None;
                }
                if core.stopped.is_cancelled() {
                    return None;
                }
                core.pause(pause).await;
            }
        }))
    }

    /// Cancels all that have not ended; returns how many those were.
    ///
    /// # Errors
    /// [`WaitError::Store`] if the store fails.
    pub async fn cancel(&self, reason: &str) -> Result<usize, WaitError> {
        let mut cancelled = 0;
        for id in &self.ids {
            let before = self.core.store.job(*id).await?.map(|record| record.state);
            if before.is_some_and(|state| !state.is_final()) {
                crate::jobs::handle::cancel(&self.core, *id, reason).await?;
                cancelled += 1;
            }
        }
        Ok(cancelled)
    }
}

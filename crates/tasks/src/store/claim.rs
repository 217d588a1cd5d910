use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, timeout_at};
use tokio_util::sync::CancellationToken;

use crate::id::TaskId;
use crate::store::control::WorkerInfo;
use crate::store::limits::Rate;
use crate::store::new_job::NewJob;
use crate::store::record::{Failure, JobProgress};

/// The right to work on one claimed job, fenced: once it was given to somebody else, ended or expired, whatever the old
/// holder says is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct Lease {
    /// The job.
    pub job: TaskId,
    /// The fencing token, another one for each claim of a job.
    pub fence: u64,
}

impl Lease {
    /// Makes the lease that a store gives out; only what the store knows by these is held.
    #[must_use]
    pub const fn new(job: TaskId, fence: u64) -> Self {
        Self { job, fence }
    }
}

/// What a worker takes from one queue.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct QueueClaim {
    /// The queue.
    pub queue: Cow<'static, str>,
    /// At most so many of this queue run at a time, over all processes.
    pub concurrency: Option<u32>,
    /// At most so many of this queue start per time, over all processes.
    pub rate: Option<Rate>,
}

impl QueueClaim {
    /// Takes from this queue without a limit.
    #[must_use]
    pub fn new(queue: impl Into<Cow<'static, str>>) -> Self {
        Self { queue: queue.into(), concurrency: None, rate: None }
    }
}

/// What a worker asks for.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct ClaimRequest {
    /// Who asks.
    pub worker: Arc<str>,
    /// From which queues, the more urgent first where priorities are equal.
    pub queues: Vec<QueueClaim>,
    /// Which kinds it has code for; others are left to other workers.
    pub kinds: Vec<Cow<'static, str>>,
    /// At most this many jobs; no more than the worker has free hands.
    pub most: usize,
    /// How long the leases hold.
    pub term: Duration,
    /// How long to wait for the first job.
    pub wait: Duration,
    /// Ends the wait early.
    stop: Option<CancellationToken>,
}

impl ClaimRequest {
    /// Asks for up to `most` jobs of the queue `default` and these kinds under leases of `term`, without waiting.
    #[must_use]
    pub fn new<K: Into<Cow<'static, str>>>(
        worker: impl Into<Arc<str>>,
        kinds: impl IntoIterator<Item = K>,
        most: usize,
        term: Duration,
    ) -> Self {
        Self {
            worker: worker.into(),
            queues: vec![QueueClaim::new("default")],
            kinds: kinds.into_iter().map(Into::into).collect(),
            most,
            term,
            wait: Duration::ZERO,
            stop: None,
        }
    }

    /// Takes from these queues instead.
    #[must_use]
    pub fn queues(mut self, queues: Vec<QueueClaim>) -> Self {
        self.queues = queues;
        self
    }

    /// Waits this long for the first job.
    #[must_use]
    pub const fn wait(mut self, wait: Duration) -> Self {
        self.wait = wait;
        self
    }

    /// Waits no longer once this is cancelled.
    #[must_use]
    pub(crate) fn stop(mut self, stop: CancellationToken) -> Self {
        self.stop = Some(stop);
        self
    }

    /// Whether an empty answer is due: whoever asked is leaving, or has waited `until` then, where `None` is for ever.
    #[must_use]
    pub fn is_over(&self, until: Option<Instant>) -> bool {
        self.stop.as_ref().is_some_and(CancellationToken::is_cancelled)
            || until.is_some_and(|until| Instant::now() >= until)
    }

    /// For a store that found no job: waits for news, but not beyond a time, and no longer than whoever asked does.
    ///
    /// # Cancel safety
    ///
    /// As safe as `news`.
    pub async fn rest(&self, until: Option<Instant>, news: impl Future<Output = ()> + Send) {
        let rest = async {
            match until {
                Some(at) => drop(timeout_at(at, news).await),
                None => news.await,
            }
        };
        match &self.stop {
            Some(stop) => drop(stop.run_until_cancelled(rest).await),
            None => rest.await,
        }
    }
}

/// A job with the right to work on it.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Claim {
    /// The job.
    pub job: Arc<NewJob>,
    /// The right.
    pub lease: Lease,
    /// The number of this attempt, from 1; those that were returned or snoozed do not count.
    pub attempt: u32,
    /// How long it waited since it was due.
    pub waited: Duration,
}

impl Claim {
    /// Describes a job that was given out.
    #[must_use]
    pub const fn new(job: Arc<NewJob>, lease: Lease, attempt: u32, waited: Duration) -> Self {
        Self { job, lease, attempt, waited }
    }
}

/// How a claim ends.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Settlement {
    /// The work is done, with this output, a JSON text.
    Completed(Vec<u8>),
    /// The attempt failed and is to be tried again after this time; if no attempt is left, the job failed.
    Retry {
        /// How it failed.
        failure: Failure,
        /// How long to wait.
        after: Duration,
    },
    /// The job failed for good.
    Failed(Failure),
    /// The job was given up, for this reason.
    Cancelled(String),
    /// The job is to be tried again after this time; the attempt does not count.
    Snoozed(Duration),
    /// The job goes back untouched, as at a shutdown; the attempt does not count.
    Returned,
}

/// A claim's end.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct End {
    /// The claim.
    pub lease: Lease,
    /// How it ends.
    pub settlement: Settlement,
}

impl End {
    /// Ends this claim so.
    #[must_use]
    pub const fn new(lease: Lease, settlement: Settlement) -> Self {
        Self { lease, settlement }
    }
}

/// What a store made of a claim's end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Settled {
    /// It was taken.
    Accepted,
    /// The lease is not held any more; nothing was changed.
    LeaseLost,
}

/// The sign of life of a worker, for all that it holds at once.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Beat {
    /// Who it is and what it does.
    pub worker: WorkerInfo,
    /// The leases to prolong.
    pub leases: Vec<Lease>,
    /// How long they hold from now.
    pub term: Duration,
    /// What the work says of how far it has come.
    pub progress: Vec<(Lease, JobProgress)>,
}

impl Beat {
    /// Gives a sign of life without leases.
    #[must_use]
    pub const fn new(worker: WorkerInfo, term: Duration) -> Self {
        Self { worker, leases: Vec::new(), term, progress: Vec::new() }
    }

    /// Prolongs these leases.
    #[must_use]
    pub fn leases(mut self, leases: Vec<Lease>) -> Self {
        self.leases = leases;
        self
    }

    /// Passes these reports on.
    #[must_use]
    pub fn progress(mut self, progress: Vec<(Lease, JobProgress)>) -> Self {
        self.progress = progress;
        self
    }
}

/// What a store says to a lease's holder.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum LeaseState {
    /// It is prolonged.
    Held,
    /// It is prolonged, and the job is to be cancelled for this reason.
    CancelRequested(String),
    /// It is not held any more: the work is to stop, whatever it says is refused.
    Lost,
}

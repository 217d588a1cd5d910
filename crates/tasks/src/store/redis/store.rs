use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use redis::Value;
use tokio::sync::broadcast;
use tokio::time::Instant;

use crate::id::TaskId;
use crate::store::capabilities::Capabilities;
use crate::store::claim::{Beat, Claim, ClaimRequest, End, LeaseState, Settled};
use crate::store::contract::JobStore;
use crate::store::error::StoreError;
use crate::store::new_job::{Enqueued, NewJob};
use crate::store::record::JobRecord;
use crate::store::redis::builder::RedisStoreBuilder;
use crate::store::redis::failure::{BadReply, NAME};
use crate::store::redis::intake::{self, Intake, args_of, is_small};
use crate::store::redis::io::Io;
use crate::store::redis::reply::{Row, bytes, list, text};
use crate::store::redis::scripts::Scripts;
use crate::store::redis::wire::{are_plain, claim_of, millis, put_end, put_job, queue_name, record_of, runs};
use crate::store::signal::Signal;
use crate::store::validate;

/// The most jobs that one script gives out, so that none holds the server up for long.
const MOST: usize = 1_000;
/// How many ends one script takes.
const ENDS: usize = 500;

/// Jobs in Redis, shared by processes and machines, in the form of BullMQ: its workers for Node and other languages can
/// take jobs that were submitted here, and its producers' jobs are taken here.
///
/// What is acknowledged is as durable as the server is: with `appendonly yes` and `appendfsync everysec` up to a second
/// may be lost when the machine fails. Redis 6.2 or later, one server or a primary with replicas; no cluster. A clone
/// is a handle to the same connections: one for commands, one that listens, and one of the engine's for pausing.
///
/// # Examples
/// ```no_run
/// use std::time::Duration;
/// use bedplate_tasks::store::{ClaimRequest, JobStore, NewJob, RedisStore};
///
/// # async fn demo() -> Result<(), Box<dyn std::error::Error>> {
/// let store = RedisStore::connect("redis://127.0.0.1:6379").await?;
/// store.enqueue(vec![NewJob::new("greet.v1", b"\"world\"".to_vec())]).await?;
/// let claims = store.claim(&ClaimRequest::new("me", ["greet.v1"], 10, Duration::from_secs(10))).await?;
/// # Ok(()) }
/// ```
#[derive(Clone)]
pub struct RedisStore {
    pub(super) inner: Arc<Inner>,
}

pub(super) struct Inner {
    pub(super) io: Io,
    intake: Intake,
    pub(super) scripts: Scripts,
    prefix: String,
    age_after: Duration,
    poll: Duration,
}

impl fmt::Debug for RedisStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedisStore").field("prefix", &self.inner.prefix).finish_non_exhaustive()
    }
}

impl RedisStore {
    /// Connects to `redis://[user:password@]host[:port][/db]` with the default settings.
    ///
    /// # Errors
    /// As [`RedisStoreBuilder::connect`].
    ///
    /// # Cancel safety
    /// Nothing stays open.
    pub async fn connect(url: impl Into<String> + Send) -> Result<Self, StoreError> {
        Self::builder(url).connect().await
    }

    /// Begins with the default settings.
    pub fn builder(url: impl Into<String>) -> RedisStoreBuilder {
        RedisStoreBuilder::new(url)
    }

    pub(super) fn over(io: Io, settings: &RedisStoreBuilder) -> Self {
        let scripts = Scripts::new();
        let (intake, inbox) = Intake::new();
        io.background(intake::run(Arc::clone(io.shared()), Arc::clone(&scripts.intake), inbox));
        let inner = Inner {
            io,
            intake,
            scripts,
            prefix: settings.prefix.clone(),
            age_after: settings.age_after,
            poll: settings.poll,
        };
        Self { inner: Arc::new(inner) }
    }

    /// Takes in jobs by the short way.
    async fn enqueue_plain(&self, jobs: Vec<NewJob>) -> Result<Vec<Enqueued>, StoreError> {
        let ids: Vec<TaskId> = jobs.iter().map(|job| job.id).collect();
        let runs = runs(jobs, self.inner.age_after)?;
        let answer = if is_small(&runs) {
            self.inner.intake.take_in(runs).await?
        } else {
            bytes(self.inner.io.run(&self.inner.scripts.intake, args_of(runs)).await?)
        };
        if answer.len() != ids.len() {
            return Err(BadReply("not an answer per job").into());
        }
        let told = |(id, what): (TaskId, u8)| if what == b'n' { Enqueued::New(id) } else { Enqueued::Duplicate(id) };
        Ok(ids.into_iter().zip(answer).map(told).collect())
    }

    /// Claims once; also says when there may be something more.
    async fn claim_now(&self, args: Vec<Vec<u8>>) -> Result<(Vec<Claim>, Option<Duration>), StoreError> {
        let mut row = Row::new(self.inner.io.run(&self.inner.scripts.claim, args).await?)?;
        let next = row.parse::<u64>().map(Duration::from_millis);
        let claims = row.rest().map(claim_of).collect::<Result<_, BadReply>>()?;
        Ok((claims, next))
    }
}

fn claim_args(request: &ClaimRequest, waits: bool) -> Vec<Vec<u8>> {
    let mut args = vec![
        request.worker.as_bytes().to_vec(),
        request.most.min(MOST).to_string().into_bytes(),
        millis(request.term).to_string().into_bytes(),
        if waits { b"1".to_vec() } else { b"0".to_vec() },
        request.queues.len().to_string().into_bytes(),
    ];
    let optional = |number: Option<u64>| number.map(|number| number.to_string().into_bytes()).unwrap_or_default();
    for queue in &request.queues {
        args.extend([
            queue_name(&queue.queue).as_bytes().to_vec(),
            optional(queue.concurrency.map(u64::from)),
            optional(queue.rate.map(|rate| rate.starts.into())),
            optional(queue.rate.map(|rate| millis(rate.per))),
        ]);
    }
    args.extend(request.kinds.iter().map(|kind| kind.as_bytes().to_vec()));
    args
}

fn answer_of(value: Value) -> Result<Enqueued, StoreError> {
    let answer = text(value);
    let (what, id) = answer.split_at_checked(1).ok_or(BadReply("no answer"))?;
    let id: TaskId = id.parse().map_err(|_| BadReply("no id"))?;
    match what {
        "n" => Ok(Enqueued::New(id)),
        "d" => Ok(Enqueued::Duplicate(id)),
        _ => Err(StoreError::invalid("depends_on", id, "jobs that the store knows")),
    }
}

#[async_trait]
impl JobStore for RedisStore {
    fn capabilities(&self) -> Capabilities {
        Capabilities { durable: true, shared: true, ..Capabilities::in_process(NAME) }
    }

    fn signals(&self) -> broadcast::Receiver<Signal> {
        self.inner.io.shared().signals.subscribe()
    }

    async fn enqueue(&self, jobs: Vec<NewJob>) -> Result<Vec<Enqueued>, StoreError> {
        validate::jobs(&jobs)?;
        if jobs.is_empty() {
            return Ok(Vec::new());
        }
        if are_plain(&jobs) {
            return self.enqueue_plain(jobs).await;
        }
        let mut args = Vec::with_capacity(jobs.len().saturating_mul(22));
        for job in jobs {
            put_job(&mut args, job, self.inner.age_after)?;
        }
        let reply = self.inner.io.run(&self.inner.scripts.enqueue, args).await?;
        list(reply)?.into_iter().map(answer_of).collect()
    }

    async fn claim(&self, request: &ClaimRequest) -> Result<Vec<Claim>, StoreError> {
        validate::claim(request)?;
        if request.most == 0 {
            return Ok(Vec::new());
        }
        let until = Instant::now().checked_add(request.wait);
        loop {
            let arrived = self.inner.io.shared().arrived.notified();
            let mut arrived = std::pin::pin!(arrived);
            arrived.as_mut().enable();
            let (claims, next) = self.claim_now(claim_args(request, !request.wait.is_zero())).await?;
            // There is more to move out of the way.
            if claims.is_empty() && next.is_some_and(|next| next.is_zero()) && !request.is_over(None) {
                continue;
            }
            if !claims.is_empty() || request.is_over(until) {
                return Ok(claims);
            }
            let look = next.map_or(self.inner.poll, |next| next.max(Duration::from_millis(1)).min(self.inner.poll));
            // The end of the wait, a job that is due, and the engine's own producers are all reasons to look again.
            request.rest([Instant::now().checked_add(look), until].into_iter().flatten().min(), arrived).await;
        }
    }

    async fn beat(&self, beat: &Beat) -> Result<Vec<LeaseState>, StoreError> {
        let info = serde_json::to_vec(&beat.worker)
            .map_err(|error| StoreError::invalid("worker", error, "fields that are text"))?;
        let number = |number: u64| number.to_string().into_bytes();
        let mut args = vec![
            beat.worker.id.as_bytes().to_vec(),
            info,
            number(millis(beat.term.saturating_mul(3))),
            number(millis(beat.term)),
            beat.leases.len().to_string().into_bytes(),
        ];
        for lease in &beat.leases {
            args.extend([lease.job.to_string().into_bytes(), number(lease.fence)]);
        }
        for (lease, progress) in &beat.progress {
            let report = serde_json::to_vec(progress)
                .map_err(|error| StoreError::invalid("progress", error, "fields that are text"))?;
            args.extend([lease.job.to_string().into_bytes(), number(lease.fence), number(progress.number), report]);
            args.push(progress.value.clone());
        }
        let reply = self.inner.io.run(&self.inner.scripts.beat, args).await?;
        let state = |value: Value| {
            let answer = text(value);
            match answer.split_at_checked(1) {
                Some(("h", _)) => Ok(LeaseState::Held),
                Some(("c", reason)) => Ok(LeaseState::CancelRequested(reason.to_owned())),
                Some(("l", _)) => Ok(LeaseState::Lost),
                _ => Err(StoreError::from(BadReply("no lease state"))),
            }
        };
        list(reply)?.into_iter().map(state).collect()
    }

    async fn settle(&self, ends: &[End]) -> Result<Vec<Settled>, StoreError> {
        let mut answers = Vec::with_capacity(ends.len());
        for ends in ends.chunks(ENDS) {
            let mut args = Vec::with_capacity(ends.len().saturating_mul(6));
            for end in ends {
                put_end(&mut args, end);
            }
            let reply = self.inner.io.run(&self.inner.scripts.settle, args).await?;
            let taken = |value: Value| if bytes(value) == b"1" { Settled::Accepted } else { Settled::LeaseLost };
            answers.extend(list(reply)?.into_iter().map(taken));
        }
        Ok(answers)
    }

    async fn job(&self, id: TaskId) -> Result<Option<JobRecord>, StoreError> {
        let reply = self.inner.io.run(&self.inner.scripts.read, vec![id.to_string().into_bytes()]).await?;
        let mut row = Row::new(reply)?;
        Ok(record_of(row.value())?)
    }
}

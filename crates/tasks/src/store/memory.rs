use std::collections::hash_map::Entry;
use std::collections::{HashMap, VecDeque};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio::time::timeout_at;

use crate::id::TaskId;
use crate::store::job::{Claim, ClaimRequest, JobRecord, JobState, JobStore, NewJob, Settlement, StoreError};
use crate::store::lease::{Lease, Leases};
use crate::store::ready::{ReadyQueue, Ticket};

/// Jobs in memory: nothing needs to be installed, nothing outlives the process.
///
/// As many ended jobs are remembered as may wait; the oldest are forgotten first.
#[derive(Debug)]
pub struct MemoryStore {
    inner: Mutex<Inner>,
    capacity: usize,
    arrived: Notify,
}

#[derive(Debug)]
struct Inner {
    ready: ReadyQueue<TaskId>,
    leases: Leases<TaskId>,
    jobs: HashMap<TaskId, Kept>,
    ended: VecDeque<TaskId>,
}

#[derive(Debug)]
struct Kept {
    record: JobRecord,
    place: Place,
}

#[derive(Debug)]
enum Place {
    Waiting(Ticket),
    Held(Lease),
    Ended,
}

impl MemoryStore {
    /// Creates an empty store in which `capacity` jobs may wait, and a wait of `age_after` raises a job by one
    /// priority; zero means never.
    #[must_use]
    pub fn new(capacity: usize, age_after: Duration) -> Self {
        Self {
            inner: Mutex::new(Inner {
                ready: ReadyQueue::new(age_after),
                leases: Leases::new(),
                jobs: HashMap::new(),
                ended: VecDeque::new(),
            }),
            capacity,
            arrived: Notify::new(),
        }
    }

    /// Takes what is there, and tells when the next lease is over.
    fn claim_now(&self, request: ClaimRequest, now: Instant) -> (Vec<Claim>, Option<Instant>) {
        let mut inner = self.inner.lock();
        inner.rescue(now, self.capacity);
        let mut claims = Vec::new();
        while claims.len() < request.most
            && let Some((id, _)) = inner.ready.pop(now)
        {
            let lease = inner.leases.grant(now, Some(request.term), id);
            if let Some(kept) = inner.jobs.get_mut(&id) {
                kept.place = Place::Held(lease);
                kept.record.state = JobState::Running;
                kept.record.attempts += 1;
                claims.push(Claim { job: kept.record.job.clone(), lease, attempt: kept.record.attempts });
            }
        }
        if !inner.ready.is_empty() {
            self.arrived.notify_one();
        }
        (claims, inner.leases.next_expiry())
    }
}

impl Inner {
    /// Gives jobs whose lease is over to others; one without attempts left failed.
    fn rescue(&mut self, now: Instant, keep: usize) {
        for id in self.leases.expire(now) {
            self.retry(now, id, "lease expired".to_owned(), keep);
        }
    }

    fn retry(&mut self, now: Instant, id: TaskId, error: String, keep: usize) {
        let Some(kept) = self.jobs.get_mut(&id) else {
            return;
        };
        kept.record.error = Some(error);
        if kept.record.attempts >= kept.record.job.max_attempts.max(1) {
            self.end(id, JobState::Failed, keep);
        } else {
            self.requeue(now, id);
        }
    }

    fn requeue(&mut self, now: Instant, id: TaskId) {
        if let Some(kept) = self.jobs.get_mut(&id) {
            kept.record.state = JobState::Pending;
            let ticket = self.ready.push(now, kept.record.job.priority, id);
            kept.place = Place::Waiting(ticket);
        }
    }

    fn end(&mut self, id: TaskId, state: JobState, keep: usize) {
        if let Some(kept) = self.jobs.get_mut(&id) {
            kept.record.state = state;
            kept.place = Place::Ended;
            self.ended.push_back(id);
        }
        while self.ended.len() > keep.max(1)
            && let Some(oldest) = self.ended.pop_front()
        {
            self.jobs.remove(&oldest);
        }
    }
}

#[async_trait]
impl JobStore for MemoryStore {
    async fn enqueue(&self, job: NewJob) -> Result<TaskId, StoreError> {
        let id = job.id;
        {
            let mut inner = self.inner.lock();
            let Inner { ready, jobs, .. } = &mut *inner;
            let Entry::Vacant(free) = jobs.entry(id) else {
                return Ok(id);
            };
            if ready.len() >= self.capacity {
                return Err(StoreError::Full);
            }
            let ticket = ready.push(now(), job.priority, id);
            free.insert(Kept {
                record: JobRecord { job, state: JobState::Pending, attempts: 0, output: None, error: None },
                place: Place::Waiting(ticket),
            });
        }
        self.arrived.notify_one();
        Ok(id)
    }

    async fn claim(&self, request: ClaimRequest) -> Result<Vec<Claim>, StoreError> {
        let until = now().checked_add(request.wait);
        loop {
            let arrived = self.arrived.notified();
            let (claims, next_expiry) = self.claim_now(request, now());
            let over = until.is_some_and(|until| now() >= until);
            if !claims.is_empty() || over {
                return Ok(claims);
            }
            match [until, next_expiry].into_iter().flatten().min() {
                // The end of the wait and the end of a lease are both reasons to look again.
                Some(at) => drop(timeout_at(at.into(), arrived).await),
                None => arrived.await,
            }
        }
    }

    async fn extend(&self, lease: Lease, term: Duration) -> Result<(), StoreError> {
        let mut inner = self.inner.lock();
        let now = now();
        inner.rescue(now, self.capacity);
        if inner.leases.extend(lease, now, term) { Ok(()) } else { Err(StoreError::LeaseLost) }
    }

    async fn settle(&self, lease: Lease, settlement: Settlement) -> Result<(), StoreError> {
        {
            let mut inner = self.inner.lock();
            let now = now();
            inner.rescue(now, self.capacity);
            let id = inner.leases.end(lease).ok_or(StoreError::LeaseLost)?;
            match settlement {
                Settlement::Completed(output) => {
                    if let Some(kept) = inner.jobs.get_mut(&id) {
                        kept.record.output = Some(output);
                    }
                    inner.end(id, JobState::Completed, self.capacity);
                }
                Settlement::Failed(error) => {
                    if let Some(kept) = inner.jobs.get_mut(&id) {
                        kept.record.error = Some(error);
                    }
                    inner.end(id, JobState::Failed, self.capacity);
                }
                Settlement::Retry(error) => inner.retry(now, id, error, self.capacity),
                Settlement::Returned => {
                    if let Some(kept) = inner.jobs.get_mut(&id) {
                        kept.record.attempts = kept.record.attempts.saturating_sub(1);
                    }
                    inner.requeue(now, id);
                }
            }
        }
        self.arrived.notify_one();
        Ok(())
    }

    async fn cancel(&self, id: TaskId) -> Result<JobState, StoreError> {
        let mut inner = self.inner.lock();
        inner.rescue(now(), self.capacity);
        let kept = inner.jobs.get(&id).ok_or(StoreError::Unknown(id))?;
        match kept.place {
            Place::Ended => return Ok(kept.record.state),
            Place::Waiting(ticket) => drop(inner.ready.remove(ticket)),
            Place::Held(lease) => drop(inner.leases.end(lease)),
        }
        inner.end(id, JobState::Cancelled, self.capacity);
        Ok(JobState::Cancelled)
    }

    async fn job(&self, id: TaskId) -> Result<Option<JobRecord>, StoreError> {
        let mut inner = self.inner.lock();
        inner.rescue(now(), self.capacity);
        Ok(inner.jobs.get(&id).map(|kept| kept.record.clone()))
    }
}

fn now() -> Instant {
    tokio::time::Instant::now().into_std()
}

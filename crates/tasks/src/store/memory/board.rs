//! The state of the store in memory and its transitions; pure, so that time is an argument.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use crate::id::TaskId;
use crate::store::claim::{Claim, ClaimRequest, Lease, LeaseState, QueueClaim, Settled, Settlement};
use crate::store::control::{Maintained, WorkerInfo};
use crate::store::error::StoreError;
use crate::store::limits::UniqueScope;
use crate::store::memory::entry::{Age, Entry, Place, Rank};
use crate::store::memory::limiter::{Limiter, Refusal};
use crate::store::new_job::{Enqueued, NewJob, OnDependencyFailure, Start};
use crate::store::record::{Failure, FailureKind, JobProgress, JobState};

/// Those of one queue and kind that may begin, in order.
pub(super) type Lane = BTreeMap<Rank, TaskId>;
/// By key, then by queue and kind: each of these may go to another worker.
pub(super) type Held = HashMap<String, HashMap<HeldLane, Lane>>;

/// A queue, a kind, and whether they wait for a window or only for a place: neither may stand behind the other.
type HeldLane = (Cow<'static, str>, Cow<'static, str>, bool);

#[derive(Debug)]
pub(super) struct Board {
    pub(super) jobs: HashMap<TaskId, Entry>,
    pub(super) lanes: HashMap<Cow<'static, str>, HashMap<Cow<'static, str>, Lane>>,
    pub(super) scheduled: BTreeSet<(Age, TaskId)>,
    pub(super) held: Held,
    /// When keys may start more, of which some are held.
    opens: BTreeSet<(Age, String)>,
    /// What was taken from dead workers since anybody was told.
    pub(super) swept: Maintained,
    pub(super) leases: BTreeSet<(Age, TaskId)>,
    pub(super) ended: BTreeSet<(Age, TaskId)>,
    pub(super) uniques: HashMap<String, TaskId>,
    pub(super) queues: Limiter,
    pub(super) keys: Limiter,
    pub(super) paused: HashSet<String>,
    pub(super) workers: HashMap<Arc<str>, (WorkerInfo, Age)>,
    /// What ended since it was last taken, for the signals.
    pub(super) news: Vec<TaskId>,
    pub(super) next: u64,
    pub(super) waiting: usize,
    pub(super) capacity: usize,
    pub(super) remember: usize,
    pub(super) age_after: Duration,
    pub(super) epoch: SystemTime,
}

impl Board {
    pub(super) fn new(capacity: usize, remember: usize, age_after: Duration, epoch: SystemTime) -> Self {
        Self {
            jobs: HashMap::new(),
            lanes: HashMap::new(),
            scheduled: BTreeSet::new(),
            held: HashMap::new(),
            opens: BTreeSet::new(),
            swept: Maintained::default(),
            leases: BTreeSet::new(),
            ended: BTreeSet::new(),
            uniques: HashMap::new(),
            queues: Limiter::default(),
            keys: Limiter::default(),
            paused: HashSet::new(),
            workers: HashMap::new(),
            news: Vec::new(),
            next: 0,
            waiting: 0,
            capacity,
            remember,
            age_after,
            epoch,
        }
    }

    pub(super) fn enqueue(&mut self, now: Age, jobs: Vec<NewJob>) -> Result<Vec<Enqueued>, StoreError> {
        let mut new: HashSet<TaskId> = HashSet::new();
        let mut keys: HashMap<&str, TaskId> = HashMap::new();
        // For which jobs of this call others stand.
        let mut twins: HashMap<TaskId, TaskId> = HashMap::new();
        let mut answers = Vec::with_capacity(jobs.len());
        // All or none: what each becomes is decided before the first is taken in.
        for job in &jobs {
            let known = (self.jobs.contains_key(&job.id) || new.contains(&job.id)).then_some(job.id);
            let twin = || self.twin(now, job).or_else(|| keys.get(job.unique.as_ref()?.key.as_str()).copied());
            if let Some(id) = known.or_else(twin) {
                twins.insert(job.id, id);
                answers.push(Enqueued::Duplicate(id));
                continue;
            }
            let known = |id: &TaskId| self.jobs.contains_key(id) || new.contains(id) || twins.contains_key(id);
            if let Some(missing) = job.depends_on.iter().find(|id| !known(id)) {
                return Err(StoreError::invalid("depends_on", missing, "jobs that the store knows"));
            }
            new.insert(job.id);
            if let Some(unique) = &job.unique {
                keys.insert(&unique.key, job.id);
            }
            answers.push(Enqueued::New(job.id));
        }
        if self.waiting.saturating_add(new.len()) > self.capacity {
            return Err(StoreError::Full { capacity: self.capacity });
        }
        for (job, answer) in jobs.into_iter().zip(&answers) {
            if let Enqueued::New(_) = answer {
                self.insert(now, job, &twins);
            }
        }
        Ok(answers)
    }

    /// The job that makes this one a duplicate by its unique key.
    pub(super) fn twin(&self, now: Age, job: &NewJob) -> Option<TaskId> {
        let unique = job.unique.as_ref()?;
        let id = *self.uniques.get(&unique.key)?;
        let first = self.jobs.get(&id)?;
        let in_window = unique.within.is_none_or(|window| now.saturating_sub(first.enqueued) < window);
        let in_scope = match unique.scope {
            UniqueScope::Pending => first.state == JobState::Pending,
            UniqueScope::Unfinished => !first.state.is_final(),
            UniqueScope::NotFailed => !matches!(first.state, JobState::Failed | JobState::Cancelled),
            UniqueScope::Any => true,
        };
        (in_window && in_scope).then_some(id)
    }

    fn insert(&mut self, now: Age, job: NewJob, twins: &HashMap<TaskId, TaskId>) {
        let id = job.id;
        let due = match job.start {
            Start::Now => now,
            Start::In(delay) => now.saturating_add(delay),
            Start::At(time) => time.duration_since(self.epoch).unwrap_or_default().max(now),
        };
        let deadline = job.deadline.map(|time| time.duration_since(self.epoch).unwrap_or_default());
        if let Some(unique) = &job.unique {
            self.uniques.insert(unique.key.clone(), id);
        }
        self.next += 1;
        let mut entry = Entry::new(Arc::new(job), self.next, now, due, deadline);
        let mut doomed = false;
        let mut seen = HashSet::new();
        for other in &entry.job.depends_on {
            let other = twins.get(other).unwrap_or(other);
            if !twins.is_empty() && !seen.insert(*other) {
                continue;
            }
            let Some(other) = self.jobs.get_mut(other) else { continue };
            if !other.state.is_final() {
                entry.waiting_for += 1;
                other.dependents.push(id);
            } else if other.state != JobState::Completed {
                doomed |= entry.job.on_dependency_failure == OnDependencyFailure::Cancel;
            }
        }
        let waits = entry.waiting_for > 0;
        self.jobs.insert(id, entry);
        self.waiting += 1;
        if doomed {
            self.cancel_all(now, vec![id], DEPENDENCY);
        } else if !waits {
            self.schedule(now, id, due);
        }
    }

    /// Lets a job begin at `due`.
    fn schedule(&mut self, now: Age, id: TaskId, due: Age) {
        let Some(entry) = self.jobs.get_mut(&id) else { return };
        entry.due = due;
        if due > now {
            entry.place = Place::Scheduled(due);
            self.scheduled.insert((due, id));
        } else {
            self.make_ready(id);
        }
    }

    fn make_ready(&mut self, id: TaskId) {
        let Some(entry) = self.jobs.get_mut(&id) else { return };
        let rank = Rank::new(entry.due, entry.job.priority, self.age_after, entry.number);
        entry.place = Place::Ready(rank);
        let (queue, kind) = (&entry.job.queue, &entry.job.kind);
        if let Some(lane) = self.lanes.get_mut(queue).and_then(|kinds| kinds.get_mut(kind)) {
            lane.insert(rank, id);
        } else {
            let kinds = self.lanes.entry(queue.clone()).or_default();
            kinds.entry(kind.clone()).or_default().insert(rank, id);
        }
    }

    /// Moves what is due among those that may begin.
    pub(super) fn promote(&mut self, now: Age) {
        while let Some(&(due, id)) = self.scheduled.first()
            && due <= now
        {
            self.scheduled.pop_first();
            self.make_ready(id);
        }
        while self.opens.first().is_some_and(|(opens, _)| *opens <= now)
            && let Some((_, key)) = self.opens.pop_first()
        {
            self.let_next(&key);
        }
    }

    pub(super) fn claim(&mut self, now: Age, request: &ClaimRequest) -> Vec<Claim> {
        self.rescue(now);
        self.promote(now);
        let mut claims = Vec::new();
        // Queues that have reached a limit give nothing more to this request.
        let mut shut: Vec<&str> = Vec::new();
        while claims.len() < request.most
            && let Some((rank, id, queue)) = self.first(request, &shut)
        {
            let Some(entry) = self.jobs.get(&id) else { break };
            if self.queues.check(now, &queue.queue, queue.concurrency, queue.rate).is_err() {
                shut.push(&queue.queue);
                continue;
            }
            let job = Arc::clone(&entry.job);
            if entry.is_overdue(now) {
                self.unplace(id);
                self.finish(now, id, JobState::Failed, |entry| entry.failure = Some(overdue()));
                continue;
            }
            if let Some(limit) = &job.limit
                && let Err(refusal) = self.keys.check(now, &limit.key, limit.concurrency, limit.rate)
            {
                self.unplace(id);
                self.hold(id, rank, &limit.key, refusal);
                continue;
            }
            self.unplace(id);
            self.queues.start(now, &job.queue, queue.rate);
            if let Some(limit) = &job.limit {
                self.keys.start(now, &limit.key, limit.rate);
                // What has the last place lets the next one try at its end.
                if self.keys.check(now, &limit.key, limit.concurrency, None).is_ok() {
                    self.let_next(&limit.key);
                }
            }
            claims.extend(self.give_out(now, id, request));
        }
        claims
    }

    /// The next job for this request: of the heads of its lanes the one that is first.
    fn first<'r>(&self, request: &'r ClaimRequest, shut: &[&str]) -> Option<(Rank, TaskId, &'r QueueClaim)> {
        let mut best: Option<(Rank, TaskId, &QueueClaim)> = None;
        for queue in &request.queues {
            if shut.contains(&&*queue.queue) || self.paused.contains(&*queue.queue) {
                continue;
            }
            let Some(kinds) = self.lanes.get(&queue.queue) else { continue };
            for kind in &request.kinds {
                if let Some((rank, id)) = kinds.get(kind).and_then(Lane::first_key_value)
                    && best.is_none_or(|(first, ..)| *rank < first)
                {
                    best = Some((*rank, *id, queue));
                }
            }
        }
        best
    }

    fn hold(&mut self, id: TaskId, rank: Rank, key: &str, refusal: Refusal) {
        let Some(entry) = self.jobs.get_mut(&id) else { return };
        entry.place = Place::Held(rank);
        let has_rate = entry.job.limit.as_ref().is_some_and(|limit| limit.rate.is_some());
        let lane = (entry.job.queue.clone(), entry.job.kind.clone(), has_rate);
        self.held.entry(key.to_owned()).or_default().entry(lane).or_default().insert(rank, id);
        if let Refusal::Until(time) = refusal {
            self.opens.insert((time, key.to_owned()));
        }
    }

    /// Lets the next ones of a key try to begin.
    fn let_next(&mut self, key: &str) {
        for next in release(&mut self.held, key) {
            self.make_ready(next);
        }
    }

    fn give_out(&mut self, now: Age, id: TaskId, request: &ClaimRequest) -> Option<Claim> {
        let entry = self.jobs.get_mut(&id)?;
        self.next += 1;
        let (fence, until) = (self.next, now.saturating_add(request.term));
        entry.place = Place::Running { fence, until };
        entry.state = JobState::Running;
        entry.attempts += 1;
        entry.worker = Some(Arc::clone(&request.worker));
        entry.started = Some(now);
        entry.progress = None;
        self.waiting -= 1;
        self.leases.insert((until, id));
        let waited = now.saturating_sub(entry.due);
        Some(Claim::new(Arc::clone(&entry.job), Lease::new(id, fence), entry.attempts, waited))
    }

    /// When there may be something to claim without anybody calling.
    pub(super) fn next_due(&self, now: Age, request: &ClaimRequest) -> Option<Age> {
        let heads = [self.scheduled.first(), self.leases.first()].into_iter().flatten().map(|(at, _)| *at);
        let heads = heads.chain(self.opens.first().map(|(at, _)| *at));
        let window = |queue: &QueueClaim| match self.queues.check(now, &queue.queue, None, queue.rate) {
            Err(Refusal::Until(end)) => Some(end),
            _ => None,
        };
        heads.chain(request.queues.iter().filter_map(window)).min()
    }

    /// Takes a job out of where it waits or runs.
    pub(super) fn unplace(&mut self, id: TaskId) {
        let Some(entry) = self.jobs.get(&id) else { return };
        match &entry.place {
            Place::Ready(rank) => {
                if let Some(kinds) = self.lanes.get_mut(&entry.job.queue)
                    && let Some(lane) = kinds.get_mut(&entry.job.kind)
                {
                    lane.remove(rank);
                }
            }
            Place::Scheduled(due) => {
                self.scheduled.remove(&(*due, id));
            }
            Place::Held(rank) => {
                if let Some(limit) = &entry.job.limit
                    && let Some(lanes) = self.held.get_mut(&limit.key)
                {
                    lanes.retain(|_, lane| {
                        lane.remove(rank);
                        !lane.is_empty()
                    });
                }
            }
            Place::Running { until, .. } => {
                self.leases.remove(&(*until, id));
                self.queues.end(&entry.job.queue);
                if let Some(limit) = &entry.job.limit {
                    self.keys.end(&limit.key);
                    let key = limit.key.clone();
                    self.let_next(&key);
                }
            }
            Place::Ended(expires) => {
                self.ended.remove(&(*expires, id));
            }
            Place::Dependent => {}
        }
    }

    fn holds(&self, lease: Lease) -> Option<&Entry> {
        let entry = self.jobs.get(&lease.job)?;
        matches!(entry.place, Place::Running { fence, .. } if fence == lease.fence).then_some(entry)
    }

    pub(super) fn extend(&mut self, now: Age, lease: Lease, term: Duration) -> LeaseState {
        self.rescue(now);
        if self.holds(lease).is_none() {
            return LeaseState::Lost;
        }
        let Some(entry) = self.jobs.get_mut(&lease.job) else { return LeaseState::Lost };
        if let Place::Running { until, .. } = &mut entry.place {
            self.leases.remove(&(*until, lease.job));
            *until = now.saturating_add(term);
            self.leases.insert((*until, lease.job));
        }
        entry.cancel.clone().map_or(LeaseState::Held, LeaseState::CancelRequested)
    }

    /// Takes a report; false if it changes nothing.
    pub(super) fn report(&mut self, lease: Lease, progress: &JobProgress) -> bool {
        if self.holds(lease).is_none() {
            return false;
        }
        let Some(entry) = self.jobs.get_mut(&lease.job) else { return false };
        let newer = entry.progress.as_ref().is_none_or(|known| known.number < progress.number);
        if newer {
            entry.progress = Some(progress.clone());
        }
        newer
    }

    pub(super) fn settle(&mut self, now: Age, lease: Lease, settlement: Settlement) -> Settled {
        self.rescue(now);
        let Some(entry) = self.holds(lease) else { return Settled::LeaseLost };
        let id = lease.job;
        let exhausted = entry.attempts >= entry.job.max_attempts;
        let cancel = entry.cancel.clone();
        self.unplace(id);
        match (settlement, cancel) {
            (Settlement::Completed(output), _) => {
                self.finish(now, id, JobState::Completed, |entry| entry.output = Some(output));
            }
            (Settlement::Failed(failure), _) => {
                self.finish(now, id, JobState::Failed, |entry| entry.failure = Some(failure));
            }
            (Settlement::Retry { failure, .. }, None) if exhausted => {
                self.finish(now, id, JobState::Failed, |entry| entry.failure = Some(failure));
            }
            (Settlement::Cancelled(reason), asked) => {
                let reason = asked.unwrap_or(reason);
                self.finish(now, id, JobState::Cancelled, |entry| entry.cancel = Some(reason));
            }
            // Whoever wants it cancelled does not want it tried again.
            (_, Some(_)) => self.finish(now, id, JobState::Cancelled, |_| {}),
            (Settlement::Retry { failure, after }, None) => {
                self.again(now, id, now.saturating_add(after), |entry| entry.failure = Some(failure));
            }
            (Settlement::Snoozed(after), None) => {
                self.again(now, id, now.saturating_add(after), |entry| {
                    entry.attempts = entry.attempts.saturating_sub(1);
                });
            }
            (Settlement::Returned, None) => {
                let due = self.jobs.get(&id).map_or(now, |entry| entry.due);
                self.again(now, id, due, |entry| entry.attempts = entry.attempts.saturating_sub(1));
            }
        }
        Settled::Accepted
    }

    pub(super) fn again(&mut self, now: Age, id: TaskId, due: Age, change: impl FnOnce(&mut Entry)) {
        if let Some(entry) = self.jobs.get_mut(&id) {
            entry.state = JobState::Pending;
            change(entry);
            self.waiting += 1;
        }
        self.schedule(now, id, due);
    }

    /// Ends a job that has no place any more, and tells those that wait for it.
    pub(super) fn finish(&mut self, now: Age, id: TaskId, state: JobState, change: impl FnOnce(&mut Entry)) {
        let doomed = self.end(now, id, state, change);
        self.cancel_all(now, doomed, DEPENDENCY);
    }

    /// Ends one job, frees those that wait for it, and returns the ones that are to be cancelled instead.
    fn end(&mut self, now: Age, id: TaskId, state: JobState, change: impl FnOnce(&mut Entry)) -> Vec<TaskId> {
        let Some(entry) = self.jobs.get_mut(&id) else { return Vec::new() };
        if entry.state == JobState::Pending {
            self.waiting -= 1;
        }
        entry.state = state;
        entry.ended = Some(now);
        change(entry);
        // As long as its unique key matters, the job is remembered for it.
        let unique = entry.job.unique.as_ref().and_then(|unique| unique.within);
        let window = unique.map_or(now, |window| entry.enqueued.saturating_add(window));
        let expires = now.saturating_add(entry.kept_for()).max(window);
        let place = std::mem::replace(&mut entry.place, Place::Ended(expires));
        self.ended.insert((expires, id));
        self.news.push(id);
        let dependents = std::mem::take(&mut entry.dependents);
        // One that was to begin next lets the next one of its key try.
        if matches!(place, Place::Ready(_) | Place::Scheduled(_))
            && let Some(limit) = &entry.job.limit
        {
            let key = limit.key.clone();
            self.let_next(&key);
        }
        let mut doomed = Vec::new();
        for dependent in dependents {
            let Some(entry) = self.jobs.get_mut(&dependent) else { continue };
            // One that was cancelled and taken up again does not wait for anybody any more.
            if entry.place != Place::Dependent {
                continue;
            }
            if state != JobState::Completed && entry.job.on_dependency_failure == OnDependencyFailure::Cancel {
                doomed.push(dependent);
                continue;
            }
            entry.waiting_for = entry.waiting_for.saturating_sub(1);
            if entry.waiting_for == 0 {
                let due = entry.due.max(now);
                self.schedule(now, dependent, due);
            }
        }
        doomed
    }

    /// Cancels waiting jobs and all that depend on them.
    fn cancel_all(&mut self, now: Age, mut doomed: Vec<TaskId>, reason: &str) {
        while let Some(id) = doomed.pop() {
            if self.jobs.get(&id).is_none_or(|entry| entry.state != JobState::Pending) {
                continue;
            }
            self.unplace(id);
            doomed.extend(self.end(now, id, JobState::Cancelled, |entry| entry.cancel = Some(reason.to_owned())));
        }
    }

    pub(super) fn cancel(&mut self, now: Age, id: TaskId, reason: &str) -> Result<JobState, StoreError> {
        self.rescue(now);
        let entry = self.jobs.get_mut(&id).ok_or(StoreError::Unknown(id))?;
        match entry.state {
            JobState::Pending => self.cancel_all(now, vec![id], reason),
            JobState::Running if entry.cancel.is_none() => entry.cancel = Some(reason.to_owned()),
            _ => {}
        }
        Ok(self.jobs.get(&id).map_or(JobState::Cancelled, |entry| entry.state))
    }

    /// Takes back leases that are over.
    pub(super) fn rescue(&mut self, now: Age) {
        while let Some(&(until, id)) = self.leases.first()
            && until <= now
        {
            self.unplace(id);
            let Some(entry) = self.jobs.get(&id) else { continue };
            let crashed = Failure::new(FailureKind::Crashed, "the worker gave no sign of life within the lease");
            if entry.cancel.is_some() {
                self.finish(now, id, JobState::Cancelled, |_| {});
            } else if entry.attempts >= entry.job.max_attempts {
                self.swept.crashed += 1;
                self.finish(now, id, JobState::Failed, |entry| entry.failure = Some(crashed));
            } else {
                self.swept.rescued += 1;
                // It keeps its place: it was due before all that came while it lay with the dead.
                let due = entry.due;
                self.again(now, id, due, |entry| entry.failure = Some(crashed));
            }
        }
    }
}

/// Takes the first of each lane of a key, since nobody knows which of them the next worker can take.
fn release(held: &mut Held, key: &str) -> Vec<TaskId> {
    let Some(lanes) = held.get_mut(key) else { return Vec::new() };
    let released = lanes.values_mut().filter_map(Lane::pop_first).map(|(_, id)| id).collect();
    lanes.retain(|_, lane| !lane.is_empty());
    if lanes.is_empty() {
        held.remove(key);
    }
    released
}

const DEPENDENCY: &str = "a job that it depends on did not complete";

pub(super) fn overdue() -> Failure {
    Failure::new(FailureKind::DeadlineExceeded, "the deadline was over before the work began")
}

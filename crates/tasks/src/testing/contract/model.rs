use std::sync::Arc;
use std::time::Duration;

use fastrand::Rng;
use tokio::time::sleep;

use super::{MS, Subject, TERM};
use crate::id::TaskId;
use crate::queue::Priority;
use crate::store::{
    Claim, ClaimRequest, End, Failure, FailureKind, JobRecord, KeyLimit, MemoryStore, NewJob, OnDependencyFailure,
    Settlement, Start, Unique, UniqueScope,
};

const SEEDS: u64 = 8;
const STEPS: usize = 80;

/// Random sequences of calls, with the store in memory as the model: what can be seen of both stays the same.
///
/// Which of several jobs of one priority comes first is the store's own choice: the model is then asked for the same
/// one, which it must be able to give.
pub async fn random_sequences_agree_with_the_model(store: Subject) {
    for seed in 0..SEEDS {
        let model: Subject = Arc::new(MemoryStore::default());
        let mut pair = Pair {
            store: &store,
            model: &model,
            rng: Rng::with_seed(seed),
            seed,
            step: 0,
            jobs: Vec::new(),
            held: Vec::new(),
        };
        for step in 0..STEPS {
            pair.step = step;
            pair.step().await;
            // Two calls within one tick of a store's clock are of the same time to it.
            sleep(3 * MS).await;
        }
        pair.settle_everything().await;
    }
}

struct Pair<'a> {
    store: &'a Subject,
    model: &'a Subject,
    rng: Rng,
    seed: u64,
    step: usize,
    jobs: Vec<NewJob>,
    held: Vec<(Claim, Claim)>,
}

impl Pair<'_> {
    async fn step(&mut self) {
        match self.rng.u8(0..20) {
            0..7 => self.enqueue().await,
            7..12 => drop(self.claim().await),
            12..16 => self.settle().await,
            16..18 => self.cancel().await,
            18 => self.replay().await,
            _ => self.pause().await,
        }
        self.compare().await;
    }

    fn what(&self) -> String {
        format!("seed {}, step {}", self.seed, self.step)
    }

    fn any_id(&mut self) -> Option<TaskId> {
        let at = self.rng.usize(..self.jobs.len().max(1));
        self.jobs.get(at).map(|job| job.id)
    }

    async fn enqueue(&mut self) {
        let number = self.jobs.len();
        let mut job = NewJob::new(format!("model-{}-{number}", self.seed), b"{}".to_vec())
            .queue(["model-a", "model-b"][self.rng.usize(..2)])
            .max_attempts(self.rng.u32(1..4))
            .priority([Priority::Low, Priority::Normal, Priority::High][self.rng.usize(..3)]);
        if self.rng.u8(..4) == 0 {
            let scopes = [UniqueScope::Pending, UniqueScope::Unfinished, UniqueScope::NotFailed, UniqueScope::Any];
            let key = format!("model-{}-{}", self.seed, self.rng.u8(..3));
            job = job.unique(Unique::key(key).scope(scopes[self.rng.usize(..4)]));
        }
        let can = self.store.capabilities();
        if can.key_concurrency && self.rng.u8(..4) == 0 {
            job = job.limit(KeyLimit::concurrency(format!("model-{}-{}", self.seed, self.rng.u8(..2)), 2));
        }
        if can.dependencies && self.rng.u8(..3) == 0 {
            let mut on: Vec<TaskId> = (0..self.rng.usize(1..3)).filter_map(|_| self.any_id()).collect();
            on.sort_unstable();
            on.dedup();
            // A duplicate was never taken in, so that nothing can wait for it.
            let mut known = Vec::new();
            for id in on {
                if self.model.job(id).await.unwrap().is_some() {
                    known.push(id);
                }
            }
            job = job.depends_on(known);
            if self.rng.bool() {
                job = job.on_dependency_failure(OnDependencyFailure::Run);
            }
        }
        if self.rng.u8(..8) == 0 {
            job = job.start(Start::In(Duration::from_hours(1)));
        }
        let (ours, theirs) = (
            self.model.enqueue(vec![job.clone()]).await.unwrap(),
            self.store.enqueue(vec![job.clone()]).await.unwrap(),
        );
        assert_eq!(theirs, ours, "{}: enqueue of {job:?}", self.what());
        self.jobs.push(job);
    }

    fn request(&self) -> ClaimRequest {
        let queues = ["model-a", "model-b"].map(crate::store::QueueClaim::new).to_vec();
        let kinds = self.jobs.iter().map(|job| job.kind.clone());
        ClaimRequest::new("worker-1", kinds, 1, TERM).queues(queues)
    }

    /// Claims one job from both; false if there is none.
    async fn claim(&mut self) -> bool {
        let request = self.request().wait(100 * MS);
        let Some(theirs) = self.store.claim(&request).await.unwrap().pop() else {
            let ours = self.model.claim(&self.request()).await.unwrap();
            assert!(ours.is_empty(), "{}: the model has {ours:?} to give, the store nothing", self.what());
            return false;
        };
        let mut request = self.request();
        request.kinds = vec![theirs.job.kind.clone()];
        let ours = self.model.claim(&request).await.unwrap().pop();
        let Some(ours) = ours else { panic!("{}: the model would not give {theirs:?}", self.what()) };
        assert_eq!((&theirs.job.id, theirs.attempt), (&ours.job.id, ours.attempt), "{}", self.what());
        self.held.push((ours, theirs));
        true
    }

    async fn settle(&mut self) {
        if self.held.is_empty() {
            return;
        }
        let (ours, theirs) = self.held.swap_remove(self.rng.usize(..self.held.len()));
        let failure = || Failure::new(FailureKind::Error, "no");
        let settlement = match self.rng.u8(..7) {
            0 => Settlement::Retry { failure: failure(), after: Duration::ZERO },
            1 => Settlement::Retry { failure: failure(), after: Duration::from_hours(1) },
            2 => Settlement::Failed(failure()),
            3 => Settlement::Cancelled("given up".into()),
            4 => Settlement::Returned,
            5 => Settlement::Snoozed(Duration::from_hours(1)),
            _ => Settlement::Completed(b"\"done\"".to_vec()),
        };
        let expected = self.model.settle(&[End::new(ours.lease, settlement.clone())]).await.unwrap();
        let found = self.store.settle(&[End::new(theirs.lease, settlement.clone())]).await.unwrap();
        assert_eq!(found, expected, "{}: {settlement:?}", self.what());
    }

    async fn cancel(&mut self) {
        let Some(id) = self.any_id() else { return };
        let (expected, found) = (self.model.cancel(id, "not wanted").await, self.store.cancel(id, "not wanted").await);
        assert_eq!(found.ok(), expected.ok(), "{}: cancel", self.what());
    }

    async fn replay(&mut self) {
        let Some(id) = self.any_id() else { return };
        let (expected, found) = (self.model.replay(&[id]).await.unwrap(), self.store.replay(&[id]).await.unwrap());
        assert_eq!(found, expected, "{}: replay", self.what());
    }

    async fn pause(&mut self) {
        let (queue, paused) = (["model-a", "model-b"][self.rng.usize(..2)], self.rng.u8(..3) == 0);
        self.model.set_paused(queue, paused).await.unwrap();
        self.store.set_paused(queue, paused).await.unwrap();
    }

    async fn compare(&self) {
        for job in &self.jobs {
            let ours = self.model.job(job.id).await.unwrap().map(seen);
            let theirs = self.store.job(job.id).await.unwrap().map(seen);
            assert_eq!(theirs, ours, "{}: {}", self.what(), job.kind);
        }
    }

    /// Brings all that can end to an end, so that the next sequence begins with an idle store.
    async fn settle_everything(mut self) {
        for queue in ["model-a", "model-b"] {
            self.model.set_paused(queue, false).await.unwrap();
            self.store.set_paused(queue, false).await.unwrap();
        }
        loop {
            let claimed = self.claim().await;
            while let Some((ours, theirs)) = self.held.pop() {
                let done = || Settlement::Completed(b"1".to_vec());
                let expected = self.model.settle(&[End::new(ours.lease, done())]).await.unwrap();
                let found = self.store.settle(&[End::new(theirs.lease, done())]).await.unwrap();
                assert_eq!(found, expected, "{}", self.what());
            }
            if !claimed {
                break;
            }
        }
        self.compare().await;
        for job in std::mem::take(&mut self.jobs) {
            let states = (self.model.cancel(job.id, "end").await.ok(), self.store.cancel(job.id, "end").await.ok());
            assert_eq!(states.0, states.1, "{}", self.what());
        }
    }
}

/// What is the same whatever the store's clock.
fn seen(record: JobRecord) -> impl PartialEq + std::fmt::Debug {
    (
        record.state,
        record.attempts,
        record.output,
        record.failure,
        record.cancel,
        record.waiting_for,
        record.job.payload.clone(),
    )
}

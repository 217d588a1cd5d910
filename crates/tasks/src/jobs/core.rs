use std::collections::HashMap;
use std::fmt;
use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use bedplate_recovery::{Backoff, Delays, Jitter, SeededRandom};
use parking_lot::Mutex;
use tokio::sync::{Notify, Semaphore, broadcast, mpsc};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::id::TaskId;
use crate::job::{Codec, RunState};
use crate::jobs::config::JobsConfig;
use crate::jobs::event::{AttemptEnd, JobEvent};
use crate::jobs::propagate::Propagate;
use crate::jobs::stats::{Counters, count};
use crate::jobs::waiters::Waiters;
#[cfg(feature = "testing")]
use crate::jobs::worker::Hands;
use crate::store::{End, Store, StoreError, WorkerInfo};

/// What all parts of a runtime share.
pub(crate) struct Core {
    pub(crate) store: Arc<dyn Store>,
    pub(crate) codec: Arc<dyn Codec>,
    pub(crate) propagate: Option<Arc<dyn Propagate>>,
    pub(crate) config: JobsConfig,
    pub(crate) waiters: Waiters,
    pub(crate) counters: Counters,
    pub(crate) events: broadcast::Sender<JobEvent>,
    /// Who this worker is.
    pub(crate) worker: WorkerInfo,
    /// One permit for each job that can begin.
    pub(crate) slots: Arc<Semaphore>,
    pub(crate) blocking: Arc<Semaphore>,
    pub(crate) runs: Mutex<HashMap<u64, Run>>,
    next_run: AtomicU64,
    settle: mpsc::UnboundedSender<Ack>,
    /// Ends that the store has not taken yet.
    pub(crate) unsettled: AtomicU64,
    pub(crate) settled: Notify,
    /// Lets the one who gives signs of life do so at once.
    pub(crate) beat_now: Notify,
    /// Tells the same one that there is work again, if it rests.
    pub(crate) begun: Notify,
    pub(crate) beat_rests: AtomicBool,
    /// No job begins any more.
    pub(crate) stopping: CancellationToken,
    /// The loop that claims has ended, so that nothing more is given out here.
    pub(crate) fetched: CancellationToken,
    /// No call of the store is made any more.
    pub(crate) stopped: CancellationToken,
    /// The last handle was dropped without a shutdown.
    pub(crate) dropped: AtomicBool,
    /// What a test drives by itself.
    #[cfg(feature = "testing")]
    pub(crate) manual: Option<Manual>,
    up: AtomicBool,
    down_since: Mutex<Option<Instant>>,
}

/// What a runtime is made of.
pub(crate) struct Parts {
    pub(crate) store: Arc<dyn Store>,
    pub(crate) codec: Arc<dyn Codec>,
    pub(crate) propagate: Option<Arc<dyn Propagate>>,
    pub(crate) config: JobsConfig,
    pub(crate) worker: WorkerInfo,
}

/// An attempt under way.
#[derive(Debug, Clone)]
pub(crate) struct Run {
    pub(crate) state: Arc<RunState>,
    /// When its claim was asked for: from then on its lease counts.
    pub(crate) claimed: Instant,
    /// When it was first seen to have been told to stop.
    pub(crate) told: Option<Instant>,
    /// It blocks its thread for good: its lease is not prolonged any more, so that another worker gets the job.
    pub(crate) stuck: bool,
}

#[cfg(feature = "testing")]
/// A runtime without loops: a test says when jobs run.
pub(crate) struct Manual {
    /// Whether each submission runs what is due.
    pub(crate) inline: bool,
    pub(crate) hands: tokio::sync::Mutex<(Hands, mpsc::UnboundedReceiver<Ack>)>,
}

/// An attempt's end on its way to the store.
#[derive(Debug)]
pub(crate) struct Ack {
    pub(crate) run: Arc<RunState>,
    pub(crate) end: End,
    pub(crate) outcome: AttemptEnd,
    pub(crate) ran: Duration,
}

/// How many events a slow reader may lag behind.
const EVENTS: usize = 4_096;

/// More ends than these must not wait for the store: no job begins until it has taken some.
pub(crate) const MOST_UNSETTLED: u64 = 4_096;

impl Core {
    /// Puts the parts together; what is to be settled comes out of the channel.
    pub(crate) fn new(parts: Parts) -> (Self, mpsc::UnboundedReceiver<Ack>) {
        let Parts { store, codec, propagate, config, worker } = parts;
        let (settle, acks) = mpsc::unbounded_channel();
        let permits = |number: u32| Arc::new(Semaphore::new(usize::try_from(number).unwrap_or(1)));
        let core = Self {
            slots: permits(config.workers),
            blocking: permits(config.blocking_threads),
            store,
            codec,
            propagate,
            config,
            waiters: Waiters::default(),
            counters: Counters::default(),
            events: broadcast::Sender::new(EVENTS),
            worker,
            runs: Mutex::default(),
            next_run: AtomicU64::new(0),
            settle,
            unsettled: AtomicU64::new(0),
            settled: Notify::new(),
            beat_now: Notify::new(),
            begun: Notify::new(),
            beat_rests: AtomicBool::new(false),
            stopping: CancellationToken::new(),
            fetched: CancellationToken::new(),
            stopped: CancellationToken::new(),
            dropped: AtomicBool::new(false),
            #[cfg(feature = "testing")]
            manual: None,
            up: AtomicBool::new(true),
            down_since: Mutex::default(),
        };
        (core, acks)
    }

    /// Who this worker is, and how much it has under way.
    pub(crate) fn worker(&self) -> WorkerInfo {
        WorkerInfo { running: u32::try_from(self.runs.lock().len()).unwrap_or(u32::MAX), ..self.worker.clone() }
    }

    pub(crate) fn tell(&self, event: impl FnOnce() -> JobEvent) {
        if self.events.receiver_count() > 0 {
            // The last reader may just have gone.
            drop(self.events.send(event()));
        }
    }

    /// Lists an attempt among those under way.
    pub(crate) fn enter(&self, run: Run) -> u64 {
        let number = self.next_run.fetch_add(1, Ordering::Relaxed);
        let first = {
            let mut runs = self.runs.lock();
            runs.insert(number, run);
            runs.len() == 1
        };
        if first && self.beat_rests.swap(false, Ordering::Relaxed) {
            self.begun.notify_one();
        }
        number
    }

    /// Takes an attempt's end to the store, some time soon.
    pub(crate) fn leave(&self, number: u64, ack: Ack) {
        self.unsettled.fetch_add(1, Ordering::Relaxed);
        self.runs.lock().remove(&number);
        self.hand_in(ack);
    }

    /// Takes an end to the store of a claim that was never begun.
    pub(crate) fn settle_only(&self, ack: Ack) {
        self.unsettled.fetch_add(1, Ordering::Relaxed);
        self.hand_in(ack);
    }

    fn hand_in(&self, ack: Ack) {
        if self.settle.send(ack).is_err() {
            // The runtime is gone; the job comes back by its lease.
            self.unsettled.fetch_sub(1, Ordering::Relaxed);
        }
    }

    /// Gives up an attempt that was told to stop so long ago.
    pub(crate) fn stuck(&self, number: u64, since: Duration) {
        let job = match self.runs.lock().get_mut(&number) {
            Some(run) if !run.stuck => {
                run.stuck = true;
                Arc::clone(&run.state.job)
            }
            _ => return,
        };
        count(&self.counters.stuck);
        tracing::warn!(job.id = %job.id, job.kind = %job.kind, ?since, "a job was told to stop and blocks its thread");
        self.tell(|| JobEvent::Stuck { job, since });
    }

    /// How much is under way: attempts, and blocking work that outlived its attempt.
    pub(crate) fn under_way(&self) -> usize {
        let runs = self.runs.lock();
        let theirs: usize = runs.values().map(|run| run.state.threads.busy()).sum();
        let all = usize::try_from(self.config.blocking_threads).unwrap_or(usize::MAX);
        runs.len() + all.saturating_sub(self.blocking.available_permits()).saturating_sub(theirs)
    }

    pub(crate) fn running(&self) -> usize {
        self.runs.lock().len()
    }

    pub(crate) fn run_of(&self, id: TaskId) -> bool {
        self.runs.lock().values().any(|run| run.state.job.id == id)
    }

    pub(crate) fn is_up(&self) -> bool {
        self.up.load(Ordering::Relaxed)
    }

    /// Notes that a call of the store went through, or did not.
    pub(crate) fn note<T>(&self, answer: &Result<T, StoreError>) {
        match answer {
            Err(error @ StoreError::Backend { .. }) => {
                count(&self.counters.store_errors);
                if self.up.swap(false, Ordering::Relaxed) {
                    *self.down_since.lock() = Some(Instant::now());
                    let text = chain(error);
                    tracing::warn!(store = self.store.capabilities().name, error = %text, "the store of jobs is out of reach");
                    self.tell(|| JobEvent::StoreDown { error: text.into() });
                }
            }
            _ => {
                if !self.up.load(Ordering::Relaxed) && !self.up.swap(true, Ordering::Relaxed) {
                    let after = self.down_since.lock().take().map_or(Duration::ZERO, |since| since.elapsed());
                    tracing::info!(store = self.store.capabilities().name, ?after, "the store of jobs is back");
                    self.tell(|| JobEvent::StoreUp { after });
                    self.waiters.wake_all();
                }
            }
        }
    }

    /// Calls the store until it answers something that asking again would not change, or the runtime ends.
    pub(crate) async fn insist<T, F>(&self, mut call: impl FnMut() -> F + Send) -> Result<T, StoreError>
    where
        F: Future<Output = Result<T, StoreError>> + Send,
    {
        let mut delays = outage_delays();
        loop {
            let answer = call().await;
            self.note(&answer);
            match answer {
                Err(StoreError::Backend { transient: true, .. }) if !self.stopped.is_cancelled() => {
                    self.pause(delays.next().unwrap_or(LONGEST_PAUSE)).await;
                }
                answer => return answer,
            }
        }
    }

    /// Sleeps, but not beyond the end of the runtime.
    pub(crate) async fn pause(&self, time: Duration) {
        drop(tokio::time::timeout(time, self.stopped.cancelled()).await);
    }
}

/// The longest pause between two calls of a store that is out of reach: within twice this it is used again.
const LONGEST_PAUSE: Duration = Duration::from_millis(800);

/// The pauses between calls of a store that is out of reach.
pub(crate) fn outage_delays() -> Delays<SeededRandom> {
    let rule = Backoff::exponential(Duration::from_millis(50)).max(LONGEST_PAUSE).jitter(Jitter::Spread(0.2));
    rule.delays(SeededRandom::new(fastrand::u64(..)))
}

/// An error with its sources, in one line.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        text.push_str(": ");
        text.push_str(&error.to_string());
        source = error.source();
    }
    text
}

impl fmt::Debug for Core {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Core")
            .field("store", &self.store)
            .field("worker", &self.worker.id)
            .field("running", &self.running())
            .finish_non_exhaustive()
    }
}

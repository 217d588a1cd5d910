use std::any::TypeId;
use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use tokio::runtime::Handle;

use crate::config::ConfigError;
use crate::id::TaskId;
use crate::job::{Codec, Job, JsonCodec};
use crate::jobs::config::{JobsConfig, QueueOptions};
use crate::jobs::core::{Core, Parts};
#[cfg(feature = "cron")]
use crate::jobs::cron::{CronSchedule, Entry};
use crate::jobs::error::StartError;
use crate::jobs::jobs_handle::Jobs;
use crate::jobs::propagate::Propagate;
use crate::jobs::worker::{
    Engine, Handler, HandlerOf, Handlers, Hands, States, beat, fetch, listen, pulse, settle, sweep,
};
use crate::store::{QueueClaim, Store, WorkerInfo};

type Register = Box<dyn FnOnce(&States) -> Result<Arc<dyn Handler>, StartError> + Send>;

/// A kind that was registered, and the queue that its options name.
struct Kind {
    name: &'static str,
    queue: Cow<'static, str>,
    register: Register,
}

/// Sets up a [`Jobs`].
#[must_use = "a builder does nothing until `start`"]
pub struct JobsBuilder {
    store: Arc<dyn Store>,
    config: JobsConfig,
    codec: Arc<dyn Codec>,
    propagate: Option<Arc<dyn Propagate>>,
    name: Option<Arc<str>>,
    states: States,
    kinds: Vec<Kind>,
    queues: Vec<QueueOptions>,
    #[cfg(feature = "cron")]
    crons: Vec<Entry>,
    #[cfg(feature = "cron")]
    wall_clock: Arc<dyn Fn() -> SystemTime + Send + Sync>,
}

impl JobsBuilder {
    pub(crate) fn new(store: Arc<dyn Store>) -> Self {
        let mut states = States::new();
        states.insert(TypeId::of::<()>(), Box::new(()));
        Self {
            store,
            config: JobsConfig::default(),
            codec: Arc::new(JsonCodec),
            propagate: None,
            name: None,
            states,
            kinds: Vec::new(),
            queues: Vec::new(),
            #[cfg(feature = "cron")]
            crons: Vec::new(),
            #[cfg(feature = "cron")]
            wall_clock: Arc::new(wall_clock),
        }
    }

    /// Replaces all settings.
    pub fn config(mut self, config: JobsConfig) -> Self {
        self.config = config;
        self
    }

    /// Runs so many jobs at a time; zero only submits and waits.
    pub const fn workers(mut self, workers: u32) -> Self {
        self.config.workers = workers;
        self
    }

    /// Sets how long a job belongs to a worker without a sign of life.
    pub const fn lease(mut self, lease: Duration) -> Self {
        self.config.lease = lease;
        self
    }

    /// Sets how often jobs of workers that are gone are looked for.
    pub const fn sweep(mut self, every: Duration) -> Self {
        self.config.sweep = every;
        self
    }

    /// Sets how long a job that was told to stop may go on.
    pub const fn grace(mut self, grace: Duration) -> Self {
        self.config.grace = grace;
        self
    }

    /// Gives jobs something of the application to share; one of each type, the last one counts.
    pub fn state<S: Clone + Send + Sync + 'static>(mut self, state: S) -> Self {
        self.states.insert(TypeId::of::<S>(), Box::new(state));
        self
    }

    /// Works on jobs of this kind; those of other kinds are left to other workers.
    pub fn register<J: Job>(mut self) -> Self {
        let register = Box::new(|states: &States| HandlerOf::<J>::with(states));
        self.kinds.push(Kind { name: J::KIND, queue: J::options().queue, register });
        self
    }

    /// Works on this queue, those named first before others where priorities are equal.
    ///
    /// As soon as one is named, those that are named are worked on and no others, `default` neither; a kind registered
    /// here whose [`options`](Job::options) put it elsewhere is warned of when the runtime starts. If none is named, it
    /// works on `default` and on the queues of the options of its kinds. A queue that
    /// [`Submit::queue`](crate::Submit::queue) alone uses must be named.
    pub fn queue(mut self, queue: QueueOptions) -> Self {
        self.queues.push(queue);
        self
    }

    /// Seals arguments and opens them, to encrypt them for instance.
    pub fn codec(mut self, codec: impl Codec + 'static) -> Self {
        self.codec = Arc::new(codec);
        self
    }

    /// Carries trace contexts along with jobs.
    pub fn propagate(mut self, propagate: impl Propagate + 'static) -> Self {
        self.propagate = Some(Arc::new(propagate));
        self
    }

    /// Names this worker; the name must differ from start to start. By default a new one is made.
    pub fn worker_name(mut self, name: impl Into<Arc<str>>) -> Self {
        self.name = Some(name.into());
        self
    }

    /// Submits a job at each tick of a schedule; its name tells it from others and must stay the same.
    ///
    /// Any number of processes may have the same schedule: each tick is taken in once. Its kind is warned of when the
    /// runtime starts if it works on jobs but was not told to [`register`](Self::register) that one: another process has to.
    #[cfg(feature = "cron")]
    pub fn cron<J: Job>(
        mut self,
        name: impl Into<String>,
        schedule: CronSchedule,
        job: impl Fn() -> J + Send + Sync + 'static,
    ) -> Self {
        self.crons.push(Entry::new(name.into(), schedule, job));
        self
    }

    /// Tells schedules the time by this instead of the system's clock.
    #[cfg(feature = "cron")]
    pub fn wall_clock(mut self, clock: impl Fn() -> SystemTime + Send + Sync + 'static) -> Self {
        self.wall_clock = Arc::new(clock);
        self
    }

    /// Starts the runtime on the present tokio runtime, where the work runs.
    ///
    /// # Errors
    /// [`StartError`] names a setting that cannot be, a kind registered twice, a state that is missing, or says that
    /// there is no tokio runtime.
    pub fn start(mut self) -> Result<Jobs, StartError> {
        let hands = self.hands()?;
        let durable = self.store.capabilities().durable;
        let mut engine = if durable { Engine::thread()? } else { Engine::ambient(hands.runtime.clone()) };
        #[cfg(feature = "cron")]
        let (crons, clock) = (self.schedules(&hands)?, Arc::clone(&self.wall_clock));
        let (core, acks) = Core::new(self.parts());
        let core = Arc::new(core);
        if !durable {
            engine.pulse = Some(pulse(&core, hands.runtime.clone())?);
        }
        engine.run(listen(Arc::clone(&core), core.store.signals()));
        engine.run(sweep(Arc::clone(&core)));
        engine.run(beat(Arc::clone(&core)));
        engine.run(settle(Arc::clone(&core), acks));
        if core.config.workers > 0 && !hands.handlers.is_empty() {
            let (gone, over) = (core.stopping.clone().drop_guard(), core.stopped.clone());
            // Dropped with the runtime on which the work runs: without it no job can begin.
            drop(hands.runtime.spawn(async move {
                over.cancelled().await;
                drop(gone);
            }));
            engine.run(fetch(Arc::clone(&core), hands));
        } else {
            core.fetched.cancel();
        }
        #[cfg(feature = "cron")]
        for entry in crons {
            engine.run(crate::jobs::cron::tick(Arc::clone(&core), entry, Arc::clone(&clock)));
        }
        Ok(Jobs::new(core, Some(engine)))
    }

    /// Starts a runtime without loops, for tests: jobs run when [`Jobs::run_due`] is called, and schedules do not tick.
    ///
    /// # Errors
    /// As [`start`](Self::start).
    #[cfg(feature = "testing")]
    pub fn start_manual(self) -> Result<Jobs, StartError> {
        self.start_without_loops(false)
    }

    /// Starts a runtime without loops, for tests: each submission runs what is due before it returns.
    ///
    /// # Errors
    /// As [`start`](Self::start).
    #[cfg(feature = "testing")]
    pub fn start_inline(self) -> Result<Jobs, StartError> {
        self.start_without_loops(true)
    }

    #[cfg(feature = "testing")]
    fn start_without_loops(mut self, inline: bool) -> Result<Jobs, StartError> {
        let hands = self.hands()?;
        let (mut core, acks) = Core::new(self.parts());
        core.fetched.cancel();
        core.manual = Some(crate::jobs::core::Manual { inline, hands: tokio::sync::Mutex::new((hands, acks)) });
        Ok(Jobs::new(Arc::new(core), None))
    }

    /// What jobs are begun with; takes the registered kinds.
    fn hands(&mut self) -> Result<Hands, StartError> {
        self.validate()?;
        let runtime = Handle::try_current().map_err(|_| StartError::NoRuntime)?;
        let queues = self.claims();
        let mut handlers = Handlers::new();
        for Kind { name: kind, queue, register } in std::mem::take(&mut self.kinds) {
            if handlers.insert(kind, register(&self.states)?).is_some() {
                return Err(StartError::Duplicate { kind });
            }
            if self.config.workers > 0 && !queues.iter().any(|served| served.queue == queue) {
                tracing::warn!(
                    job.kind = kind,
                    queue = &*queue,
                    "a kind is registered whose queue is not among those worked on here: its jobs wait for another process"
                );
            }
        }
        Ok(Hands { handlers, queues, runtime })
    }

    /// The queues that were named; without any, `default` and those of the kinds.
    fn claims(&self) -> Vec<QueueClaim> {
        let named = self.queues.iter().map(|queue| {
            let mut claim = QueueClaim::new(queue.name.clone());
            (claim.concurrency, claim.rate) = (queue.concurrency, queue.rate);
            claim
        });
        let mut claims: Vec<QueueClaim> = named.collect();
        if claims.is_empty() {
            claims.push(QueueClaim::new("default"));
            for kind in &self.kinds {
                if !claims.iter().any(|claim| claim.queue == kind.queue) {
                    claims.push(QueueClaim::new(kind.queue.clone()));
                }
            }
        }
        claims
    }

    #[cfg(feature = "cron")]
    fn schedules(&mut self, hands: &Hands) -> Result<Vec<Entry>, StartError> {
        let mut names = std::collections::HashSet::new();
        let crons = std::mem::take(&mut self.crons);
        if let Some(twice) = crons.iter().find(|entry| !names.insert(entry.name().to_owned())) {
            return Err(StartError::DuplicateSchedule { name: twice.name().to_owned() });
        }
        for entry in crons.iter().filter(|entry| !hands.handlers.contains_key(entry.kind())) {
            if self.config.workers > 0 {
                tracing::warn!(
                    schedule = entry.name(),
                    job.kind = entry.kind(),
                    "a schedule submits a kind that is not registered here: its jobs wait for another process"
                );
            }
        }
        Ok(crons)
    }

    fn validate(&self) -> Result<(), ConfigError> {
        self.config.validate()?;
        for kind in &self.kinds {
            name("job.queue", &kind.queue)?;
        }
        for queue in &self.queues {
            name("queue.name", &queue.name)?;
            if queue.concurrency == Some(0) {
                return Err(ConfigError::new("queue.concurrency", 0, "at least 1"));
            }
            if queue.rate.is_some_and(|rate| rate.starts == 0 || rate.per.as_millis() == 0) {
                return Err(ConfigError::new("queue.rate", "nothing", "at least 1 start in at least 1 ms"));
            }
        }
        Ok(())
    }

    fn parts(self) -> Parts {
        let name = self.name.unwrap_or_else(|| TaskId::generate().to_string().into());
        let worker = WorkerInfo::new(name, host(), self.config.workers, wall_clock());
        Parts { store: self.store, codec: self.codec, propagate: self.propagate, config: self.config, worker }
    }
}

/// What the store would refuse in every claim, for all kinds.
fn name(field: &'static str, queue: &str) -> Result<(), ConfigError> {
    if queue.is_empty() || queue.len() > 255 || queue.chars().any(char::is_control) {
        let shown: String = queue.chars().take(32).collect();
        return Err(ConfigError::new(field, format_args!("{shown:?}"), "1 to 255 bytes without control characters"));
    }
    Ok(())
}

fn wall_clock() -> SystemTime {
    #[expect(
        clippy::disallowed_methods,
        reason = "schedules follow the calendar, and people read since when one works"
    )]
    SystemTime::now()
}

/// The host's name where the system tells it in a file.
fn host() -> String {
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let name = name.trim();
    if name.is_empty() { "unknown".to_owned() } else { name.to_owned() }
}

impl fmt::Debug for JobsBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("JobsBuilder")
            .field("store", &self.store)
            .field("config", &self.config)
            .field("kinds", &self.kinds.iter().map(|kind| kind.name).collect::<Vec<_>>())
            .field("queues", &self.queues)
            .finish_non_exhaustive()
    }
}

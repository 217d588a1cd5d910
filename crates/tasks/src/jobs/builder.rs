use std::any::TypeId;
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

/// Sets up a [`Jobs`].
#[must_use = "a builder does nothing until `start`"]
pub struct JobsBuilder {
    store: Arc<dyn Store>,
    config: JobsConfig,
    codec: Arc<dyn Codec>,
    propagate: Option<Arc<dyn Propagate>>,
    name: Option<Arc<str>>,
    states: States,
    kinds: Vec<(&'static str, Register)>,
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
        self.kinds.push((J::KIND, Box::new(|states: &States| HandlerOf::<J>::with(states))));
        self
    }

    /// Works on this queue; on `default` alone if none is named.
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
    /// Any number of processes may have the same schedule: each tick is taken in once.
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
        let (crons, clock) = (self.schedules()?, Arc::clone(&self.wall_clock));
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
        let mut handlers = Handlers::new();
        for (kind, register) in std::mem::take(&mut self.kinds) {
            if handlers.insert(kind, register(&self.states)?).is_some() {
                return Err(StartError::Duplicate { kind });
            }
        }
        let queues = self.queues.iter().map(|queue| {
            let mut claim = QueueClaim::new(queue.name.clone());
            (claim.concurrency, claim.rate) = (queue.concurrency, queue.rate);
            claim
        });
        let mut queues: Vec<QueueClaim> = queues.collect();
        if queues.is_empty() {
            queues.push(QueueClaim::new("default"));
        }
        Ok(Hands { handlers, queues, runtime })
    }

    #[cfg(feature = "cron")]
    fn schedules(&mut self) -> Result<Vec<Entry>, StartError> {
        let mut names = std::collections::HashSet::new();
        let crons = std::mem::take(&mut self.crons);
        match crons.iter().find(|entry| !names.insert(entry.name().to_owned())) {
            Some(twice) => Err(StartError::DuplicateSchedule { name: twice.name().to_owned() }),
            None => Ok(crons),
        }
    }

    fn validate(&self) -> Result<(), ConfigError> {
        self.config.validate()?;
        for queue in &self.queues {
            let name = queue.name.as_bytes();
            if name.is_empty() || name.len() > 255 {
                return Err(ConfigError::new("queue.name", &queue.name, "1 to 255 bytes"));
            }
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
            .field("kinds", &self.kinds.iter().map(|(kind, _)| kind).collect::<Vec<_>>())
            .field("queues", &self.queues)
            .finish_non_exhaustive()
    }
}

//! The service that runs the checks.
//!
//! # Probes never run checks
//!
//! A `/health` route that runs its checks lets every prober, and every attacker, load the database; and a hung check
//! hangs the probe, so that the orchestrator kills a process that was merely waiting. Here one task per component runs
//! its check on its own schedule, and a probe reads what is known, with its age. A status that no check has renewed for
//! three rounds is reported as `UNHEALTHY`, since a scheduler that has stopped is itself an illness.

use std::collections::BTreeMap;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt as _;
use futures_util::future::join_all;
use parking_lot::Mutex;
use tokio::runtime::Handle;
use tokio::sync::broadcast;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, timeout};

use crate::history::CheckRecord;
use crate::{
    Check, Component, ComponentSnapshot, ConfigError, HealthError, HealthEvent, History, Observer, Outcome, Policy,
    Snapshot, State, Status, Transition,
};

/// Runs the checks of its components in the background, and knows how each is.
///
/// A handle: clones share one service. The checks stop with [`shutdown`](Self::shutdown) or with the last handle.
#[derive(Debug, Clone)]
pub struct Health {
    service: Arc<Service>,
}

#[derive(Debug)]
struct Service {
    name: String,
    watched: BTreeMap<String, Arc<Watched>>,
    changes: broadcast::Sender<(String, Transition)>,
    tasks: Mutex<Option<Vec<JoinHandle<()>>>>,
}

impl Health {
    /// Configures the health service of the system of this name.
    pub fn builder(name: impl Into<String>) -> HealthBuilder {
        HealthBuilder { name: name.into(), policy: Policy::default(), components: Vec::new(), observer: None }
    }

    /// Returns how everything is now. Runs no check and waits for none.
    #[must_use]
    pub fn snapshot(&self) -> Snapshot {
        let now = Instant::now();
        let components = self.service.watched.iter();
        let components = components.map(|(name, watched)| (name.clone(), watched.snapshot(now))).collect();
        Snapshot::new(self.service.name.clone(), components)
    }

    /// Returns the system's status now.
    #[must_use]
    pub fn status(&self) -> Status {
        let now = Instant::now();
        let statuses = self.service.watched.values().map(|watched| (watched.status(now), watched.required));
        crate::snapshot::overall(statuses)
    }

    /// Hears every change of a component's status from now on, with the component's name. A receiver that falls more
    /// than 256 changes behind is told how many it missed.
    #[must_use]
    pub fn subscribe(&self) -> broadcast::Receiver<(String, Transition)> {
        self.service.changes.subscribe()
    }

    /// Checks one component now, besides its schedule, and returns what was found. If its check is running already,
    /// waits for that to end first.
    ///
    /// # Errors
    /// [`HealthError::UnknownComponent`] if there is none of this name, [`HealthError::Stopped`] after shutdown.
    ///
    /// # Cancel safety
    /// The check is given up and leaves no trace.
    pub async fn check_now(&self, name: &str) -> Result<Outcome, HealthError> {
        let watched = self.service.watched.get(name).ok_or_else(|| HealthError::UnknownComponent {
            name: name.to_owned(),
            known: self.service.watched.keys().cloned().collect::<Vec<_>>().join(", "),
        })?;
        if self.service.tasks.lock().is_none() {
            return Err(HealthError::Stopped);
        }
        Ok(watched.run(&self.service.changes).await)
    }

    /// Checks every component now, all at once, and returns how everything is then.
    ///
    /// # Errors
    /// [`HealthError::Stopped`] after shutdown.
    pub async fn check_all_now(&self) -> Result<Snapshot, HealthError> {
        if self.service.tasks.lock().is_none() {
            return Err(HealthError::Stopped);
        }
        join_all(self.service.watched.values().map(|watched| watched.run(&self.service.changes))).await;
        Ok(self.snapshot())
    }

    /// Stops the checks and waits until their tasks have ended. Snapshots can still be read; they grow stale.
    pub async fn shutdown(&self) {
        let tasks = self.service.tasks.lock().take().unwrap_or_default();
        for task in &tasks {
            task.abort();
        }
        for task in tasks {
            // An aborted task ends with an error that says so.
            let _aborted = task.await;
        }
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        for task in self.tasks.lock().take().unwrap_or_default() {
            task.abort();
        }
    }
}

/// Configures a [`Health`] service.
#[must_use]
pub struct HealthBuilder {
    name: String,
    policy: Policy,
    components: Vec<Component>,
    observer: Option<Arc<dyn Observer>>,
}

impl HealthBuilder {
    /// Sets the policy of components that have none of their own.
    pub const fn policy(mut self, policy: Policy) -> Self {
        self.policy = policy;
        self
    }

    /// Adds a component.
    pub fn component(mut self, component: Component) -> Self {
        self.components.push(component);
        self
    }

    /// Sets who hears what happens.
    pub fn observer(mut self, observer: impl Observer) -> Self {
        self.observer = Some(Arc::new(observer));
        self
    }

    /// Starts the checks; each component's first one runs at once.
    ///
    /// # Errors
    /// [`ConfigError`] names a policy out of bounds, a component without a check or a name that is given twice.
    pub fn start(self) -> Result<Health, ConfigError> {
        self.policy.validate()?;
        let runtime = Handle::try_current().map_err(|_| ConfigError::NoRuntime)?;
        let started = Instant::now();
        let mut watched = BTreeMap::new();
        for component in self.components {
            let check = component.validate()?;
            let name = component.name;
            let one = Watched {
                name: name.clone(),
                check,
                policy: component.policy.unwrap_or(self.policy),
                required: component.required,
                observer: self.observer.clone(),
                running: tokio::sync::Mutex::new(()),
                known: Mutex::new(Known {
                    state: State::UNKNOWN,
                    last: None,
                    since: started,
                    history: History::default(),
                }),
            };
            if watched.insert(name.clone(), Arc::new(one)).is_some() {
                return Err(ConfigError::DuplicateName { name });
            }
        }
        let (changes, _) = broadcast::channel(256);
        let tasks =
            watched.values().map(|watched| runtime.spawn(watch(Arc::clone(watched), changes.clone()))).collect();
        let service = Service { name: self.name, watched, changes, tasks: Mutex::new(Some(tasks)) };
        Ok(Health { service: Arc::new(service) })
    }
}

impl std::fmt::Debug for HealthBuilder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("HealthBuilder")
            .field("name", &self.name)
            .field("policy", &self.policy)
            .field("components", &self.components)
            .finish_non_exhaustive()
    }
}

async fn watch(watched: Arc<Watched>, changes: broadcast::Sender<(String, Transition)>) {
    let mut round = 0_u64;
    loop {
        watched.run(&changes).await;
        round += 1;
        sleep(watched.policy.interval.mul_f64(1.0 - jitter(&watched.name, round) / 10.0)).await;
    }
}

/// A fraction from 0.0 to 1.0 that differs between components and rounds, by FNV-1a; it needs to spread, not to surprise.
fn jitter(name: &str, round: u64) -> f64 {
    let mut hash = 0xcbf2_9ce4_8422_2325_u64;
    for byte in name.bytes().chain(round.to_le_bytes()) {
        hash = (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
    }
    f64::from(u16::try_from(hash >> 48).unwrap_or(0)) / f64::from(u16::MAX)
}

/// One component with its check and what is known of it.
struct Watched {
    name: String,
    check: Arc<dyn Check>,
    policy: Policy,
    required: bool,
    observer: Option<Arc<dyn Observer>>,
    /// Held while a check runs, so that it never runs twice at once.
    running: tokio::sync::Mutex<()>,
    known: Mutex<Known>,
}

#[derive(Debug)]
struct Known {
    state: State,
    last: Option<CheckRecord>,
    /// When the last check ended, or the service started.
    since: Instant,
    history: History,
}

impl Watched {
    async fn run(&self, changes: &broadcast::Sender<(String, Transition)>) -> Outcome {
        let _alone = self.running.lock().await;
        let begun = Instant::now();
        let checked = AssertUnwindSafe(self.check.check()).catch_unwind();
        let outcome = match timeout(self.policy.timeout, checked).await {
            Ok(Ok(outcome)) => outcome,
            Ok(Err(_panic)) => Outcome::fail("the check panicked"),
            Err(_elapsed) => Outcome::fail(format!("no outcome within {:?}", self.policy.timeout)),
        };
        let took = begun.elapsed();
        let transition = self.learn(&outcome, took);
        if let Some(observer) = &self.observer {
            observer.on_event(&HealthEvent::Checked { component: &self.name, outcome: &outcome, took });
        }
        if let Some(transition) = transition {
            let from = transition.from.map_or("unknown", Status::as_str);
            let (to, cause) = (transition.to, transition.cause.as_deref().unwrap_or(""));
            if to == Status::Healthy {
                tracing::info!(component = self.name, from, %to, "a component's health changed");
            } else {
                tracing::warn!(component = self.name, from, %to, cause, "a component's health changed");
            }
            if let Some(observer) = &self.observer {
                observer.on_event(&HealthEvent::Changed { component: &self.name, transition: &transition });
            }
            // Nobody may be listening.
            let _listeners = changes.send((self.name.clone(), transition));
        }
        outcome
    }

    fn learn(&self, outcome: &Outcome, took: Duration) -> Option<Transition> {
        let at = wall_clock();
        let mut known = self.known.lock();
        let before = known.state;
        known.state = before.step(outcome, &self.policy);
        known.since = Instant::now();
        let record = CheckRecord { at, took, outcome: outcome.clone(), status: known.state.status };
        known.last = Some(record.clone());
        known.history.push_check(record);
        if before.known && before.status == known.state.status {
            return None;
        }
        let transition = Transition {
            from: before.known.then_some(before.status),
            to: known.state.status,
            cause: outcome.reason().map(str::to_owned),
            at,
        };
        known.history.push_transition(transition.clone());
        Some(transition)
    }

    fn status(&self, now: Instant) -> Status {
        self.judge(&self.known.lock(), now).0
    }

    /// The status, how long ago the last check ended, and whether that is too long.
    fn judge(&self, known: &Known, now: Instant) -> (Status, Duration, bool) {
        let age = now.saturating_duration_since(known.since);
        let stale = age > 3 * (self.policy.interval + self.policy.timeout);
        let status = if stale { known.state.status.max(Status::Unhealthy) } else { known.state.status };
        (status, age, stale)
    }

    fn snapshot(&self, now: Instant) -> ComponentSnapshot {
        let known = self.known.lock();
        let (status, age, stale) = self.judge(&known, now);
        ComponentSnapshot {
            status,
            required: self.required,
            state: known.state,
            reason: match &known.last {
                Some(last) => last.outcome.reason().map(str::to_owned),
                None => Some("not checked yet".to_owned()),
            },
            age: known.last.is_some().then_some(age),
            took: known.last.as_ref().map_or(Duration::ZERO, |last| last.took),
            stale,
            history: known.history.clone(),
        }
    }
}

impl std::fmt::Debug for Watched {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Watched").field("name", &self.name).field("policy", &self.policy).finish_non_exhaustive()
    }
}

fn wall_clock() -> Duration {
    #[expect(clippy::disallowed_methods, reason = "the one place of this crate that reads the wall clock")]
    let now = std::time::SystemTime::now();
    now.duration_since(std::time::SystemTime::UNIX_EPOCH).unwrap_or_default()
}

use std::fmt;
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::breaker::config::{Abandoned, BreakerBuilder, BreakerConfig};
use crate::breaker::machine::BreakerMachine;
use crate::breaker::pending::Pending;
use crate::breaker::state::{BreakerState, BreakerStats, Outcome, Refused, Ticket, Transition};
use crate::breaker::window::Delay;
use crate::class::Classify;
use crate::clock::{Clock, TokioClock};
use crate::config::ConfigError;
use crate::failure::{Failure, Rejection};
use crate::lint::PolicyKind;
use crate::observer::{NoObserver, Observer, RecoveryEvent};
use crate::policy::{Cx, Env, Policy};
use crate::stripes::Counter;
use crate::sync::{AtomicBool, AtomicU64, Mutex, Ordering};

/// A shared circuit breaker; clones are handles to the same one.
///
/// One breaker stands for one thing that can fail, and is shared by all calls to it: give clones of it to every
/// pipeline that calls that thing. While the circuit is closed, admission takes no lock.
///
/// # Examples
/// ```
/// use bedplate_recovery::{CircuitBreaker, Failure};
///
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let breaker = CircuitBreaker::builder("payments").consecutive_failures(1).build()?;
/// let down = || async { Err::<(), _>(std::io::Error::from(std::io::ErrorKind::ConnectionRefused)) };
/// assert!(matches!(breaker.call(down()).await, Err(Failure::Inner { .. })));
/// assert!(matches!(breaker.call(down()).await, Err(Failure::Rejected { .. })));
/// # Ok(()) }
/// ```
#[derive(Clone)]
pub struct CircuitBreaker {
    shared: Arc<Shared>,
}

pub(super) type Listener = Box<dyn Fn(Transition) + Send + Sync>;

struct Shared {
    name: Arc<str>,
    /// What the paths without a lock must know of the settings.
    needs_time: AtomicBool,
    times_calls: AtomicBool,
    abandoned_fails: AtomicBool,
    /// From when a call counts as slow, in nanoseconds; the maximum if none does.
    slow_from: AtomicU64,
    /// The length of the steps in which successes wait, in nanoseconds; zero if they need none.
    step: AtomicU64,
    /// What all times here are counted from, and when the first step began.
    origin: Instant,
    steps_from: AtomicU64,
    /// When an open circuit lets a probe through, in nanoseconds since the origin.
    until: AtomicU64,
    /// Refusals that the machine was not told of.
    refused: Counter,
    pending: Pending,
    /// The generation in the upper bits and four flags below. Written under the lock only,
    /// and only when it changes, so that the healthy path shares the cache line.
    gate: AtomicU64,
    machine: Mutex<BreakerMachine>,
    listeners: Vec<Listener>,
}

/// The state admits every call.
const FREE: u64 = 1;
/// A success changes nothing.
const QUIET: u64 = 2;
/// A success that is not slow may wait until somebody takes the lock.
const WAITS: u64 = 4;
/// The circuit is open until the instant beside.
const OPEN: u64 = 8;
const FLAGS: u32 = 4;

impl CircuitBreaker {
    /// Starts setting up a breaker; the name appears in events, logs and failures.
    pub fn builder(name: impl Into<Arc<str>>) -> BreakerBuilder {
        BreakerBuilder::new(name.into())
    }

    pub(super) fn assemble(name: Arc<str>, config: BreakerConfig, listeners: Vec<Listener>) -> Self {
        let machine = BreakerMachine::trusted(config);
        let shared = Shared {
            name,
            needs_time: AtomicBool::new(config.needs_time()),
            times_calls: AtomicBool::new(config.times_calls()),
            abandoned_fails: AtomicBool::new(config.abandoned == Abandoned::Failure),
            slow_from: AtomicU64::new(slow_from(&config)),
            step: AtomicU64::new(0),
            steps_from: AtomicU64::new(0),
            origin: TokioClock.now(),
            until: AtomicU64::new(0),
            refused: Counter::default(),
            pending: Pending::default(),
            gate: AtomicU64::new(0),
            machine: Mutex::new(machine),
            listeners,
        };
        let breaker = Self { shared: Arc::new(shared) };
        breaker.change(|_| {});
        breaker
    }

    /// Creates a breaker from its settings as data.
    ///
    /// # Errors
    /// Returns a [`ConfigError`] naming the first setting that cannot be used.
    pub fn new(name: impl Into<Arc<str>>, config: BreakerConfig) -> Result<Self, ConfigError> {
        Self::builder(name).config(config).build()
    }

    /// Takes other settings while it runs; state and results are kept as
    /// [`BreakerMachine::reconfigure`] says.
    ///
    /// # Errors
    /// Returns a [`ConfigError`] and changes nothing if a setting cannot be used.
    pub fn reconfigure(&self, config: BreakerConfig) -> Result<(), ConfigError> {
        self.change(|machine| {
            machine.reconfigure(config)?;
            self.shared.needs_time.store(config.needs_time(), Ordering::Relaxed);
            self.shared.times_calls.store(config.times_calls(), Ordering::Relaxed);
            self.shared.slow_from.store(slow_from(&config), Ordering::Relaxed);
            self.shared.abandoned_fails.store(config.abandoned == Abandoned::Failure, Ordering::Relaxed);
            Ok(())
        })
    }

    /// Returns the breaker's name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.shared.name
    }

    /// Asks for leave to make one call at `now`.
    ///
    /// # Errors
    /// Returns [`Refused`] while the circuit is open or isolated, and when all probes of a half-open circuit are
    /// on their way.
    pub fn acquire(&self, now: Instant) -> Result<Permit<'_>, Refused> {
        let (result, transition) = self.admit(|| now);
        self.announce(transition, &NoObserver);
        let ticket = Some(result?);
        Ok(Permit { breaker: self, ticket })
    }

    /// Makes `call` if the breaker admits it, and records how it ended.
    ///
    /// # Errors
    /// Returns [`Failure::Rejected`] if the breaker refuses, and the error of `call` as [`Failure::Inner`].
    ///
    /// # Cancel safety
    /// Dropping the future drops the call, which then counts as the setting
    /// [`abandoned`](BreakerBuilder::abandoned) says.
    pub async fn call<T, E: Classify>(&self, call: impl Future<Output = Result<T, E>>) -> Result<T, Failure<E>> {
        let guard = self.guard(&TokioClock, &NoObserver, None)?;
        match call.await {
            Ok(value) => {
                guard.finish(Outcome::Success);
                Ok(value)
            }
            Err(error) => {
                let failure = Failure::from(error);
                guard.finish(Outcome::from(failure.class()));
                Err(failure)
            }
        }
    }

    /// Returns the state as it was stored.
    #[must_use]
    pub fn state(&self) -> BreakerState {
        self.shared.machine.lock().state()
    }

    /// Returns the state that a call at `now` would meet.
    #[must_use]
    pub fn effective_state(&self, now: Instant) -> BreakerState {
        self.shared.machine.lock().effective_state(now)
    }

    /// Returns what the breaker has seen and done.
    #[must_use]
    pub fn stats(&self) -> BreakerStats {
        let now = TokioClock.now();
        let mut stats = self.change(|machine| machine.stats(now));
        stats.refused = stats.refused.saturating_add(self.shared.refused.get());
        stats
    }

    /// Refuses every call until [`close`](Self::close).
    pub fn isolate(&self) {
        let change = self.change(BreakerMachine::isolate);
        self.announce(change, &NoObserver);
    }

    /// Closes the circuit and forgets all results.
    pub fn close(&self) {
        let change = self.change(BreakerMachine::close);
        self.announce(change, &NoObserver);
    }

    /// Admits every call and watches nothing, until [`close`](Self::close).
    pub fn disable(&self) {
        let change = self.change(BreakerMachine::disable);
        self.announce(change, &NoObserver);
    }

    /// Admits every call and only counts results, until [`close`](Self::close).
    pub fn metrics_only(&self) {
        let change = self.change(BreakerMachine::metrics_only);
        self.announce(change, &NoObserver);
    }

    #[inline]
    fn admit(&self, now: impl FnOnce() -> Instant) -> (Result<Ticket, Refused>, Option<Transition>) {
        let gate = self.shared.gate.load(Ordering::Acquire);
        if gate & FREE != 0 {
            let times_calls = self.shared.times_calls.load(Ordering::Relaxed);
            let ticket = Ticket { generation: gate >> FLAGS, probe: None, admitted: times_calls.then(now) };
            return (Ok(ticket), None);
        }
        let now = now();
        if gate & OPEN != 0
            && let until = self.shared.until.load(Ordering::Acquire)
            && let Some(left) = until.checked_sub(self.since_origin(now)).filter(|left| *left > 0)
        {
            self.shared.refused.add(1);
            let retry_after = Some(Duration::from_nanos(left));
            return (Err(Refused { state: BreakerState::Open, retry_after }), None);
        }
        self.change(|machine| machine.try_acquire(now))
    }

    #[inline]
    fn since_origin(&self, now: Instant) -> u64 {
        nanos(now.saturating_duration_since(self.shared.origin))
    }

    #[inline]
    fn settle(&self, ticket: Ticket, outcome: Outcome, now: impl FnOnce() -> Instant) -> Option<Transition> {
        let gate = self.shared.gate.load(Ordering::Acquire);
        if outcome == Outcome::Success && gate & QUIET != 0 && ticket.probe.is_none() {
            return None;
        }
        let now = match (outcome, ticket.admitted) {
            // Neither the window nor the result needs the time.
            (Outcome::Success, Some(at))
                if !self.shared.needs_time.load(Ordering::Relaxed) && ticket.probe.is_none() =>
            {
                at
            }
            _ => now(),
        };
        let current = ticket.probe.is_none() && ticket.generation == gate >> FLAGS;
        if outcome == Outcome::Success && gate & WAITS != 0 && current && !self.is_slow(ticket, now) {
            let since = self.since_origin(now).saturating_sub(self.shared.steps_from.load(Ordering::Relaxed));
            let step = since.checked_div(self.shared.step.load(Ordering::Relaxed)).unwrap_or(0);
            if self.shared.pending.count(ticket.generation, step) {
                return None;
            }
        }
        self.change(|machine| machine.record(ticket, now, outcome))
    }

    #[inline]
    fn is_slow(&self, ticket: Ticket, now: Instant) -> bool {
        let from = self.shared.slow_from.load(Ordering::Relaxed);
        from != u64::MAX && ticket.admitted.is_none_or(|at| nanos(now.saturating_duration_since(at)) >= from)
    }

    #[inline]
    fn abandon(&self, ticket: Ticket, now: impl FnOnce() -> Instant) -> Option<Transition> {
        if self.shared.abandoned_fails.load(Ordering::Relaxed) {
            return self.settle(ticket, Outcome::Failure, now);
        }
        self.change(|machine| machine.release(ticket));
        None
    }

    #[inline(never)]
    fn change<R>(&self, act: impl FnOnce(&mut BreakerMachine) -> R) -> R {
        let shared = &*self.shared;
        let mut machine = shared.machine.lock();
        let step = shared.step.load(Ordering::Relaxed);
        let generation = machine.generation();
        shared.pending.drain(generation, |batch| {
            machine.add_successes(shared.at_step(batch.step, step), batch.successes);
        });
        let result = act(&mut machine);
        let mut gate = gate_of(&machine);
        let (from, length) = match machine.delays_successes() {
            Delay::No => (0, 0),
            Delay::Untimed => {
                gate |= WAITS;
                (0, 0)
            }
            Delay::InSteps { from, length } => {
                gate |= WAITS;
                (self.since_origin(from), nanos(length))
            }
        };
        shared.steps_from.store(from, Ordering::Relaxed);
        shared.step.store(length, Ordering::Relaxed);
        if let Some(until) = machine.refuses_until() {
            gate |= OPEN;
            // Before the flag, so that who sees the flag sees the time.
            shared.until.store(self.since_origin(until), Ordering::Release);
        }
        if shared.gate.load(Ordering::Relaxed) != gate {
            shared.gate.store(gate, Ordering::Release);
        }
        result
    }

    /// Tells a change of state to everybody who listens; no lock is held.
    #[inline]
    fn announce<O: Observer>(&self, transition: Option<Transition>, observer: &O) {
        if let Some(transition) = transition {
            self.announce_change(transition, observer);
        }
    }

    #[cold]
    fn announce_change<O: Observer>(&self, transition: Transition, observer: &O) {
        let Transition { from, to } = transition;
        let (breaker, was, is) = (self.name(), from.as_str(), to.as_str());
        if to == BreakerState::Open {
            tracing::warn!(breaker, from = was, to = is, "circuit breaker opened");
        } else {
            tracing::info!(breaker, from = was, to = is, "circuit breaker changed");
        }
        observer.observe(&RecoveryEvent::BreakerChanged { breaker, from, to });
        for listener in &self.shared.listeners {
            if catch_unwind(AssertUnwindSafe(|| listener(transition))).is_err() {
                tracing::error!(breaker, "listener of the circuit breaker panicked");
            }
        }
    }

    #[inline]
    fn guard<'a, C: Clock, O: Observer, E>(
        &'a self,
        clock: &'a C,
        observer: &'a O,
        deadline: Option<Instant>,
    ) -> Result<Guard<'a, C, O>, Failure<E>> {
        let (result, transition) = self.admit(|| clock.now());
        self.announce(transition, observer);
        match result {
            Ok(ticket) => Ok(Guard { breaker: self, ticket: Some(ticket), clock, observer, deadline }),
            Err(Refused { retry_after, .. }) => {
                let (by, reason) = (&self.shared.name, Rejection::BreakerOpen);
                observer.observe(&RecoveryEvent::Rejected { by, reason, retry_after });
                Err(Failure::Rejected { by: Arc::clone(by), reason, retry_after })
            }
        }
    }
}

impl Shared {
    /// Returns the beginning of a step.
    fn at_step(&self, step: u64, length: u64) -> Instant {
        let from = self.steps_from.load(Ordering::Relaxed);
        let since = Duration::from_nanos(step.saturating_mul(length).saturating_add(from));
        self.origin.checked_add(since).unwrap_or(self.origin)
    }
}

fn slow_from(config: &BreakerConfig) -> u64 {
    if config.slow_call_rate.is_some() { nanos(config.slow_call) } else { u64::MAX }
}

#[inline]
fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

fn gate_of(machine: &BreakerMachine) -> u64 {
    let free = match machine.state() {
        BreakerState::Closed | BreakerState::Disabled | BreakerState::MetricsOnly => FREE,
        _ => 0,
    };
    let quiet = if machine.success_is_no_news() { QUIET } else { 0 };
    machine.generation() << FLAGS | free | quiet
}

impl Policy for CircuitBreaker {
    fn outline(&self, outline: &mut Vec<PolicyKind>) {
        outline.push(PolicyKind::Breaker);
    }

    #[expect(clippy::manual_async_fn, reason = "an `async fn` would hold its arguments twice")]
    fn run<C, O, T, E, Op, Fut>(
        &self,
        env: Env<'_, C, O>,
        cx: Cx,
        op: Op,
    ) -> impl Future<Output = Result<T, Failure<E>>> + Send
    where
        C: Clock,
        O: Observer,
        T: Send,
        E: Send,
        Op: Fn(Cx) -> Fut + Send + Sync,
        Fut: Future<Output = Result<T, Failure<E>>> + Send,
    {
        async move {
            let guard = self.guard(env.clock, env.observer, cx.deadline())?;
            let result = op(cx).await;
            guard.finish(match &result {
                Ok(_) => Outcome::Success,
                // Another breaker refused: nothing was learned about this one's callee.
                Err(failure) if failure.is_refusal() => Outcome::Ignored,
                Err(failure) => Outcome::from(failure.class()),
            });
            result
        }
    }
}

impl fmt::Debug for CircuitBreaker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CircuitBreaker")
            .field("name", &self.shared.name)
            .field("state", &self.state())
            .finish_non_exhaustive()
    }
}

/// The leave to make one call.
///
/// Dropping it without a result counts as the setting [`abandoned`](BreakerBuilder::abandoned) says; dropped by a
/// panic it is a failure.
#[derive(Debug)]
#[must_use = "dropping a permit abandons the call it was given for"]
pub struct Permit<'a> {
    breaker: &'a CircuitBreaker,
    ticket: Option<Ticket>,
}

impl Permit<'_> {
    /// Records how the call ended.
    pub fn record(mut self, now: Instant, outcome: Outcome) {
        if let Some(ticket) = self.ticket.take() {
            let change = self.breaker.settle(ticket, outcome, || now);
            self.breaker.announce(change, &NoObserver);
        }
    }

    /// Says whether the call is one of the few that decide in half-open.
    #[must_use]
    pub fn is_probe(&self) -> bool {
        self.ticket.is_some_and(|ticket| ticket.is_probe())
    }
}

impl Drop for Permit<'_> {
    fn drop(&mut self) {
        let Some(ticket) = self.ticket.take() else {
            return;
        };
        let now = || TokioClock.now();
        let change = if std::thread::panicking() {
            self.breaker.settle(ticket, Outcome::Failure, now)
        } else {
            self.breaker.abandon(ticket, now)
        };
        self.breaker.announce(change, &NoObserver);
    }
}

/// A permit inside a pipeline, which knows its deadline and whom to tell.
struct Guard<'a, C: Clock, O: Observer> {
    breaker: &'a CircuitBreaker,
    ticket: Option<Ticket>,
    clock: &'a C,
    observer: &'a O,
    deadline: Option<Instant>,
}

impl<C: Clock, O: Observer> Guard<'_, C, O> {
    fn finish(mut self, outcome: Outcome) {
        if let Some(ticket) = self.ticket.take() {
            let clock = self.clock;
            let change = self.breaker.settle(ticket, outcome, || clock.now());
            self.breaker.announce(change, self.observer);
        }
    }
}

impl<C: Clock, O: Observer> Drop for Guard<'_, C, O> {
    fn drop(&mut self) {
        let Some(ticket) = self.ticket.take() else {
            return;
        };
        let now = self.clock.now();
        let hung = self.deadline.is_some_and(|deadline| now >= deadline);
        let change = if hung || std::thread::panicking() {
            self.breaker.settle(ticket, Outcome::Failure, || now)
        } else {
            self.breaker.abandon(ticket, || now)
        };
        self.breaker.announce(change, self.observer);
    }
}

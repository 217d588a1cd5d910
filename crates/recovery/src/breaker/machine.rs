use std::time::{Duration, Instant};

use crate::breaker::config::{BreakerConfig, HalfOpen};
use crate::breaker::state::{BreakerState, BreakerStats, Outcome, Refused, Ticket, Transition};
use crate::breaker::window::Delay;
use crate::breaker::window::OutcomeWindow;
use crate::config::ConfigError;

/// The circuit breaker as a pure machine: every decision takes `now`, nothing waits and nothing is shared.
///
/// # Examples
/// ```
/// use std::time::Duration;
/// use bedplate_recovery::{BreakerConfig, BreakerMachine, BreakerState, Outcome, TripRule};
///
/// # fn main() -> Result<(), bedplate_recovery::ConfigError> {
/// let mut config = BreakerConfig::default();
/// config.trip = TripRule::Consecutive(2);
/// let mut machine = BreakerMachine::new(config)?;
/// let start = tokio::time::Instant::now().into_std();
/// for _ in 0..2 {
///     if let (Ok(ticket), _) = machine.try_acquire(start) {
///         machine.record(ticket, start, Outcome::Failure);
///     }
/// }
/// assert_eq!(machine.effective_state(start), BreakerState::Open);
/// assert_eq!(machine.effective_state(start + Duration::from_secs(5)), BreakerState::HalfOpen);
/// # Ok(()) }
/// ```
#[derive(Debug, Clone)]
pub struct BreakerMachine {
    config: BreakerConfig,
    state: BreakerState,
    generation: u64,
    /// When an open circuit turns half-open; `None` if that is beyond the clock.
    until: Option<Instant>,
    /// How many times in a row the circuit opened without having closed.
    reopened: u32,
    window: OutcomeWindow,
    probes: OutcomeWindow,
    /// The probes on their way, with the instant at which each loses its place.
    pending: Vec<(u64, Instant)>,
    next_probe: u64,
    /// Whether the probes are what the state was last judged by.
    judged_by_probes: bool,
    refused: u64,
    opened: u64,
    late: u64,
    abandoned: u64,
    expired: u64,
}

impl BreakerMachine {
    /// Creates a closed machine.
    ///
    /// # Errors
    /// Returns a [`ConfigError`] naming the first setting that cannot be used.
    pub fn new(config: BreakerConfig) -> Result<Self, ConfigError> {
        config.validate()?;
        Ok(Self::trusted(config))
    }

    pub(super) fn trusted(config: BreakerConfig) -> Self {
        Self {
            window: OutcomeWindow::new(&config),
            probes: probes(&config),
            pending: Vec::with_capacity(usize::try_from(config.half_open.permits()).unwrap_or(1)),
            config,
            state: BreakerState::Closed,
            generation: 0,
            until: None,
            reopened: 0,
            next_probe: 0,
            judged_by_probes: false,
            refused: 0,
            opened: 0,
            late: 0,
            abandoned: 0,
            expired: 0,
        }
    }

    /// Takes other settings. The state stays, and so do the results unless the window is of another kind or size; a
    /// half-open circuit begins its probes anew. A break that runs ends when it was to end.
    ///
    /// # Errors
    /// Returns a [`ConfigError`] and changes nothing if a setting cannot be used.
    pub fn reconfigure(&mut self, config: BreakerConfig) -> Result<(), ConfigError> {
        config.validate()?;
        self.window.retune(&self.config, &config);
        if self.config.half_open != config.half_open || self.config.semantics != config.semantics {
            self.probes = probes(&config);
            self.pending.clear();
            if self.state == BreakerState::HalfOpen {
                // The probes on their way were admitted under other rules.
                self.generation = self.generation.wrapping_add(1);
            }
        }
        self.config = config;
        Ok(())
    }

    /// Asks for leave to make a call; the second value tells a change of state on the way.
    pub fn try_acquire(&mut self, now: Instant) -> (Result<Ticket, Refused>, Option<Transition>) {
        let transition = match self.state {
            BreakerState::Open if self.until.is_some_and(|until| now >= until) => self.enter(BreakerState::HalfOpen),
            _ => None,
        };
        let probe = match self.state {
            BreakerState::Closed | BreakerState::Disabled | BreakerState::MetricsOnly => None,
            BreakerState::HalfOpen => match self.admit_probe(now) {
                Some(probe) => Some(probe),
                None => return (Err(self.refuse(now)), transition),
            },
            BreakerState::Open | BreakerState::Isolated => {
                return (Err(self.refuse(now)), transition);
            }
        };
        let ticket = Ticket { generation: self.generation, probe, admitted: Some(now) };
        (Ok(ticket), transition)
    }

    /// Takes the result of an admitted call; how long it took is measured from its admission.
    ///
    /// A result from before the last change of state is counted as late and changes nothing.
    pub fn record(&mut self, ticket: Ticket, now: Instant, outcome: Outcome) -> Option<Transition> {
        let took = ticket.admitted.map_or(Duration::ZERO, |at| now.saturating_duration_since(at));
        self.record_timed(ticket, now, outcome, took)
    }

    /// Takes the result of an admitted call whose duration is known from elsewhere.
    pub fn record_timed(
        &mut self,
        ticket: Ticket,
        now: Instant,
        outcome: Outcome,
        took: Duration,
    ) -> Option<Transition> {
        if !self.settle(ticket) {
            return None;
        }
        let slow = self.config.slow_call_rate.is_some() && took >= self.config.slow_call;
        match self.state {
            BreakerState::Closed => {
                self.window.record_timed(now, outcome, slow, took);
                let judged = match outcome {
                    Outcome::Failure => true,
                    Outcome::Success => slow || self.config.semantics.judges_successes(),
                    Outcome::Ignored => false,
                };
                if judged && self.window.trips() {
                    return self.open(now);
                }
                None
            }
            BreakerState::HalfOpen => {
                self.probes.record_timed(now, outcome, slow, took);
                self.judge_probes(now)
            }
            BreakerState::MetricsOnly => {
                self.window.record_timed(now, outcome, slow, took);
                None
            }
            BreakerState::Disabled | BreakerState::Open | BreakerState::Isolated => None,
        }
    }

    /// Takes a ticket back whose call gave no result; its place is free again.
    pub fn release(&mut self, ticket: Ticket) {
        if self.settle(ticket) {
            self.abandoned = self.abandoned.saturating_add(1);
        }
    }

    /// Opens the circuit now, for the break that its settings give.
    pub fn trip(&mut self, now: Instant) -> Option<Transition> {
        self.open(now)
    }

    /// Lets an open circuit probe at once; other states stay and `None` is returned.
    pub fn probe_now(&mut self) -> Option<Transition> {
        match self.state {
            BreakerState::Open => self.enter(BreakerState::HalfOpen),
            _ => None,
        }
    }

    /// Closes the circuit and forgets all results.
    pub fn close(&mut self) -> Option<Transition> {
        self.reopened = 0;
        self.window.clear();
        self.probes.clear();
        self.enter(BreakerState::Closed)
    }

    /// Refuses every call until [`close`](Self::close).
    pub fn isolate(&mut self) -> Option<Transition> {
        self.enter(BreakerState::Isolated)
    }

    /// Admits every call and watches nothing, until [`close`](Self::close).
    pub fn disable(&mut self) -> Option<Transition> {
        self.enter(BreakerState::Disabled)
    }

    /// Admits every call and only counts results, until [`close`](Self::close).
    pub fn metrics_only(&mut self) -> Option<Transition> {
        self.enter(BreakerState::MetricsOnly)
    }

    /// Returns the state as it was stored: an open circuit whose break is over still says so.
    #[must_use]
    pub const fn state(&self) -> BreakerState {
        self.state
    }

    /// Returns the state that a call at `now` would meet.
    #[must_use]
    pub fn effective_state(&self, now: Instant) -> BreakerState {
        match self.state {
            BreakerState::Open if self.until.is_some_and(|until| now >= until) => BreakerState::HalfOpen,
            state => state,
        }
    }

    /// Returns what was seen and done; results that are out of the window at `now` are not in it.
    #[must_use]
    pub fn stats(&mut self, now: Instant) -> BreakerStats {
        if !self.judged_by_probes {
            self.window.expire(now);
        }
        let window = if self.judged_by_probes { &self.probes } else { &self.window };
        BreakerStats {
            state: self.state,
            window: window.counts(),
            failure_rate: window.failure_rate(),
            slow_rate: window.slow_share(),
            refused: self.refused,
            opened: self.opened,
            late_results: self.late,
            abandoned: self.abandoned,
            expired_probes: self.expired,
        }
    }

    /// Returns the number of state changes so far; a ticket is good for one generation.
    #[must_use]
    pub const fn generation(&self) -> u64 {
        self.generation
    }

    /// Takes successes in that were counted without the machine, at the time of their step.
    pub(super) fn add_successes(&mut self, at: Instant, count: u32) {
        if matches!(self.state, BreakerState::Closed | BreakerState::MetricsOnly) {
            self.window.record_successes(at, count);
        }
    }

    /// Says whether a success that is not slow only thins out the failures, so that the machine can be told later, and how.
    pub(super) const fn delays_successes(&self) -> Delay {
        let closed = matches!(self.state, BreakerState::Closed);
        let plain = !self.config.semantics.judges_successes() && !self.window.in_a_row();
        if closed && plain { self.window.delay() } else { Delay::No }
    }

    /// Returns until when an open circuit refuses; `None` in other states, and where that is beyond the clock.
    pub(super) const fn refuses_until(&self) -> Option<Instant> {
        match self.state {
            BreakerState::Open => self.until,
            _ => None,
        }
    }

    pub(super) const fn success_is_no_news(&self) -> bool {
        matches!(self.state, BreakerState::Disabled)
            || (matches!(self.state, BreakerState::Closed) && self.window.success_is_no_news())
    }

    fn admit_probe(&mut self, now: Instant) -> Option<u64> {
        let before = self.pending.len();
        self.pending.retain(|&(_, expires)| expires > now);
        let gone = before - self.pending.len();
        self.expired = self.expired.saturating_add(u64::try_from(gone).unwrap_or(0));
        let in_flight = u32::try_from(self.pending.len()).unwrap_or(u32::MAX);
        let permits = self.config.half_open.permits();
        // A sliding half-open window (k of n) needs results beyond the first n, but never more in flight.
        let known = match self.config.half_open {
            HalfOpen::Rate(_) => self.probes.counts().calls,
            HalfOpen::Successes { .. } => 0,
        };
        if known.saturating_add(in_flight) >= permits {
            return None;
        }
        let probe = self.next_probe;
        self.next_probe = self.next_probe.wrapping_add(1);
        self.pending.push((probe, self.expiry(now)));
        Some(probe)
    }

    /// A place that never expires would wedge the circuit, so an overflow of the clock expires at once.
    fn expiry(&self, now: Instant) -> Instant {
        now.checked_add(self.config.permit_ttl).unwrap_or(now)
    }

    /// Takes the ticket's place back; false if its generation is over or it expired.
    fn settle(&mut self, ticket: Ticket) -> bool {
        let current = ticket.generation == self.generation
            && match ticket.probe {
                None => true,
                Some(probe) => self
                    .pending
                    .iter()
                    .position(|&(held, _)| held == probe)
                    .map(|place| self.pending.swap_remove(place))
                    .is_some(),
            };
        if !current {
            self.late = self.late.saturating_add(1);
        }
        current
    }

    fn judge_probes(&mut self, now: Instant) -> Option<Transition> {
        let counts = self.probes.counts();
        match self.config.half_open {
            HalfOpen::Rate(permits) if self.config.semantics.waits_for_all_probes() => {
                if counts.calls < permits {
                    None
                } else if self.probes.trips() {
                    self.open(now)
                } else {
                    self.close()
                }
            }
            HalfOpen::Rate(permits) => {
                if self.probes_trip_whatever_follows(permits) {
                    self.open(now)
                } else if counts.calls >= permits {
                    self.close()
                } else {
                    None
                }
            }
            HalfOpen::Successes { needed, of } => {
                let successes = counts.calls.saturating_sub(counts.failures);
                if successes >= needed {
                    self.close()
                } else if counts.failures > of.saturating_sub(needed) {
                    self.open(now)
                } else {
                    None
                }
            }
        }
    }

    /// Says whether the probes that failed are too many even if all the others succeed.
    fn probes_trip_whatever_follows(&self, permits: u32) -> bool {
        let counts = self.probes.counts();
        let over = |part: u32, most: f64| {
            let share = f64::from(part) / f64::from(permits.max(1));
            if self.config.semantics.must_exceed() { share > most } else { share >= most }
        };
        let failed = match self.config.trip {
            super::TripRule::FailureRate(most) => over(counts.failures, most),
            // A rule of counts knows no share: one failed probe shows that the callee is not back.
            super::TripRule::Failures(_) | super::TripRule::Consecutive(_) => counts.failures > 0,
        };
        failed || self.config.slow_call_rate.is_some_and(|most| over(counts.slow, most))
    }

    fn open(&mut self, now: Instant) -> Option<Transition> {
        let growth = f64::from(self.reopened);
        let grown = self.config.open_for.as_secs_f64() * self.config.open_growth.powf(growth);
        let pause = Duration::try_from_secs_f64(grown).unwrap_or(Duration::MAX).min(self.config.open_max);
        let change = self.enter(BreakerState::Open);
        if change.is_some() {
            self.until = now.checked_add(pause);
            self.reopened = self.reopened.saturating_add(1);
            self.opened = self.opened.saturating_add(1);
        }
        change
    }

    fn enter(&mut self, to: BreakerState) -> Option<Transition> {
        let from = self.state;
        if from == to {
            return None;
        }
        self.state = to;
        self.generation = self.generation.wrapping_add(1);
        self.pending.clear();
        self.until = None;
        match to {
            BreakerState::HalfOpen => {
                self.probes.clear();
                self.judged_by_probes = true;
            }
            // What opened the circuit stays readable while it is open.
            BreakerState::Open => {}
            BreakerState::Closed | BreakerState::Isolated | BreakerState::Disabled | BreakerState::MetricsOnly => {
                self.window.clear();
                self.judged_by_probes = false;
            }
        }
        Some(Transition { from, to })
    }

    fn refuse(&mut self, now: Instant) -> Refused {
        self.refused = self.refused.saturating_add(1);
        let retry_after = match self.state {
            BreakerState::Open => self.until.map(|at| at.saturating_duration_since(now)),
            BreakerState::HalfOpen => {
                self.pending.iter().map(|&(_, expires)| expires.saturating_duration_since(now)).min()
            }
            _ => None,
        };
        Refused { state: self.state, retry_after }
    }
}

fn probes(config: &BreakerConfig) -> OutcomeWindow {
    let permits = config.half_open.permits();
    let minimum = if config.semantics.waits_for_all_probes() { permits.min(config.minimum_calls) } else { permits };
    OutcomeWindow::of_probes(config, permits, minimum)
}

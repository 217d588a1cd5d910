use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::breaker::handle::{CircuitBreaker, Listener};
use crate::breaker::state::Transition;
use crate::config::{ConfigError, count, positive, rate};

/// The settings of a circuit breaker.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
#[non_exhaustive]
pub struct BreakerConfig {
    /// The results that count; default the last 10 s in 10 buckets. Too short forgets a slow failure, too long
    /// keeps a circuit open for what is over.
    pub window: WindowKind,
    /// What opens the circuit; default half of the calls.
    pub trip: TripRule,
    /// No rate is judged below this many results in the window; 1 to 1,000,000, default 20. Too small opens on a
    /// single bad call, too large never opens at low traffic. A rule of counts does not need it.
    pub minimum_calls: u32,
    /// The share of slow calls that opens the circuit as well; above 0.0, at most 1.0, default none. It costs two
    /// clock reads per call.
    pub slow_call_rate: Option<f64>,
    /// From which duration a call is slow; default 5 s.
    pub slow_call: Duration,
    /// Whether the window also sums up how long its calls took; default not. It costs two readings of the clock a call and
    /// 16 bytes for each call of a count window.
    pub keep_durations: bool,
    /// How long an open circuit refuses calls; above zero, default 5 s. Too short hammers a callee that is down,
    /// too long refuses calls to one that is back.
    pub open_for: Duration,
    /// By what the break grows each time the circuit opens again without having closed; 1.0 to 100.0, default 2.0.
    pub open_growth: f64,
    /// No break is longer; default 60 s.
    pub open_max: Duration,
    /// How half-open decides; default 3 calls judged by the same rates.
    pub half_open: HalfOpen,
    /// When a probe that gave no result loses its place; above zero, default 30 s. Too short lets more probes
    /// through than wanted, too long lets a hung one delay the return.
    pub permit_ttl: Duration,
    /// What an admitted call counts that was dropped before its deadline; default nothing.
    pub abandoned: Abandoned,
    /// Whose manners are followed where breakers of other platforms disagree; default ours.
    pub semantics: Semantics,
}

/// Which results a breaker counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum WindowKind {
    /// The last so many results; 1 to 1,000,000, two bits each.
    Count(u32),
    /// The results of a span of time, in 1 to 64 buckets of 16 bytes.
    Time {
        /// The span.
        period: Duration,
        /// How many buckets it is cut into; more forget more smoothly.
        buckets: u32,
    },
}

/// What opens a circuit.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum TripRule {
    /// This share of the results in the window; above 0.0, at most 1.0.
    FailureRate(f64),
    /// This many failures in the window, however many results are in it.
    Failures(u32),
    /// This many failures in a row. No window is kept.
    Consecutive(u32),
}

/// How a half-open circuit decides.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum HalfOpen {
    /// Admits this many calls and judges them by the breaker's rates (by any failure, if it counts failures);
    /// 1 to 10,000.
    Rate(u32),
    /// Closes after `needed` successes among the last `of` results, opens once that is out of reach.
    Successes {
        /// How many successes close the circuit.
        needed: u32,
        /// Among how many results.
        of: u32,
    },
}

impl HalfOpen {
    pub(super) const fn permits(self) -> u32 {
        match self {
            Self::Rate(permits) => permits,
            Self::Successes { of, .. } => of,
        }
    }
}

/// What an admitted call counts that is dropped without a result.
///
/// A call that a deadline of the pipeline dropped is always a failure: the breaker knows the deadline, and a
/// callee that hangs must open the circuit. This setting is for the others, whose caller went away.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Abandoned {
    /// Nothing: its place is given back.
    #[default]
    Ignore,
    /// A failure.
    Failure,
}

/// Whose manners a breaker follows where platforms disagree.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Semantics {
    /// Ours: rates are inclusive and judged on failures and slow calls only, buckets lie on a fixed grid,
    /// half-open decides as soon as its outcome is certain.
    #[default]
    Standard,
    /// Polly's: as ours, but buckets begin with the event that opens them.
    Polly,
    /// resilience4j's: rates are judged on every result, half-open waits for all of its calls.
    Resilience4j,
    /// Failsafe's: judged on every result.
    Failsafe,
    /// Cockatiel's: a rate must be exceeded, not just reached.
    Cockatiel,
}

impl Semantics {
    pub(super) const fn judges_successes(self) -> bool {
        matches!(self, Self::Resilience4j | Self::Failsafe)
    }

    pub(super) const fn must_exceed(self) -> bool {
        matches!(self, Self::Cockatiel)
    }

    pub(super) const fn waits_for_all_probes(self) -> bool {
        matches!(self, Self::Resilience4j)
    }

    pub(super) const fn opens_buckets_lazily(self) -> bool {
        matches!(self, Self::Polly)
    }
}

impl Default for BreakerConfig {
    fn default() -> Self {
        Self {
            window: WindowKind::Time { period: Duration::from_secs(10), buckets: 10 },
            trip: TripRule::FailureRate(0.5),
            minimum_calls: 20,
            slow_call_rate: None,
            slow_call: Duration::from_secs(5),
            keep_durations: false,
            open_for: Duration::from_secs(5),
            open_growth: 2.0,
            open_max: Duration::from_mins(1),
            half_open: HalfOpen::Rate(3),
            permit_ttl: Duration::from_secs(30),
            abandoned: Abandoned::default(),
            semantics: Semantics::default(),
        }
    }
}

const MILLION: u32 = 1_000_000;
const CALLS: &str = "1 to 1000000 calls";

impl BreakerConfig {
    /// Checks every setting and their agreement.
    ///
    /// # Errors
    /// Returns a [`ConfigError`] naming the first setting that cannot be used.
    pub fn validate(&self) -> Result<(), ConfigError> {
        let mut most_in_window = MILLION;
        match self.window {
            WindowKind::Count(calls) => {
                count("breaker.window.count", calls, MILLION, CALLS)?;
                most_in_window = calls;
            }
            WindowKind::Time { period, buckets } => {
                positive("breaker.window.period", period)?;
                count("breaker.window.buckets", buckets, 64, "1 to 64 buckets")?;
                if (period / buckets).is_zero() {
                    return Err(ConfigError::new(
                        "breaker.window.period",
                        format_args!("{period:?}"),
                        "at least a nanosecond per bucket",
                    ));
                }
            }
        }
        match self.trip {
            TripRule::FailureRate(share) => {
                rate("breaker.trip.failure_rate", share)?;
                if self.semantics.must_exceed() && share >= 1.0 {
                    return Err(ConfigError::new(
                        "breaker.trip.failure_rate",
                        share,
                        "below 1.0, which cannot be exceeded",
                    ));
                }
                count(
                    "breaker.minimum_calls",
                    self.minimum_calls,
                    most_in_window,
                    "at least 1 and no more than the window holds",
                )?;
            }
            TripRule::Failures(failures) => count(
                "breaker.trip.failures",
                failures,
                most_in_window,
                "at least 1 and no more than the window holds",
            )?,
            TripRule::Consecutive(failures) => {
                count("breaker.trip.consecutive", failures, MILLION, CALLS)?;
            }
        }
        if let Some(share) = self.slow_call_rate {
            rate("breaker.slow_call_rate", share)?;
            positive("breaker.slow_call", self.slow_call)?;
        }
        positive("breaker.open_for", self.open_for)?;
        positive("breaker.permit_ttl", self.permit_ttl)?;
        if !(1.0..=100.0).contains(&self.open_growth) {
            return Err(ConfigError::new("breaker.open_growth", self.open_growth, "1.0 to 100.0"));
        }
        if self.open_max < self.open_for {
            return Err(ConfigError::new("breaker.open_max", format_args!("{:?}", self.open_max), "at least open_for"));
        }
        positive("breaker.open_max", self.open_max)?;
        let permits = self.half_open.permits();
        count("breaker.half_open", permits, 10_000, "1 to 10000 calls")?;
        if let HalfOpen::Successes { needed, of } = self.half_open {
            count("breaker.half_open.needed", needed, of, "at least 1 and no more than `of`")?;
        }
        Ok(())
    }

    /// Says whether it matters how long a call took, so that its admission needs to know the time.
    pub(super) const fn times_calls(&self) -> bool {
        self.slow_call_rate.is_some() || self.keep_durations
    }

    /// Says whether results are judged by the clock, so that each of them needs to know the time.
    pub(super) const fn needs_time(&self) -> bool {
        self.times_calls()
            || (matches!(self.window, WindowKind::Time { .. }) && !matches!(self.trip, TripRule::Consecutive(_)))
    }
}

/// Sets up a [`CircuitBreaker`].
#[must_use = "a builder does nothing until `build`"]
pub struct BreakerBuilder {
    name: Arc<str>,
    config: BreakerConfig,
    listeners: Vec<Listener>,
}

impl BreakerBuilder {
    pub(super) fn new(name: Arc<str>) -> Self {
        Self { name, config: BreakerConfig::default(), listeners: Vec::new() }
    }

    /// Replaces all settings.
    pub fn config(mut self, config: BreakerConfig) -> Self {
        self.config = config;
        self
    }

    /// Counts the last `calls` results.
    pub fn count_window(mut self, calls: u32) -> Self {
        self.config.window = WindowKind::Count(calls);
        self
    }

    /// Counts the results of the last `period`, in 10 buckets.
    pub fn time_window(mut self, period: Duration) -> Self {
        self.config.window = WindowKind::Time { period, buckets: 10 };
        self
    }

    /// Opens at this share of failures.
    pub fn failure_rate(mut self, share: f64) -> Self {
        self.config.trip = TripRule::FailureRate(share);
        self
    }

    /// Opens at this many failures in the window.
    pub fn failures(mut self, failures: u32) -> Self {
        self.config.trip = TripRule::Failures(failures);
        self
    }

    /// Opens at this many failures in a row.
    pub fn consecutive_failures(mut self, failures: u32) -> Self {
        self.config.trip = TripRule::Consecutive(failures);
        self
    }

    /// Judges no rate below this many results.
    pub fn minimum_calls(mut self, calls: u32) -> Self {
        self.config.minimum_calls = calls;
        self
    }

    /// Sums up how long the calls in the window took, for [`BreakerStats`](crate::BreakerStats).
    pub fn keep_durations(mut self, keep: bool) -> Self {
        self.config.keep_durations = keep;
        self
    }

    /// Opens also when this share of the calls takes `slow` or longer.
    pub fn slow_calls(mut self, slow: Duration, share: f64) -> Self {
        self.config.slow_call = slow;
        self.config.slow_call_rate = Some(share);
        self
    }

    /// Refuses calls for this long once open; a maximum below it is raised.
    pub fn open_for(mut self, open: Duration) -> Self {
        self.config.open_for = open;
        self.config.open_max = self.config.open_max.max(open);
        self
    }

    /// Lets the break grow by `factor` up to `max` while the callee stays down.
    pub fn open_growth(mut self, factor: f64, max: Duration) -> Self {
        self.config.open_growth = factor;
        self.config.open_max = max;
        self
    }

    /// Sets how half-open decides.
    pub fn half_open(mut self, half_open: HalfOpen) -> Self {
        self.config.half_open = half_open;
        self
    }

    /// Takes the place from a probe that gave no result for this long.
    pub fn permit_ttl(mut self, ttl: Duration) -> Self {
        self.config.permit_ttl = ttl;
        self
    }

    /// Sets what a dropped call counts.
    pub fn abandoned(mut self, abandoned: Abandoned) -> Self {
        self.config.abandoned = abandoned;
        self
    }

    /// Follows another platform's manners.
    pub fn semantics(mut self, semantics: Semantics) -> Self {
        self.config.semantics = semantics;
        self
    }

    /// Calls `hear` at each change of state, outside of every lock.
    ///
    /// A panic of `hear` is caught and logged.
    pub fn on_transition(mut self, hear: impl Fn(Transition) + Send + Sync + 'static) -> Self {
        self.listeners.push(Box::new(hear));
        self
    }

    /// Builds the breaker, closed.
    ///
    /// # Errors
    /// Returns a [`ConfigError`] naming the first setting that cannot be used.
    pub fn build(self) -> Result<CircuitBreaker, ConfigError> {
        self.config.validate()?;
        Ok(CircuitBreaker::assemble(self.name, self.config, self.listeners))
    }
}

impl std::fmt::Debug for BreakerBuilder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("BreakerBuilder")
            .field("name", &self.name)
            .field("config", &self.config)
            .field("listeners", &self.listeners.len())
            .finish()
    }
}

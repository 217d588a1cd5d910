use serde::{Deserialize, Serialize};

use super::algorithm::{Sample, bounds, share, whole};
use crate::config::{ConfigError, count};

/// The settings of the gradient rule, in the spirit of Netflix's `Gradient2Limit`.
///
/// The limit follows the ratio of the time that a call takes without a queue (the baseline) to the time it takes now. The
/// calls of about one round trip are judged together: one slow call is no overload. As long as they take what they take
/// without a queue, the limit grows; when they take longer, it shrinks in proportion and leaves room for a small queue.
///
/// The baseline is measured, not assumed: every `probe_every` round trips the limit is halved for one of them, so that the
/// callee's queue drains and what is left is the time of the work itself. So a long incident does not become the norm
/// (failsafe-go #127), and a callee that became slower for good is recognized as such.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
#[non_exhaustive]
pub struct Gradient2 {
    /// The least limit; default 4.
    pub min: u32,
    /// The limit to begin with; default 20.
    pub initial: u32,
    /// The greatest limit; default 1,000.
    pub max: u32,
    /// How many calls may wait in the callee's queue; default 2.
    pub queue: u32,
    /// How many times the baseline the calls of a round trip may take on average before the limit shrinks, at most; 1.0 to
    /// 10.0, default 1.5. Where calls all take about the same time, much less is tolerated: two standard errors.
    pub tolerance: f64,
    /// How much of each decrease takes effect; above 0.0 and at most 1.0, default 0.5.
    pub smoothing: f64,
    /// How many calls are judged together at least, the limit if that is more; 1 to 1,000,000, default 10.
    pub window: u32,
    /// After how many round trips at the limit the baseline is measured again; 2 to 1,000,000, default 60. Each
    /// measurement costs half of the throughput for one round trip.
    pub probe_every: u32,
}

impl Default for Gradient2 {
    fn default() -> Self {
        Self { min: 4, initial: 20, max: 1_000, queue: 2, tolerance: 1.5, smoothing: 0.5, window: 10, probe_every: 60 }
    }
}

impl Gradient2 {
    pub(super) fn check(&self) -> Result<(), ConfigError> {
        bounds("limit.gradient2", self.min, self.initial, self.max)?;
        count("limit.window", self.window, 1_000_000, "1 to 1,000,000")?;
        if !(2..=1_000_000).contains(&self.probe_every) {
            return Err(ConfigError::new("limit.probe_every", self.probe_every, "2 to 1,000,000"));
        }
        if !(1.0..=10.0).contains(&self.tolerance) {
            return Err(ConfigError::new("limit.tolerance", self.tolerance, "1.0 to 10.0"));
        }
        share("limit.smoothing", self.smoothing, 0.0)
    }
}

#[derive(Debug, Clone)]
pub(super) struct GradientState {
    config: Gradient2,
    limit: f64,
    /// How long a call takes without a queue, in seconds, and how many windows told so.
    baseline: f64,
    known: u32,
    window: Window,
    since_probe: u32,
    /// For how many windows on end nobody has waited in the callee's queue.
    without_queue: u32,
    /// The limit to return to, while the baseline is being measured.
    probing: Option<f64>,
    /// So many calls are still to come that began under a greater limit, and tell of that. They are counted, not told by
    /// when they began: of the calls that began after an instant, the short ones are the first to end.
    skip: u32,
}

/// So many windows without a queue say that the edge is far.
const NEAR: u32 = 2;

/// The calls of about one round trip.
#[derive(Debug, Clone, Copy, Default)]
struct Window {
    answered: u32,
    dropped: u32,
    sum: f64,
    squares: f64,
    in_flight: u32,
}

impl Window {
    fn calls(&self) -> u32 {
        self.answered.saturating_add(self.dropped)
    }

    fn mean(&self) -> f64 {
        self.sum / f64::from(self.answered.max(1))
    }

    /// The standard error of the mean as a share of it.
    fn error(&self) -> f64 {
        let n = f64::from(self.answered.max(1));
        let mean = self.mean();
        let variance = (self.squares / n - mean * mean).max(0.0);
        (variance / n).sqrt() / mean.max(1e-12)
    }
}

impl GradientState {
    pub(super) fn new(config: Gradient2) -> Self {
        Self {
            config,
            limit: f64::from(config.initial),
            baseline: 0.0,
            known: 0,
            window: Window::default(),
            since_probe: config.probe_every / 4 * 3,
            without_queue: NEAR,
            probing: None,
            // Of the first calls, too, the short ones are the first to end.
            skip: config.initial,
        }
    }

    pub(super) fn limit(&self) -> f64 {
        match self.probing {
            Some(limit) => (limit / 2.0).max(self.least()),
            None => self.limit,
        }
    }

    pub(super) fn update(&mut self, sample: Sample) {
        if self.skip > 0 {
            self.skip -= 1;
            return;
        }
        let enough = f64::from(self.config.window).max(self.limit());
        let window = &mut self.window;
        window.in_flight = window.in_flight.max(sample.in_flight);
        if sample.dropped {
            window.dropped = window.dropped.saturating_add(1);
        } else {
            let rtt = sample.rtt.as_secs_f64().max(1e-9);
            window.answered = window.answered.saturating_add(1);
            window.sum += rtt;
            window.squares += rtt * rtt;
        }
        let full = f64::from(window.calls()) >= enough;
        // A callee that answers nothing is not waited for until a window is full.
        if full || window.dropped >= self.config.window {
            let window = std::mem::take(&mut self.window);
            self.decide(window);
        }
    }

    fn decide(&mut self, window: Window) {
        if window.dropped > 0 {
            let answered = f64::from(window.answered) / f64::from(window.calls().max(1));
            self.probing = None;
            self.set(self.limit * answered.max(0.5));
            return;
        }
        let (mean, error) = (window.mean(), window.error());
        if let Some(limit) = self.probing.take() {
            self.learn(mean, 0.3);
            self.set(limit);
            return;
        }
        if self.known < 2 || self.limit <= self.least() {
            // At the least limit it is not our calls that make one another wait.
            self.learn(mean, 0.2);
        }
        if f64::from(window.in_flight) < self.limit / 2.0 {
            // An idle caller learns nothing about the edge, but sees the time without a queue.
            self.learn(mean, 0.2);
            return;
        }
        let tolerance = 1.0 + (2.0 * error).clamp(0.01, (self.config.tolerance - 1.0).max(0.01));
        let gradient = (tolerance * self.baseline / mean).clamp(0.5, 1.0);
        let queue = f64::from(self.config.queue);
        let next = if gradient < 1.0 {
            self.without_queue = 0;
            let wanted = self.limit * gradient + queue;
            // What is clearly too much is cut faster.
            self.limit + self.config.smoothing.max(1.0 - gradient) * (wanted - self.limit)
        } else {
            self.without_queue = self.without_queue.saturating_add(1);
            // Fast while the edge is far, by what fits into the queue once it is near.
            let near = self.without_queue <= NEAR;
            self.limit + if near { queue } else { queue.max(self.limit.sqrt()) }
        };
        self.set(next);
        self.since_probe = self.since_probe.saturating_add(1);
        if self.since_probe >= self.config.probe_every {
            self.since_probe = 0;
            self.skip = whole(self.limit);
            self.probing = Some(self.limit);
        }
    }

    fn learn(&mut self, mean: f64, weight: f64) {
        self.known = self.known.saturating_add(1);
        // The first two count as much as one another.
        let weight = if self.known <= 2 { 1.0 / f64::from(self.known) } else { weight };
        self.baseline += weight * (mean - self.baseline);
    }

    fn set(&mut self, limit: f64) {
        let before = self.limit();
        self.limit = limit.min(f64::from(self.config.max)).max(self.least());
        if self.limit < before {
            self.skip = whole(before);
        }
    }

    fn least(&self) -> f64 {
        f64::from(self.config.min.max(1))
    }
}

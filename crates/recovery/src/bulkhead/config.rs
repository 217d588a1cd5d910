use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::config::{ConfigError, count, positive};
use crate::limit::LimitConfig;

/// The settings of a [`Bulkhead`](crate::Bulkhead).
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
#[non_exhaustive]
pub struct BulkheadConfig {
    /// How many calls may run at once; default 25.
    pub places: Places,
    /// How many calls may wait for a place; 0 to 1,000,000, default 0: whoever finds no place is refused. A long line
    /// turns an overload into long waits for everybody.
    pub queue: u32,
    /// How long a call waits at most; above zero, default 1 s. The call's own deadline counts as well.
    pub max_wait: Duration,
    /// Who is next.
    pub discipline: Discipline,
}

/// How many calls may run at once.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Places {
    /// So many; 1 to 1,000,000.
    Fixed(u32),
    /// As many as the callee turns out to bear.
    Adaptive(LimitConfig),
}

/// Who of those who wait is next. Higher priorities always come before lower ones.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Discipline {
    /// Who has waited longest.
    #[default]
    Fifo,
    /// Who came last, as long as the line has not been empty for `interval`; those who then wait longer than `target` are
    /// refused. Under a lasting overload the oldest callers have given up anyway, and serving them helps nobody
    /// ("Fail at Scale", ACM Queue 2015: adaptive LIFO with controlled delay).
    AdaptiveLifo {
        /// The wait that is accepted in an overload; above zero.
        target: Duration,
        /// How long the line must not have been empty for an overload; above zero.
        interval: Duration,
    },
}

impl Discipline {
    /// Adaptive LIFO with a target of 5 ms and an interval of 100 ms.
    #[must_use]
    pub const fn adaptive_lifo() -> Self {
        Self::AdaptiveLifo { target: Duration::from_millis(5), interval: Duration::from_millis(100) }
    }
}

impl Default for BulkheadConfig {
    fn default() -> Self {
        Self { places: Places::Fixed(25), queue: 0, max_wait: Duration::from_secs(1), discipline: Discipline::Fifo }
    }
}

impl BulkheadConfig {
    /// Lets `places` calls run at once.
    #[must_use]
    pub fn fixed(places: u32) -> Self {
        Self { places: Places::Fixed(places), ..Self::default() }
    }

    /// Lets as many calls run at once as `rule` finds.
    #[must_use]
    pub fn adaptive(rule: LimitConfig) -> Self {
        Self { places: Places::Adaptive(rule), ..Self::default() }
    }

    /// Lets `calls` wait for a place, for up to `max_wait` each.
    #[must_use]
    pub const fn queue(mut self, calls: u32, max_wait: Duration) -> Self {
        self.queue = calls;
        self.max_wait = max_wait;
        self
    }

    /// Sets who is next.
    #[must_use]
    pub const fn discipline(mut self, discipline: Discipline) -> Self {
        self.discipline = discipline;
        self
    }

    pub(super) fn check(&self) -> Result<(), ConfigError> {
        match self.places {
            Places::Fixed(places) => count("bulkhead.places", places, 1_000_000, "1 to 1,000,000")?,
            Places::Adaptive(rule) => rule.check()?,
        }
        if self.queue > 1_000_000 {
            return Err(ConfigError::new("bulkhead.queue", self.queue, "at most 1,000,000"));
        }
        if let Discipline::AdaptiveLifo { target, interval } = self.discipline {
            positive("bulkhead.discipline.target", target)?;
            positive("bulkhead.discipline.interval", interval)?;
        }
        positive("bulkhead.max_wait", self.max_wait)
    }
}

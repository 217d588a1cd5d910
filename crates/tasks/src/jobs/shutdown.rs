use std::time::Duration;

use serde::{Deserialize, Serialize};

/// How long a shutdown waits, and for what.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct Drain {
    /// For jobs that run to come to their own end; default 30 s.
    pub soft: Duration,
    /// For jobs that were then told to stop, and for the store to take the last ends; default 5 s.
    pub hard: Duration,
}

impl Default for Drain {
    fn default() -> Self {
        Self { soft: Duration::from_secs(30), hard: Duration::from_secs(5) }
    }
}

impl Drain {
    /// Lets jobs that run go on for so long.
    #[must_use]
    pub fn soft(time: Duration) -> Self {
        Self { soft: time, ..Self::default() }
    }

    /// Gives those that were then told to stop so much time.
    #[must_use]
    pub const fn then_hard(mut self, time: Duration) -> Self {
        self.hard = time;
        self
    }
}

/// What became of the jobs that ran when a shutdown began.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct DrainReport {
    /// Jobs that ran when it began.
    pub running: usize,
    /// Those that had to be told to stop.
    pub told: usize,
    /// Those whose code was still running at the end; others take them once their lease is over.
    pub abandoned: usize,
    /// Ends that the store has not taken; their jobs run again once their lease is over.
    pub unsettled: u64,
    /// How long it took.
    pub took: Duration,
}

impl DrainReport {
    /// Says whether every job came to its own end and the store knows of it.
    #[must_use]
    pub const fn is_clean(&self) -> bool {
        self.told == 0 && self.abandoned == 0 && self.unsettled == 0
    }
}

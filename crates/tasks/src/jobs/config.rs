use std::borrow::Cow;
use std::num::NonZero;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::config::{ConfigError, LONGEST};
use crate::store::Rate;

/// The settings of a [`Jobs`](crate::Jobs).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
#[non_exhaustive]
pub struct JobsConfig {
    /// How many jobs run at a time in this process; 0 to 10,000, default 20, zero only submits and waits. Too few leave
    /// the machine idle while jobs wait for others, too many press on what they share.
    pub workers: u32,
    /// How many threads [`JobContext::blocking`](crate::JobContext::blocking) uses at a time; 1 to 500, default the
    /// number of processors but at least 2.
    pub blocking_threads: u32,
    /// How long a job belongs to a worker without a sign of life; 1 s to 1 hour, default 10 s. With the sweep it bounds
    /// how long the jobs of a killed process lie. Too short loses leases to a pause of the machine, too long delays
    /// the rescue.
    pub lease: Duration,
    /// How often leases that are over are looked for; 100 ms to 1 hour, default 2 s. Too often is load for the store.
    pub sweep: Duration,
    /// How long the store is asked to wait for a job; 50 ms to 1 minute, default 1 s: how late a job may be picked up if
    /// every wake-up is lost, and how long a shutdown waits for the last claim.
    pub poll: Duration,
    /// How long ends of jobs are gathered while others run, so that a durable store writes many at once; at most 1 s,
    /// default 4 ms. What a crash within that time costs is a second run.
    pub linger: Duration,
    /// How long a job that was told to stop may go on until its future is dropped; at most 1 hour, default 5 s.
    pub grace: Duration,
    /// How long after that a job whose thread does not come back is called stuck; at most 1 hour, default 10 s.
    pub stuck_after: Duration,
    /// How often a job's progress is passed on at most; 10 ms to 1 minute, default 250 ms.
    pub progress: Duration,
}

impl Default for JobsConfig {
    fn default() -> Self {
        let processors = std::thread::available_parallelism().map_or(2, NonZero::get);
        Self {
            workers: 20,
            blocking_threads: u32::try_from(processors).unwrap_or(2).clamp(2, 500),
            lease: Duration::from_secs(10),
            sweep: Duration::from_secs(2),
            poll: Duration::from_secs(1),
            linger: Duration::from_millis(4),
            grace: Duration::from_secs(5),
            stuck_after: Duration::from_secs(10),
            progress: Duration::from_millis(250),
        }
    }
}

impl JobsConfig {
    pub(crate) fn validate(&self) -> Result<(), ConfigError> {
        let number = |field, value: u32, range: std::ops::RangeInclusive<u32>, expected| {
            if range.contains(&value) { Ok(()) } else { Err(ConfigError::new(field, value, expected)) }
        };
        number("workers", self.workers, 0..=10_000, "0 to 10,000")?;
        number("blocking_threads", self.blocking_threads, 1..=500, "1 to 500")?;
        let hour = Duration::from_hours(1);
        let minute = Duration::from_mins(1);
        let millis = Duration::from_millis;
        for (field, value, least, most, expected) in [
            ("lease", self.lease, millis(1_000), hour, "1 s to 1 hour"),
            ("sweep", self.sweep, millis(100), hour, "100 ms to 1 hour"),
            ("poll", self.poll, millis(50), minute, "50 ms to 1 minute"),
            ("linger", self.linger, Duration::ZERO, millis(1_000), "at most 1 s"),
            ("grace", self.grace, Duration::ZERO, hour, "at most 1 hour"),
            ("stuck_after", self.stuck_after, Duration::ZERO, hour.min(LONGEST), "at most 1 hour"),
            ("progress", self.progress, millis(10), minute, "10 ms to 1 minute"),
        ] {
            if value < least || value > most {
                return Err(ConfigError::new(field, format_args!("{value:?}"), expected));
            }
        }
        Ok(())
    }
}

/// How a queue is worked on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct QueueOptions {
    /// The queue's name, 1 to 255 bytes without control characters.
    pub name: Cow<'static, str>,
    /// How many of it run at a time over all processes; `None` for any number.
    pub concurrency: Option<u32>,
    /// How many of it start per time over all processes; `None` for any number.
    pub rate: Option<Rate>,
}

impl QueueOptions {
    /// Works on the queue of this name without limits.
    #[must_use]
    pub fn new(name: impl Into<Cow<'static, str>>) -> Self {
        Self { name: name.into(), concurrency: None, rate: None }
    }

    /// Lets at most so many run at a time, over all processes.
    #[must_use]
    pub const fn concurrency(mut self, jobs: u32) -> Self {
        self.concurrency = Some(jobs);
        self
    }

    /// Lets at most so many start per time, over all processes.
    #[must_use]
    pub const fn rate(mut self, starts: u32, per: Duration) -> Self {
        self.rate = Some(Rate::new(starts, per));
        self
    }
}

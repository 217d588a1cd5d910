use std::fmt::Display;
use std::num::NonZero;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::observer::Observer;
use crate::pool::TaskPool;

/// The settings of a pool.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
#[non_exhaustive]
pub struct PoolConfig {
    /// How many tasks run at a time; 1 to 10,000, default 20. A worker costs one small tokio task. Too few leave
    /// the machine idle while tasks wait for others, too many press on what the tasks share.
    pub workers: u32,
    /// How many tasks may wait; 1 to 1,000,000, default 1,024. Too short refuses bursts, too long makes those at
    /// its end wait for what nobody wants any more.
    pub queue: u32,
    /// How long a task may run that says nothing else; above zero, at most 366 days, default 5 minutes; `None` lets it
    /// run for ever, and hold its worker.
    pub default_timeout: Option<Duration>,
    /// How many blocking tasks run at a time; 1 to 500, default the number of processors but at least 2. Each
    /// has a thread. More than processors help only work that waits.
    pub blocking_threads: u32,
    /// How long a task waits until it is raised by one priority; at most 366 days, default 30 s, zero means never.
    /// Too short makes priorities meaningless, too long starves the low ones under load.
    pub age_after: Duration,
    /// How long a worker waits for a blocking task that was cancelled or is out of time, and a shutdown for tasks
    /// that it cut off; at most 366 days, default 5 s. Too short counts as stuck what only cleans up, too long keeps
    /// workers from others.
    pub stuck_after: Duration,
}

impl Default for PoolConfig {
    fn default() -> Self {
        let processors = std::thread::available_parallelism().map_or(2, NonZero::get);
        Self {
            workers: 20,
            queue: 1_024,
            default_timeout: Some(Duration::from_mins(5)),
            blocking_threads: u32::try_from(processors).unwrap_or(2).clamp(2, 500),
            age_after: Duration::from_secs(30),
            stuck_after: Duration::from_secs(5),
        }
    }
}

/// The longest time any setting accepts.
pub(crate) const LONGEST: Duration = Duration::from_hours(366 * 24);

impl PoolConfig {
    fn validate(&self) -> Result<(), ConfigError> {
        let whole = |field, value: u32, most: u32, expected| {
            if (1..=most).contains(&value) { Ok(()) } else { Err(ConfigError::new(field, value, expected)) }
        };
        whole("pool.workers", self.workers, 10_000, "1 to 10000")?;
        whole("pool.queue", self.queue, 1_000_000, "1 to 1000000")?;
        let threads = self.blocking_threads;
        whole("pool.blocking_threads", threads, 500, "1 to 500")?;
        if let Some(limit) = self.default_timeout
            && (limit.is_zero() || limit > LONGEST)
        {
            return Err(ConfigError::new(
                "pool.default_timeout",
                format_args!("{limit:?}"),
                "more than zero and at most 366 days",
            ));
        }
        for (field, time) in [("pool.age_after", self.age_after), ("pool.stuck_after", self.stuck_after)] {
            if time > LONGEST {
                let value = format_args!("{time:?}");
                return Err(ConfigError::new(field, value, "at most 366 days"));
            }
        }
        Ok(())
    }
}

/// A setting that cannot be used, named with its value and what is expected instead.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{field} is {value}, expected {expected}")]
#[non_exhaustive]
pub struct ConfigError {
    /// The setting, as the builder and the configuration name it.
    pub field: &'static str,
    /// The value that was given.
    pub value: String,
    /// What would be accepted.
    pub expected: &'static str,
}

impl ConfigError {
    pub(crate) fn new(field: &'static str, value: impl Display, expected: &'static str) -> Self {
        Self { field, value: value.to_string(), expected }
    }
}

/// Sets up a [`TaskPool`].
#[must_use = "a builder does nothing until `build`"]
pub struct PoolBuilder {
    name: Arc<str>,
    config: PoolConfig,
    observer: Option<Arc<dyn Observer>>,
}

impl PoolBuilder {
    pub(crate) fn new(name: Arc<str>) -> Self {
        Self { name, config: PoolConfig::default(), observer: None }
    }

    /// Replaces all settings.
    pub fn config(mut self, config: PoolConfig) -> Self {
        self.config = config;
        self
    }

    /// Runs this many tasks at a time.
    pub fn workers(mut self, workers: u32) -> Self {
        self.config.workers = workers;
        self
    }

    /// Lets this many tasks wait.
    pub fn queue(mut self, tasks: u32) -> Self {
        self.config.queue = tasks;
        self
    }

    /// Lets a task run this long unless it says otherwise.
    pub fn default_timeout(mut self, limit: Duration) -> Self {
        self.config.default_timeout = Some(limit);
        self
    }

    /// Runs this many blocking tasks at a time.
    pub fn blocking_threads(mut self, threads: u32) -> Self {
        self.config.blocking_threads = threads;
        self
    }

    /// Raises a waiting task by one priority each time it has waited this long.
    pub fn age_after(mut self, age: Duration) -> Self {
        self.config.age_after = age;
        self
    }

    /// Counts a blocking task as stuck this long after its end was asked for.
    pub fn stuck_after(mut self, grace: Duration) -> Self {
        self.config.stuck_after = grace;
        self
    }

    /// Tells `observer` what happens to tasks.
    pub fn observer(mut self, observer: impl Observer + 'static) -> Self {
        self.observer = Some(Arc::new(observer));
        self
    }

    /// Starts the pool on the present tokio runtime.
    ///
    /// # Errors
    /// Returns a [`ConfigError`] naming the first setting that cannot be used; the field `runtime` means that there
    /// is no tokio runtime here.
    pub fn build(self) -> Result<TaskPool, ConfigError> {
        self.config.validate()?;
        let Ok(runtime) = tokio::runtime::Handle::try_current() else {
            return Err(ConfigError::new("runtime", "none", "a tokio runtime"));
        };
        Ok(TaskPool::start(self.name, self.config, self.observer, &runtime))
    }
}

impl std::fmt::Debug for PoolBuilder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PoolBuilder").field("name", &self.name).field("config", &self.config).finish_non_exhaustive()
    }
}

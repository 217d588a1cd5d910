use std::borrow::Cow;
use std::time::Duration;

use bedplate_recovery::{Backoff, Jitter};

use crate::queue::Priority;
use crate::store::{Retention, UniqueScope};

/// How the jobs of one kind are treated; each submission may say otherwise.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct JobOptions {
    /// In which queue they wait; default `default`. A worker that registers the kind and names no queues serves this one,
    /// one that [names some](crate::JobsBuilder::queue) must name it too.
    pub queue: Cow<'static, str>,
    /// How soon they get a worker; default normal.
    pub priority: Priority,
    /// How many times one may be started, crashes included; 1 to 1,000,000, default 25: with the default backoff that
    /// spans half a day. Too few give up in an outage, too many retry what never works.
    pub max_attempts: u32,
    /// How long to wait between attempts; default 1 s doubled each time up to an hour, give or take 20 %.
    pub backoff: Backoff,
    /// How long one attempt may take; default 5 minutes, `None` for ever. Too short cuts off honest work, too long
    /// lets what hangs hold a worker.
    pub timeout: Option<Duration>,
    /// How long an ended one is remembered.
    pub retention: Retention,
    /// How large arguments may be, in bytes of JSON; default 256 KiB.
    pub max_payload: usize,
    /// How large a result may be, in bytes of JSON; default 1 MiB. What is larger belongs into a store of files.
    pub max_output: usize,
    /// Whether two with the same arguments are duplicates: in which states of the first, and for how long.
    pub unique: Option<(UniqueScope, Option<Duration>)>,
}

impl Default for JobOptions {
    fn default() -> Self {
        Self {
            queue: Cow::Borrowed("default"),
            priority: Priority::Normal,
            max_attempts: 25,
            backoff: Backoff::exponential(Duration::from_secs(1))
                .max(Duration::from_hours(1))
                .jitter(Jitter::Spread(0.2)),
            timeout: Some(Duration::from_mins(5)),
            retention: Retention::default(),
            max_payload: 256 * 1_024,
            max_output: 1_024 * 1_024,
            unique: None,
        }
    }
}

impl JobOptions {
    /// Returns the defaults.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets the queue.
    #[must_use]
    pub fn queue(mut self, queue: impl Into<Cow<'static, str>>) -> Self {
        self.queue = queue.into();
        self
    }

    /// Sets the priority.
    #[must_use]
    pub const fn priority(mut self, priority: Priority) -> Self {
        self.priority = priority;
        self
    }

    /// Sets how many times one may be started.
    #[must_use]
    pub const fn max_attempts(mut self, attempts: u32) -> Self {
        self.max_attempts = attempts;
        self
    }

    /// Sets how long to wait between attempts.
    #[must_use]
    pub const fn backoff(mut self, backoff: Backoff) -> Self {
        self.backoff = backoff;
        self
    }

    /// Sets how long one attempt may take.
    #[must_use]
    pub const fn timeout(mut self, limit: Duration) -> Self {
        self.timeout = Some(limit);
        self
    }

    /// Lets an attempt take as long as it likes.
    #[must_use]
    pub const fn no_timeout(mut self) -> Self {
        self.timeout = None;
        self
    }

    /// Sets how long an ended one is remembered.
    #[must_use]
    pub const fn retention(mut self, retention: Retention) -> Self {
        self.retention = retention;
        self
    }

    /// Sets how large arguments may be.
    #[must_use]
    pub const fn max_payload(mut self, bytes: usize) -> Self {
        self.max_payload = bytes;
        self
    }

    /// Sets how large a result may be.
    #[must_use]
    pub const fn max_output(mut self, bytes: usize) -> Self {
        self.max_output = bytes;
        self
    }

    /// Makes two with the same arguments duplicates while the first is in one of these states.
    #[must_use]
    pub const fn unique_by_args(mut self, scope: UniqueScope) -> Self {
        self.unique = Some((scope, None));
        self
    }

    /// The same, for this long after the first was taken in.
    #[must_use]
    pub const fn unique_by_args_within(mut self, scope: UniqueScope, window: Duration) -> Self {
        self.unique = Some((scope, Some(window)));
        self
    }
}

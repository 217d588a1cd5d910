use std::fmt;
use std::time::Duration;

use crate::store::error::StoreError;
use crate::store::redis::io::Io;
use crate::store::redis::store::RedisStore;

/// How to reach a [`RedisStore`].
///
/// The URL may hold a password; it is not shown.
#[derive(Clone)]
#[must_use = "nothing is connected before `connect`"]
pub struct RedisStoreBuilder {
    pub(super) url: String,
    pub(super) prefix: String,
    pub(super) age_after: Duration,
    pub(super) response_timeout: Duration,
    pub(super) poll: Duration,
}

impl fmt::Debug for RedisStoreBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedisStoreBuilder")
            .field("prefix", &self.prefix)
            .field("age_after", &self.age_after)
            .field("response_timeout", &self.response_timeout)
            .field("poll", &self.poll)
            .finish_non_exhaustive()
    }
}

impl RedisStoreBuilder {
    pub(super) fn new(url: impl Into<String>) -> Self {
        Self {
            url: url.into(),
            prefix: "bull".to_owned(),
            age_after: Duration::from_secs(30),
            response_timeout: Duration::from_secs(5),
            poll: Duration::from_millis(100),
        }
    }

    /// Sets with what all keys begin; default `bull`, as in BullMQ. 1 to 64 bytes without `:`. Stores of different
    /// prefixes know nothing of each other; what BullMQ calls `prefix` must be the same for its workers to see the jobs.
    pub fn prefix(mut self, prefix: impl Into<String>) -> Self {
        self.prefix = prefix.into();
        self
    }

    /// Sets how long a job waits until that is worth one priority; default 30 s, zero means that priorities are strict.
    /// All processes that share a store should agree. Too short makes priorities meaningless, too long lets the low
    /// ones starve.
    pub const fn age_after(mut self, time: Duration) -> Self {
        self.age_after = time;
        self
    }

    /// Sets how long an answer of the server may take before the call fails as transient; default 5 s, at least 100 ms.
    /// Too short fails calls on a busy server, whose work is done nevertheless; too long hides one that hangs.
    pub const fn response_timeout(mut self, time: Duration) -> Self {
        self.response_timeout = time;
        self
    }

    /// Sets how often a claim that waits looks by itself; default 100 ms, 1 ms to 10 s. What this store's users submit
    /// wakes it at once: this is how long a job of BullMQ's own producers waits at most. Each look costs the server some
    /// 20 µs.
    pub const fn poll(mut self, time: Duration) -> Self {
        self.poll = time;
        self
    }

    /// Connects.
    ///
    /// # Errors
    /// [`StoreError::Invalid`] for a URL or a setting that cannot be, [`StoreError::Backend`] if the server cannot be
    /// reached or is older than 6.2.
    ///
    /// # Cancel safety
    /// Nothing stays open.
    pub async fn connect(self) -> Result<RedisStore, StoreError> {
        self.check()?;
        let io = Io::open(&self).await?;
        Ok(RedisStore::over(io, &self))
    }

    fn check(&self) -> Result<(), StoreError> {
        let prefix = &self.prefix;
        if prefix.is_empty() || prefix.len() > 64 || prefix.contains(':') || prefix.chars().any(char::is_control) {
            return Err(StoreError::invalid("prefix", format_args!("{prefix:?}"), "1 to 64 bytes without a colon"));
        }
        if self.response_timeout < Duration::from_millis(100) {
            let shown = format_args!("{:?}", self.response_timeout);
            return Err(StoreError::invalid("response_timeout", shown, "at least 100 ms"));
        }
        if self.poll < Duration::from_millis(1) || self.poll > Duration::from_secs(10) {
            return Err(StoreError::invalid("poll", format_args!("{:?}", self.poll), "1 ms to 10 s"));
        }
        Ok(())
    }
}

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// So many starts per time, counted in fixed windows that begin with a start.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct Rate {
    /// Starts within one window; at least 1.
    pub starts: u32,
    /// The window's length; at least 1 ms.
    pub per: Duration,
}

impl Rate {
    /// Allows `starts` within each window of this length.
    #[must_use]
    pub const fn new(starts: u32, per: Duration) -> Self {
        Self { starts, per }
    }
}

/// What the jobs of one key share, over all processes: at most so many at a time, at most so many starts per time.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct KeyLimit {
    /// What the limit is about: a tenant, an image, a remote host; 1 to 255 bytes.
    pub key: String,
    /// How many run at a time; at least 1, `None` for any number.
    pub concurrency: Option<u32>,
    /// How many start per time; `None` for any number.
    pub rate: Option<Rate>,
}

impl KeyLimit {
    /// Lets at most `concurrency` jobs of this key run at a time.
    #[must_use]
    pub fn concurrency(key: impl Into<String>, concurrency: u32) -> Self {
        Self { key: key.into(), concurrency: Some(concurrency), rate: None }
    }

    /// Lets at most so many jobs of this key start per time.
    #[must_use]
    pub fn rate(key: impl Into<String>, rate: Rate) -> Self {
        Self { key: key.into(), concurrency: None, rate: Some(rate) }
    }

    /// Adds a rate.
    #[must_use]
    pub const fn and_rate(mut self, rate: Rate) -> Self {
        self.rate = Some(rate);
        self
    }
}

/// Which jobs with the same key a new one is a duplicate of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum UniqueScope {
    /// Those that wait: once one runs, the next may be taken in.
    Pending,
    /// Those that have not ended.
    #[default]
    Unfinished,
    /// Those that have not ended or that completed; one that failed or was cancelled makes room.
    NotFailed,
    /// All, however they ended.
    Any,
}

/// Makes a second job with the same key the first one's duplicate: it is not taken in, its submitter gets the first
/// one's id.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct Unique {
    /// What may exist once; 1 to 255 bytes. Keys are compared within the whole store.
    pub key: String,
    /// For how long after the first was taken in; `None` as long as the store knows it.
    pub within: Option<Duration>,
    /// In which states the first must be.
    pub scope: UniqueScope,
}

impl Unique {
    /// Refuses a second job with this key while the first has not ended.
    #[must_use]
    pub fn key(key: impl Into<String>) -> Self {
        Self { key: key.into(), within: None, scope: UniqueScope::Unfinished }
    }

    /// Refuses a second job with this key for this long, whatever became of the first.
    #[must_use]
    pub fn idempotency(key: impl Into<String>, within: Duration) -> Self {
        Self { key: key.into(), within: Some(within), scope: UniqueScope::Any }
    }

    /// Limits it to this long after the first was taken in.
    #[must_use]
    pub const fn within(mut self, window: Duration) -> Self {
        self.within = Some(window);
        self
    }

    /// Sets in which states the first makes a second one its duplicate.
    #[must_use]
    pub const fn scope(mut self, scope: UniqueScope) -> Self {
        self.scope = scope;
        self
    }
}

/// How long what is over is remembered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct Retention {
    /// A job that completed or was cancelled, with its output; default 24 hours, zero forgets it with the next sweep.
    pub ended: Duration,
    /// A job that failed: as long as that it can be looked at and replayed; default 7 days.
    pub failed: Duration,
}

impl Default for Retention {
    fn default() -> Self {
        Self::USUAL
    }
}

impl Retention {
    pub(crate) const USUAL: Self = Self { ended: Duration::from_hours(24), failed: Duration::from_hours(7 * 24) };

    /// Remembers both kinds for this long.
    #[must_use]
    pub const fn both(time: Duration) -> Self {
        Self { ended: time, failed: time }
    }
}

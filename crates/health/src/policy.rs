use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::ConfigError;

/// When a component is checked, and how many outcomes change its status.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
#[must_use]
pub struct Policy {
    /// The time from the end of one check to the start of the next, 10 ms to 1 day, default 10 s. Each wait is
    /// shortened by up to a tenth at random so that checks spread out. Too short loads what is checked, too long sees
    /// a failure late.
    pub interval: Duration,
    /// How long one check may take, 1 ms to 1 h, default 5 s. Too short takes slowness for failure, too long keeps an
    /// old status.
    pub timeout: Duration,
    /// After how many failures in a row the status is `UNHEALTHY`, at least 1, default 2. The first failure below it
    /// makes the component `DEGRADED`.
    pub unhealthy_after: u32,
    /// After how many failures in a row the status is `CRITICAL`, at least `unhealthy_after`, default 3.
    pub critical_after: u32,
    /// After how many passes in a row a failed component is `HEALTHY` again, at least 1, default 2. Too few lets a
    /// flapping component look well.
    pub healthy_after: u32,
}

impl Default for Policy {
    fn default() -> Self {
        Self {
            interval: Duration::from_secs(10),
            timeout: Duration::from_secs(5),
            unhealthy_after: 2,
            critical_after: 3,
            healthy_after: 2,
        }
    }
}

impl Policy {
    /// Sets [`interval`](Self#structfield.interval).
    pub const fn interval(mut self, interval: Duration) -> Self {
        self.interval = interval;
        self
    }

    /// Sets [`timeout`](Self#structfield.timeout).
    pub const fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// Sets [`unhealthy_after`](Self#structfield.unhealthy_after).
    pub const fn unhealthy_after(mut self, failures: u32) -> Self {
        self.unhealthy_after = failures;
        self
    }

    /// Sets [`critical_after`](Self#structfield.critical_after).
    pub const fn critical_after(mut self, failures: u32) -> Self {
        self.critical_after = failures;
        self
    }

    /// Sets [`healthy_after`](Self#structfield.healthy_after).
    pub const fn healthy_after(mut self, passes: u32) -> Self {
        self.healthy_after = passes;
        self
    }

    /// Makes sure that every setting is within its bounds.
    ///
    /// # Errors
    /// [`ConfigError::OutOfBounds`] names the first that is not.
    pub fn validate(&self) -> Result<(), ConfigError> {
        let out = |field, value: String, expected| Err(ConfigError::OutOfBounds { field, value, expected });
        if !(Duration::from_millis(10)..=Duration::from_hours(24)).contains(&self.interval) {
            return out("policy.interval", format!("{:?}", self.interval), "10 ms to 1 day");
        }
        if !(Duration::from_millis(1)..=Duration::from_hours(1)).contains(&self.timeout) {
            return out("policy.timeout", format!("{:?}", self.timeout), "1 ms to 1 h");
        }
        if self.unhealthy_after == 0 {
            return out("policy.unhealthy_after", "0".to_owned(), "at least 1 failure");
        }
        if self.critical_after < self.unhealthy_after {
            return out("policy.critical_after", self.critical_after.to_string(), "at least policy.unhealthy_after");
        }
        if self.healthy_after == 0 {
            return out("policy.healthy_after", "0".to_owned(), "at least 1 pass");
        }
        Ok(())
    }
}

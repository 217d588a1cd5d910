use std::fmt;

use serde::{Deserialize, Serialize};

/// How well a component, or the whole system, is. Ordered from well to ill.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
#[non_exhaustive]
pub enum Status {
    /// It does what it should.
    Healthy,
    /// It does what it should, but not as it should; or nothing is known of it yet.
    Degraded,
    /// It does not do what it should.
    Unhealthy,
    /// It has not done what it should for some time.
    Critical,
}

impl Status {
    /// Returns the name, as `HEALTHY`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Healthy => "HEALTHY",
            Self::Degraded => "DEGRADED",
            Self::Unhealthy => "UNHEALTHY",
            Self::Critical => "CRITICAL",
        }
    }

    /// Returns whether requests should be sent here: healthy or degraded.
    #[must_use]
    pub const fn is_ready(self) -> bool {
        matches!(self, Self::Healthy | Self::Degraded)
    }
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::settings::{
    CacheSettings, DegradedAnswers, HealthSettings, Overflow, Recording, RecordingSettings, RecoverySettings, Settings,
    TelemetrySettings, WorkerSettings,
};

/// A preset of [`Settings`]. Every value can be overridden afterwards; a mode does nothing else.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
#[non_exhaustive]
pub enum Mode {
    /// Balanced.
    #[default]
    Standard,
    /// Latency and throughput first: one attempt, short limits, a larger cache, records that may be dropped.
    Performance,
    /// Surviving faults first: more attempts, longer limits, waiting instead of refusing, records before replies.
    Resilient,
    /// Readable and strict: one attempt, no degraded answers, few workers, frequent health checks.
    Development,
}

impl Mode {
    /// Every mode.
    pub const ALL: [Self; 4] = [Self::Standard, Self::Performance, Self::Resilient, Self::Development];

    /// Returns the name, as `STANDARD`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Standard => "STANDARD",
            Self::Performance => "PERFORMANCE",
            Self::Resilient => "RESILIENT",
            Self::Development => "DEVELOPMENT",
        }
    }

    /// Returns the settings that the mode stands for.
    #[must_use]
    pub fn settings(self) -> Settings {
        let standard = standard();
        match self {
            Self::Standard => standard,
            Self::Performance => Settings {
                workers: WorkerSettings { queue: 4_096, ..standard.workers },
                cache: CacheSettings { max_bytes: 1024 * MIB, ..standard.cache },
                recovery: RecoverySettings {
                    attempts: 1,
                    attempt_timeout: Duration::from_secs(8),
                    total_timeout: Duration::from_secs(15),
                    ..standard.recovery
                },
                recording: RecordingSettings { when: Recording::BestEffort, queue: 4_096 },
                ..standard
            },
            Self::Resilient => Settings {
                workers: WorkerSettings { overflow: Overflow::Wait, ..standard.workers },
                cache: CacheSettings { ttl: Duration::from_hours(24), ..standard.cache },
                recovery: RecoverySettings {
                    attempts: 4,
                    attempt_timeout: Duration::from_secs(30),
                    total_timeout: Duration::from_mins(2),
                    ..standard.recovery
                },
                health: HealthSettings { interval: Duration::from_secs(5), ..standard.health },
                recording: RecordingSettings { when: Recording::BeforeReply, ..standard.recording },
                ..standard
            },
            Self::Development => Settings {
                workers: WorkerSettings { workers: 4, queue: 64, ..standard.workers },
                cache: CacheSettings { max_bytes: 64 * MIB, ttl: Duration::from_mins(5), ..standard.cache },
                recovery: RecoverySettings {
                    attempts: 1,
                    degraded_answers: DegradedAnswers::Refuse,
                    ..standard.recovery
                },
                health: HealthSettings { interval: Duration::from_secs(2), ..standard.health },
                recording: RecordingSettings { when: Recording::BeforeReply, ..standard.recording },
                ..standard
            },
        }
    }
}

fn standard() -> Settings {
    Settings {
        workers: WorkerSettings { workers: 20, queue: 1_024, overflow: Overflow::Reject },
        cache: CacheSettings { max_bytes: 500 * MIB, ttl: Duration::from_hours(1) },
        recovery: RecoverySettings {
            attempts: 2,
            backoff: Duration::from_millis(100),
            attempt_timeout: Duration::from_secs(20),
            total_timeout: Duration::from_mins(1),
            breaker_failure_rate: 0.5,
            breaker_minimum_calls: 10,
            breaker_open_for: Duration::from_secs(10),
            degraded_answers: DegradedAnswers::Allow,
        },
        health: HealthSettings { interval: Duration::from_secs(15), timeout: Duration::from_secs(2) },
        recording: RecordingSettings { when: Recording::Batched, queue: 1_024 },
        telemetry: TelemetrySettings { operations: 200 },
        limits: bedplate_media::Limits::default(),
    }
}

const MIB: u64 = 1024 * 1024;

impl fmt::Display for Mode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl FromStr for Mode {
    type Err = ParseModeError;

    fn from_str(name: &str) -> Result<Self, ParseModeError> {
        Self::ALL
            .into_iter()
            .find(|mode| mode.as_str().eq_ignore_ascii_case(name))
            .ok_or_else(|| ParseModeError { name: name.chars().take(64).collect() })
    }
}

/// A name that is no mode.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("mode is {name:?}, expected one of: STANDARD, PERFORMANCE, RESILIENT, DEVELOPMENT")]
#[non_exhaustive]
pub struct ParseModeError {
    /// The name, cut to 64 characters.
    pub name: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_two_modes_are_alike_and_each_is_valid() {
        for mode in Mode::ALL {
            mode.settings().validate().unwrap();
            assert_eq!(mode.to_string().to_lowercase().parse::<Mode>(), Ok(mode));
            for other in Mode::ALL {
                assert_eq!(mode == other, mode.settings() == other.settings());
            }
        }
        assert!("FAST".parse::<Mode>().unwrap_err().to_string().contains("RESILIENT"));
    }
}

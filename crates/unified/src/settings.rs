use std::fmt;
use std::time::Duration;

use jiff::fmt::serde::unsigned_duration::friendly::compact::required as friendly;
use serde::{Deserialize, Serialize};

use crate::BuildError;

/// Every setting of a system. A [`Mode`](crate::Mode) fills it; a TOML file and code override it.
///
/// In a file, durations are written as `20s` or `1h 30m` and sizes as a number of bytes; the durations among the `limits` are
/// numbers of seconds.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct Settings {
    /// The task pool.
    pub workers: WorkerSettings,
    /// The cache of answers.
    pub cache: CacheSettings,
    /// What happens when a processor or model fails.
    pub recovery: RecoverySettings,
    /// The background health checks.
    pub health: HealthSettings,
    /// The record of requests.
    pub recording: RecordingSettings,
    /// Counts and latencies.
    pub telemetry: TelemetrySettings,
    /// What is refused before it is decoded.
    pub limits: bedplate_media::Limits,
}

/// How many requests are processed at once, and how many wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct WorkerSettings {
    /// Requests processed at once, 1 to 500. Each may hold a thread and a decoded medium; too few leave cores idle,
    /// too many exhaust the memory.
    pub workers: usize,
    /// Requests that wait for a worker, 1 to 1,000,000. Each holds its content; too few refuse bursts, too many
    /// answer late.
    pub queue: usize,
    /// What happens to a request that finds the queue full.
    pub overflow: Overflow,
}

/// What happens to a request that finds the queue full.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Overflow {
    /// It is refused at once, with a hint when to come again.
    Reject,
    /// It waits for room until its time is up.
    Wait,
}

/// The cache of answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct CacheSettings {
    /// What all answers together may weigh, at least 1 MiB.
    pub max_bytes: u64,
    /// How long an answer is served, at least 1 ms.
    #[serde(with = "friendly")]
    pub ttl: Duration,
}

/// What happens when a processor or model fails.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct RecoverySettings {
    /// How often a processor is tried, 1 to 100. Each attempt may cost the whole `attempt_timeout`.
    pub attempts: u32,
    /// The wait before the second attempt, doubled for each further one, with jitter; 1 ms to 1 min.
    #[serde(with = "friendly")]
    pub backoff: Duration,
    /// How long one attempt may take, waiting for a thread included, 1 ms to `total_timeout`.
    #[serde(with = "friendly")]
    pub attempt_timeout: Duration,
    /// How long all attempts of one processor or model and the waits between them may take, 1 ms to 1 h. Waiting in the
    /// queue comes on top, and a fall-back gets one `attempt_timeout` of its own.
    #[serde(with = "friendly")]
    pub total_timeout: Duration,
    /// The share of failures among the last calls that opens a processor's breaker, above 0.0 to 1.0.
    pub breaker_failure_rate: f64,
    /// How many calls the breaker needs before it judges, 1 to 100.
    pub breaker_minimum_calls: u32,
    /// How long an open breaker refuses, 1 ms to 1 h.
    #[serde(with = "friendly")]
    pub breaker_open_for: Duration,
    /// Whether a degraded answer is better than none.
    pub degraded_answers: DegradedAnswers,
}

/// Whether a degraded answer is better than none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum DegradedAnswers {
    /// A fall-back answers where the processor fails, and the answer says so.
    Allow,
    /// The request fails with the processor's error.
    Refuse,
}

/// The background health checks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct HealthSettings {
    /// The time between two checks of a subsystem, 10 ms to 1 day.
    #[serde(with = "friendly")]
    pub interval: Duration,
    /// How long one check may take, 1 ms to 1 h.
    #[serde(with = "friendly")]
    pub timeout: Duration,
}

/// The record of requests.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct RecordingSettings {
    /// When a request is recorded.
    pub when: Recording,
    /// How many records wait to be written, 1 to 1,000,000, about 500 bytes each.
    pub queue: usize,
}

/// When a request is recorded, and what a store that cannot keep up costs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Recording {
    /// After the reply, in batches. A full queue makes replies wait for up to a second, then drops and counts the record.
    Batched,
    /// After the reply, in batches. A full queue drops and counts the record.
    BestEffort,
    /// Before the reply. A store that fails is tried for a `recovery.total_timeout`, whatever the request's own deadline,
    /// and then the record is left to the queue.
    BeforeReply,
}

/// Counts and latencies.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct TelemetrySettings {
    /// How many operations are counted by name, 1 to 10,000, up to 25 KiB each. Not used where telemetry of your own is
    /// given to the builder.
    pub operations: usize,
}

impl Settings {
    /// Makes sure that every setting is within its bounds and that none contradicts another.
    ///
    /// # Errors
    /// [`BuildError::Invalid`] names the first that does not hold.
    pub fn validate(&self) -> Result<(), BuildError> {
        let Self { workers, cache, recovery, health, recording, telemetry, limits } = self;
        bounded("workers.workers", workers.workers, 1, 500)?;
        bounded("workers.queue", workers.queue, 1, 1_000_000)?;
        bounded("cache.max_bytes", cache.max_bytes, 1024 * 1024, 1 << 50)?;
        lasting("cache.ttl", cache.ttl, MILLISECOND, Duration::from_hours(24 * 366))?;
        bounded("recovery.attempts", recovery.attempts, 1, 100)?;
        lasting("recovery.backoff", recovery.backoff, MILLISECOND, Duration::from_mins(1))?;
        lasting("recovery.total_timeout", recovery.total_timeout, MILLISECOND, HOUR)?;
        lasting("recovery.attempt_timeout", recovery.attempt_timeout, MILLISECOND, HOUR)?;
        if recovery.attempt_timeout > recovery.total_timeout {
            return invalid(
                "recovery.attempt_timeout",
                format!("{:?}", recovery.attempt_timeout),
                format!("at most recovery.total_timeout, which is {:?}", recovery.total_timeout),
            );
        }
        if !(recovery.breaker_failure_rate > 0.0 && recovery.breaker_failure_rate <= 1.0) {
            let value = recovery.breaker_failure_rate.to_string();
            return invalid("recovery.breaker_failure_rate", value, "above 0.0 to 1.0");
        }
        bounded("recovery.breaker_minimum_calls", recovery.breaker_minimum_calls, 1, BREAKER_WINDOW)?;
        lasting("recovery.breaker_open_for", recovery.breaker_open_for, MILLISECOND, HOUR)?;
        lasting("health.interval", health.interval, Duration::from_millis(10), Duration::from_hours(24))?;
        lasting("health.timeout", health.timeout, MILLISECOND, HOUR)?;
        bounded("recording.queue", recording.queue, 1, 1_000_000)?;
        bounded("telemetry.operations", telemetry.operations, 1, 10_000)?;
        limits.validate().map_err(|error| BuildError::part("limits", error))
    }
}

/// Over how many calls a processor's breaker judges.
pub(crate) const BREAKER_WINDOW: u32 = 100;
const MILLISECOND: Duration = Duration::from_millis(1);
const HOUR: Duration = Duration::from_hours(1);

fn bounded<T: Copy + PartialOrd + fmt::Display>(
    field: &'static str,
    value: T,
    low: T,
    high: T,
) -> Result<(), BuildError> {
    if value < low || value > high {
        return invalid(field, value.to_string(), format!("{low} to {high}"));
    }
    Ok(())
}

fn lasting(field: &'static str, value: Duration, low: Duration, high: Duration) -> Result<(), BuildError> {
    if value < low || value > high {
        return invalid(field, format!("{value:?}"), format!("{low:?} to {high:?}"));
    }
    Ok(())
}

fn invalid(field: &str, value: String, expected: impl Into<String>) -> Result<(), BuildError> {
    Err(BuildError::Invalid { field: field.to_owned(), value, expected: expected.into() })
}

//! Retry settings in the form of a gRPC service configuration (gRFC A6, "gRPC Retry Design").

use std::fmt;
use std::time::Duration;

use serde::de::{self, Deserializer, Visitor};
use serde::{Deserialize, Serialize, Serializer};

use crate::backoff::{Backoff, Jitter};
use crate::budget::ThrottleConfig;
use crate::class::ErrorClass;
use crate::config::ConfigError;
use crate::retry::{Retry, RetryConfig, ServerDelay};

/// The `retryPolicy` of a method.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[non_exhaustive]
pub struct GrpcRetryPolicy {
    /// How many attempts are made in all: at least 2; more than 5 count as 5.
    pub max_attempts: u32,
    /// The first delay, as `"0.1s"`; above zero.
    #[serde(with = "proto_duration")]
    pub initial_backoff: Duration,
    /// The longest delay; above zero.
    #[serde(with = "proto_duration")]
    pub max_backoff: Duration,
    /// The growth from delay to delay; above zero and at most 100.
    pub backoff_multiplier: f64,
    /// The status codes that are retried, by name (in any case) or number; at least one.
    pub retryable_status_codes: Vec<GrpcStatus>,
}

/// The `hedgingPolicy` of a method.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[non_exhaustive]
pub struct GrpcHedgingPolicy {
    /// How many attempts are made in all: at least 2; more than 5 count as 5.
    pub max_attempts: u32,
    /// The time between two attempts; zero, the default, sends all at once.
    #[serde(with = "proto_duration", default)]
    pub hedging_delay: Duration,
    /// The status codes that end one attempt only, by name or number.
    #[serde(default)]
    pub non_fatal_status_codes: Vec<GrpcStatus>,
}

/// The `retryThrottling` of a server name.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[non_exhaustive]
pub struct GrpcRetryThrottling {
    /// How many tokens there are: 1 to 1,000.
    pub max_tokens: u32,
    /// What a success gives back: above zero, three decimal places count.
    pub token_ratio: f64,
}

const MOST_ATTEMPTS: u32 = 5;

fn attempts(given: u32) -> Result<u32, ConfigError> {
    if given < 2 {
        return Err(ConfigError::new("maxAttempts", given, "a whole number of at least 2"));
    }
    Ok(given.min(MOST_ATTEMPTS))
}

impl GrpcRetryPolicy {
    /// Checks the settings and returns the retry that follows them.
    ///
    /// # Errors
    /// Returns a [`ConfigError`] naming the field that the specification does not allow.
    pub fn retry(&self) -> Result<Retry, ConfigError> {
        let max_attempts = attempts(self.max_attempts)?;
        for (field, value) in [("initialBackoff", self.initial_backoff), ("maxBackoff", self.max_backoff)] {
            if value.is_zero() {
                return Err(ConfigError::new(field, "0s", "more than zero"));
            }
        }
        // Written so that NaN is refused.
        if !(self.backoff_multiplier > 0.0 && self.backoff_multiplier <= 100.0) {
            return Err(ConfigError::new("backoffMultiplier", self.backoff_multiplier, "above 0 and at most 100"));
        }
        if self.retryable_status_codes.is_empty() {
            return Err(ConfigError::new("retryableStatusCodes", "[]", "at least one status code"));
        }
        Ok(Retry::from(RetryConfig {
            max_attempts,
            backoff: Backoff::exponential(self.initial_backoff)
                .factor(self.backoff_multiplier)
                .max(self.max_backoff)
                .jitter(Jitter::Spread(0.2)),
            server_delay: ServerDelay::Exact,
            ..RetryConfig::default()
        }))
    }

    /// Judges a failed response by its status and its `grpc-retry-pushback-ms`, if it has one.
    #[must_use]
    pub fn classify(&self, status: GrpcStatus, pushback: Option<Pushback>) -> ErrorClass {
        judge(self.retryable_status_codes.contains(&status), status, pushback)
    }
}

impl GrpcHedgingPolicy {
    /// Checks the settings and returns how many attempts are made in all.
    ///
    /// # Errors
    /// Returns a [`ConfigError`] naming the field that the specification does not allow.
    pub fn attempts(&self) -> Result<u32, ConfigError> {
        attempts(self.max_attempts)
    }

    /// Judges a failed response by its status and its `grpc-retry-pushback-ms`, if it has one.
    #[must_use]
    pub fn classify(&self, status: GrpcStatus, pushback: Option<Pushback>) -> ErrorClass {
        judge(self.non_fatal_status_codes.contains(&status), status, pushback)
    }
}

fn judge(listed: bool, status: GrpcStatus, pushback: Option<Pushback>) -> ErrorClass {
    match pushback {
        Some(Pushback::DoNotRetry) => ErrorClass::Permanent,
        _ if !listed => ErrorClass::Permanent,
        Some(Pushback::After(after)) => ErrorClass::Throttled { after: Some(after) },
        None => status.class(),
    }
}

impl GrpcRetryThrottling {
    /// Checks the settings and returns the rule of the budget that follows them.
    ///
    /// # Errors
    /// Returns a [`ConfigError`] naming the field that the specification does not allow.
    pub fn throttle(&self) -> Result<ThrottleConfig, ConfigError> {
        let rule = ThrottleConfig { max_tokens: self.max_tokens, token_ratio: self.token_ratio };
        rule.check()?;
        Ok(rule)
    }
}

/// What a server says in the trailer `grpc-retry-pushback-ms`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Pushback {
    /// To retry after this long.
    After(Duration),
    /// Not to retry: the value was negative or no number.
    DoNotRetry,
}

impl Pushback {
    /// Reads the trailer's value.
    #[must_use]
    pub fn parse(value: &str) -> Self {
        // A 32-bit signed number by the specification; a larger one is none.
        value
            .parse::<i32>()
            .ok()
            .and_then(|ms| u64::try_from(ms).ok())
            .map_or(Self::DoNotRetry, |ms| Self::After(Duration::from_millis(ms)))
    }
}

/// A gRPC status code.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct GrpcStatus(u8);

const NAMES: [&str; 17] = [
    "OK",
    "CANCELLED",
    "UNKNOWN",
    "INVALID_ARGUMENT",
    "DEADLINE_EXCEEDED",
    "NOT_FOUND",
    "ALREADY_EXISTS",
    "PERMISSION_DENIED",
    "RESOURCE_EXHAUSTED",
    "FAILED_PRECONDITION",
    "ABORTED",
    "OUT_OF_RANGE",
    "UNIMPLEMENTED",
    "INTERNAL",
    "UNAVAILABLE",
    "DATA_LOSS",
    "UNAUTHENTICATED",
];

impl GrpcStatus {
    /// Returns the status of a number from 0 to 16.
    #[must_use]
    pub fn new(code: u8) -> Option<Self> {
        (usize::from(code) < NAMES.len()).then_some(Self(code))
    }

    /// Returns the status of a name, in any case.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        let place = NAMES.iter().position(|known| known.eq_ignore_ascii_case(name))?;
        u8::try_from(place).ok().map(Self)
    }

    /// Returns the number.
    #[must_use]
    pub const fn code(self) -> u8 {
        self.0
    }

    /// Returns the name in capitals.
    #[must_use]
    pub fn name(self) -> &'static str {
        NAMES.get(usize::from(self.0)).copied().unwrap_or("UNKNOWN")
    }

    /// Returns what a status that is to be retried means to the policies.
    fn class(self) -> ErrorClass {
        match self.name() {
            "RESOURCE_EXHAUSTED" => ErrorClass::Throttled { after: None },
            "DEADLINE_EXCEEDED" => ErrorClass::Timeout,
            _ => ErrorClass::Transient,
        }
    }
}

impl fmt::Display for GrpcStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl Serialize for GrpcStatus {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.name())
    }
}

impl<'de> Deserialize<'de> for GrpcStatus {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Status;

        impl Visitor<'_> for Status {
            type Value = GrpcStatus;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("the name of a gRPC status code, or a number from 0 to 16")
            }

            fn visit_str<E: de::Error>(self, name: &str) -> Result<GrpcStatus, E> {
                GrpcStatus::named(name).ok_or_else(|| E::invalid_value(de::Unexpected::Str(name), &self))
            }

            fn visit_u64<E: de::Error>(self, code: u64) -> Result<GrpcStatus, E> {
                let status = u8::try_from(code).ok().and_then(GrpcStatus::new);
                status.ok_or_else(|| E::invalid_value(de::Unexpected::Unsigned(code), &self))
            }

            fn visit_i64<E: de::Error>(self, code: i64) -> Result<GrpcStatus, E> {
                Err(E::invalid_value(de::Unexpected::Signed(code), &self))
            }
        }

        deserializer.deserialize_any(Status)
    }
}

/// A duration as JSON has it in protobuf: a decimal number of seconds with the letter s.
mod proto_duration {
    use super::{Deserializer, Duration, Serializer, de};
    use serde::Deserialize as _;

    pub(super) fn serialize<S: Serializer>(duration: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
        let (seconds, nanos) = (duration.as_secs(), duration.subsec_nanos());
        serializer.collect_str(&format_args!("{seconds}.{nanos:09}s"))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
        let text = <std::borrow::Cow<'de, str>>::deserialize(deserializer)?;
        parse(&text).ok_or_else(|| {
            de::Error::invalid_value(de::Unexpected::Str(&text), &"seconds with up to nine decimal places, as \"0.1s\"")
        })
    }

    fn parse(text: &str) -> Option<Duration> {
        let number = text.strip_suffix('s')?;
        let (whole, part) = number.split_once('.').unwrap_or((number, ""));
        let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
        if whole.is_empty() || !digits(whole) || !digits(part) || part.len() > 9 {
            return None;
        }
        let nanos = format!("{part:0<9}").parse().ok()?;
        Some(Duration::new(whole.parse().ok()?, nanos))
    }
}

use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::config::ConfigError;

/// How good an answer is, from 0.0 (worthless) to 1.0 (what the first source gives).
#[derive(Debug, Clone, Copy, PartialEq, PartialOrd, Serialize, Deserialize)]
#[serde(try_from = "f64", into = "f64")]
pub struct Quality(f64);

impl Quality {
    /// The quality of an answer from the first source.
    pub const FULL: Self = Self(1.0);
    /// The quality of an answer that is worth nothing; as a floor it lets every source through.
    pub const NONE: Self = Self(0.0);

    /// Makes a quality of `value`.
    ///
    /// # Errors
    /// Returns a [`ConfigError`] if `value` is not within 0.0 and 1.0.
    pub fn new(value: f64) -> Result<Self, ConfigError> {
        if (0.0..=1.0).contains(&value) {
            Ok(Self(value))
        } else {
            Err(ConfigError::new("quality", value, "0.0 to 1.0"))
        }
    }

    /// Returns the number.
    #[must_use]
    pub const fn get(self) -> f64 {
        self.0
    }
}

impl TryFrom<f64> for Quality {
    type Error = ConfigError;

    fn try_from(value: f64) -> Result<Self, ConfigError> {
        Self::new(value)
    }
}

impl From<Quality> for f64 {
    fn from(quality: Quality) -> Self {
        quality.0
    }
}

/// A value that says where it comes from and how good it is.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Answer<T> {
    /// What was asked for.
    pub value: T,
    /// How good it is; below [`Quality::FULL`] it is degraded.
    pub quality: Quality,
    /// The source that gave it.
    pub source: Arc<str>,
    /// How old the value is; `None` for one that was made for this call.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub age: Option<Duration>,
    /// How many attempts it took, over all sources.
    pub attempts: u32,
}

impl<T> Answer<T> {
    /// Makes an answer of full quality from `source`.
    pub fn full(value: T, source: impl Into<Arc<str>>, attempts: u32) -> Self {
        Self { value, quality: Quality::FULL, source: source.into(), age: None, attempts }
    }

    /// Says whether the answer is of less than full quality.
    pub fn is_degraded(&self) -> bool {
        self.quality < Quality::FULL
    }

    /// Changes the value and keeps the rest.
    pub fn map<U>(self, change: impl FnOnce(T) -> U) -> Answer<U> {
        Answer {
            value: change(self.value),
            quality: self.quality,
            source: self.source,
            age: self.age,
            attempts: self.attempts,
        }
    }
}

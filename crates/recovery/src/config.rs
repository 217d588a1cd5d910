use std::fmt::Display;
use std::time::Duration;

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

/// The longest time any setting accepts: long enough for every real use, and far from where clock arithmetic overflows.
pub(crate) const LONGEST: Duration = Duration::from_hours(366 * 24);

/// Accepts durations above zero and up to [`LONGEST`].
pub(crate) fn positive(field: &'static str, value: Duration) -> Result<(), ConfigError> {
    if value.is_zero() || value > LONGEST {
        return Err(ConfigError::new(field, format_args!("{value:?}"), "more than zero and at most 366 days"));
    }
    Ok(())
}

/// Accepts whole numbers in `1..=most`.
pub(crate) fn count(field: &'static str, value: u32, most: u32, expected: &'static str) -> Result<(), ConfigError> {
    if value == 0 || value > most {
        return Err(ConfigError::new(field, value, expected));
    }
    Ok(())
}

/// Accepts rates above 0 and up to 1.
pub(crate) fn rate(field: &'static str, value: f64) -> Result<(), ConfigError> {
    // Written so that NaN is refused.
    if value > 0.0 && value <= 1.0 {
        return Ok(());
    }
    Err(ConfigError::new(field, value, "a rate above 0.0 and at most 1.0"))
}

use std::fmt;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

/// What one check found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "outcome", content = "reason", rename_all = "snake_case")]
#[non_exhaustive]
pub enum Outcome {
    /// All is well.
    Pass,
    /// It works, but not as it should; the reason says how.
    Degraded(String),
    /// It does not work; the reason says why.
    Fail(String),
}

impl Outcome {
    /// Returns a working but impaired outcome.
    #[must_use]
    pub fn degraded(reason: impl Into<String>) -> Self {
        Self::Degraded(reason.into())
    }

    /// Returns a failed outcome.
    #[must_use]
    pub fn fail(reason: impl Into<String>) -> Self {
        Self::Fail(reason.into())
    }

    /// Returns why the outcome is not [`Pass`](Self::Pass).
    #[must_use]
    pub fn reason(&self) -> Option<&str> {
        match self {
            Self::Pass => None,
            Self::Degraded(reason) | Self::Fail(reason) => Some(reason),
        }
    }
}

impl<E: fmt::Display> From<Result<(), E>> for Outcome {
    fn from(result: Result<(), E>) -> Self {
        match result {
            Ok(()) => Self::Pass,
            Err(error) => Self::Fail(error.to_string()),
        }
    }
}

/// Looks whether one component works.
///
/// A check is called again and again, never twice at once, and is given up after its time limit; a panic counts as a
/// failure. It must not change what it looks at.
#[async_trait]
pub trait Check: Send + Sync + 'static {
    /// Looks once.
    ///
    /// # Cancel safety
    /// The future is dropped when the time limit passes or the health service stops.
    async fn check(&self) -> Outcome;
}

/// A check from an async closure, made by [`Component::check_fn`](crate::Component::check_fn).
pub struct CheckFn<F>(pub(crate) F);

#[async_trait]
impl<F, Fut, R> Check for CheckFn<F>
where
    F: Fn() -> Fut + Send + Sync + 'static,
    Fut: Future<Output = R> + Send,
    R: Into<Outcome>,
{
    async fn check(&self) -> Outcome {
        (self.0)().await.into()
    }
}

impl<F> fmt::Debug for CheckFn<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("CheckFn")
    }
}

use std::sync::Arc;

use serde::Serialize;

/// How far a task is.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Progress {
    /// The part that is done, from 0.0 to 1.0.
    pub fraction: f64,
    /// What the task says about it.
    pub message: Arc<str>,
}

impl Progress {
    pub(crate) fn new(fraction: f64, message: Arc<str>) -> Self {
        let fraction = if fraction.is_nan() { 0.0 } else { fraction.clamp(0.0, 1.0) };
        Self { fraction, message }
    }
}

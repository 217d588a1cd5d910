//! What a semantic index may answer.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::ConfigError;

/// Whether an index answers or only counts what it would have answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum SemanticMode {
    /// Every look-up is a miss; what would have been a hit is counted. The default: look at the counts,
    /// calibrate, then serve.
    #[default]
    Shadow,
    /// Hits are served.
    Serve,
}

/// How a [`SemanticIndex`](super::SemanticIndex) decides and what it keeps.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct SemanticConfig {
    /// Whether it answers.
    pub mode: SemanticMode,
    /// The cosine a hit needs; default 0.9, above 0 and at most 1. It depends on the embedder: calibrate it.
    /// Too low gives wrong answers, too high none.
    pub threshold: f32,
    /// How much more alike than the best candidate of another answer a hit must be; default 0.02, 0 to 1.
    /// Too small lets chance decide between two answers, too large refuses where questions lie close.
    pub margin: f32,
    /// Whether the content gate is asked; default yes. Without it a negated question is a hit.
    pub gate: bool,
    /// Entries of all namespaces; default 50 000, at least 1. A look-up scans its namespace: at 512
    /// numbers each, 10 000 entries are 20 MB.
    pub max_entries: usize,
    /// Bytes of vectors and texts; default 256 MiB. Values are not weighed.
    pub max_bytes: usize,
    /// How long an entry lives; default 1 h, above zero.
    pub ttl: Duration,
    /// Bytes of a text; default 8 KiB, at least 1. A longer one is neither stored nor looked up: two documents
    /// that differ in one sentence are alike by every score.
    pub max_text: usize,
}

impl Default for SemanticConfig {
    fn default() -> Self {
        Self {
            mode: SemanticMode::Shadow,
            threshold: 0.9,
            margin: 0.02,
            gate: true,
            max_entries: 50_000,
            max_bytes: 256 << 20,
            ttl: Duration::from_hours(1),
            max_text: 8 << 10,
        }
    }
}

impl SemanticConfig {
    /// Serves hits from this threshold up, with the other settings as they are by default.
    pub fn serve(threshold: f32) -> Self {
        Self { mode: SemanticMode::Serve, threshold, ..Self::default() }
    }

    pub(super) fn validate(&self) -> Result<(), ConfigError> {
        if !(self.threshold > 0.0 && self.threshold <= 1.0) {
            return Err(ConfigError::new("threshold", self.threshold, "above 0 and at most 1"));
        }
        if !(0.0..=1.0).contains(&self.margin) {
            return Err(ConfigError::new("margin", self.margin, "0 to 1"));
        }
        for (field, value) in
            [("max_entries", self.max_entries), ("max_bytes", self.max_bytes), ("max_text", self.max_text)]
        {
            if value == 0 {
                return Err(ConfigError::new(field, value, "at least 1"));
            }
        }
        if self.ttl.is_zero() {
            return Err(ConfigError::new("ttl", "0 ns", "more than zero"));
        }
        Ok(())
    }
}

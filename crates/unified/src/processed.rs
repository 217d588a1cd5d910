use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use bedplate_media::Format;
/// What the cache did for a request.
pub use bedplate_storage::CacheOutcome;
use serde::Serialize;

use crate::{Output, RequestId};

/// A request's answer.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Processed {
    /// The request.
    pub id: RequestId,
    /// What the content is.
    pub format: Format,
    /// What was found.
    pub output: Arc<Output>,
    /// Which source answered: the processor or model, or a fall-back.
    pub served_by: Arc<str>,
    /// How good the answer is, 0.0 to 1.0; below 1.0 it is degraded.
    pub quality: f64,
    /// What the cache did.
    pub cache: CacheOutcome,
    /// How many attempts this answer took, over all sources; 0 where it was cached.
    pub attempts: u32,
    /// How long the request took; as JSON `took_ms`, in milliseconds.
    #[serde(rename = "took_ms", serialize_with = "milliseconds")]
    pub took: Duration,
}

impl Processed {
    /// Returns whether a fall-back answered.
    #[must_use]
    pub fn is_degraded(&self) -> bool {
        self.quality < 1.0
    }
}

fn milliseconds<S: serde::Serializer>(took: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    // To the microsecond.
    serializer.serialize_f64((took.as_secs_f64() * 1e6).round() / 1e3)
}

impl fmt::Display for Processed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.output.fmt(f)
    }
}

/// What the cache keeps of an answer.
#[derive(Debug, Clone)]
pub(crate) struct Answered {
    pub(crate) output: Arc<Output>,
    pub(crate) served_by: Arc<str>,
    pub(crate) quality: f64,
    pub(crate) attempts: u32,
    /// What the answer weighs in the cache: its size as JSON, which is near enough to its size in memory.
    pub(crate) weight: u64,
}

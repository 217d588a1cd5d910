use std::collections::BTreeMap;
use std::fmt;

use bedplate_media::{Format, Limits, Modality, Report, analyze, inspect};
use bedplate_models::Completion;
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::ProcessorError;

/// What a processor is given: content that is what it claims to be, within the limits of its size.
#[derive(Clone)]
#[non_exhaustive]
pub struct Input {
    /// The content.
    pub content: Bytes,
    /// What the content is.
    pub format: Format,
    /// The request's parameters.
    pub parameters: BTreeMap<String, Value>,
}

impl fmt::Debug for Input {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Input")
            .field("bytes", &self.content.len())
            .field("format", &self.format)
            .field("parameters", &self.parameters)
            .finish()
    }
}

/// What a processor or model found.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", content = "value", rename_all = "snake_case")]
#[non_exhaustive]
pub enum Output {
    /// What the content contains.
    Report(Report),
    /// A model's answer to the request's question.
    Completion(Completion),
    /// Whatever a processor of your own returns.
    Json(Value),
}

impl Output {
    /// Returns the report, if it is one.
    #[must_use]
    pub const fn report(&self) -> Option<&Report> {
        match self {
            Self::Report(report) => Some(report),
            _ => None,
        }
    }
}

impl fmt::Display for Output {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Report(report) => report.fmt(f),
            Self::Completion(completion) => f.write_str(&completion.text),
            Self::Json(value) => write!(f, "{value:#}"),
        }
    }
}

/// Deterministic work on content of one modality.
///
/// Its calls run on threads for blocking work, at most as many at once as the system has workers. A call that exceeds its
/// time limit is given up, but its thread runs on until it returns; so a processor should bound its own work.
pub trait Processor: Send + Sync + 'static {
    /// Returns the name, part of the cache key.
    fn name(&self) -> &str;

    /// Returns the version, part of the cache key; it changes whenever the output for the same input does.
    fn version(&self) -> u32;

    /// Returns the modality it processes, in place of the built-in processor.
    fn modality(&self) -> Modality;

    /// Processes the input.
    ///
    /// # Errors
    /// [`ProcessorError`]; its variants decide whether the call is tried again and whether a fall-back may answer.
    fn process(&self, input: &Input) -> Result<Output, ProcessorError>;

    /// Returns a cheaper, poorer output where [`process`](Self::process) fails, or `None` where there is no such thing,
    /// as by default. It must not depend on what made `process` fail.
    fn degraded(&self, input: &Input) -> Option<Result<Output, ProcessorError>> {
        // The default has nothing to degrade to, whatever the input.
        let _ = input;
        None
    }
}

/// The built-in processor of a modality: `bedplate_media`'s analysis, and its inspection as the fall-back.
#[derive(Debug, Clone)]
pub struct MediaProcessor {
    modality: Modality,
    limits: Limits,
}

impl MediaProcessor {
    /// Returns the processor of this modality within these limits.
    #[must_use]
    pub const fn new(modality: Modality, limits: Limits) -> Self {
        Self { modality, limits }
    }
}

impl Processor for MediaProcessor {
    fn name(&self) -> &str {
        self.modality.as_str()
    }

    fn version(&self) -> u32 {
        1
    }

    fn modality(&self) -> Modality {
        self.modality
    }

    fn process(&self, input: &Input) -> Result<Output, ProcessorError> {
        Ok(Output::Report(analyze(input.format, &input.content, &self.limits)?))
    }

    fn degraded(&self, input: &Input) -> Option<Result<Output, ProcessorError>> {
        Some(inspect(input.format, &input.content, &self.limits).map(Output::Report).map_err(Into::into))
    }
}

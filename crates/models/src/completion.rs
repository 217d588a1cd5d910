use serde::{Deserialize, Serialize};

use crate::ModelId;

/// A model's answer.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Completion {
    /// The answer.
    pub text: String,
    /// The model that gave it, as it calls itself.
    pub model: ModelId,
    /// Why the answer ends where it ends.
    pub finish: FinishReason,
    /// What the call cost in tokens.
    pub usage: Usage,
    /// How sure the model is, 0.0 to 1.0, where it measures that; never a made-up figure.
    pub confidence: Option<f64>,
}

impl Completion {
    /// Returns a finished answer without a measured confidence.
    #[must_use]
    pub fn new(model: ModelId, text: impl Into<String>, usage: Usage) -> Self {
        Self { text: text.into(), model, finish: FinishReason::Stop, usage, confidence: None }
    }
}

/// Why an answer ends where it ends.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum FinishReason {
    /// The model had no more to say.
    Stop,
    /// The bound of the answer or of the model's window was reached.
    Length,
    /// The provider withheld the rest.
    ContentFilter,
    /// The provider's own word; empty where it gave none.
    Other(String),
}

/// Tokens of one call.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Usage {
    /// Tokens that were read.
    pub input_tokens: u64,
    /// Tokens that were written.
    pub output_tokens: u64,
    /// Whether the counts are our estimate because the provider gave none.
    pub estimated: bool,
}

impl Usage {
    /// Returns counts that the provider gave.
    #[must_use]
    pub const fn measured(input_tokens: u64, output_tokens: u64) -> Self {
        Self { input_tokens, output_tokens, estimated: false }
    }

    /// Estimates the counts from the texts: a token for each four characters, the rule of thumb for English.
    #[must_use]
    #[expect(single_use_lifetimes, reason = "an anonymous lifetime is not allowed inside `impl Trait`")]
    pub fn estimate<'a>(input: impl IntoIterator<Item = &'a str>, output: &str) -> Self {
        let tokens = |text: &str| (text.chars().count() as u64).div_ceil(4);
        Self { input_tokens: input.into_iter().map(tokens).sum(), output_tokens: tokens(output), estimated: true }
    }
}

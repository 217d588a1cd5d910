use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use crate::{Completion, ModelError, Prompt};

/// The name of a model, as `extractive@1` or `openai/qwen3-4b`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(from = "String", into = "String")]
pub struct ModelId(Arc<str>);

impl ModelId {
    /// Returns the id of this name.
    #[must_use]
    pub fn new(name: impl Into<Arc<str>>) -> Self {
        Self(name.into())
    }

    /// Returns the name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl From<String> for ModelId {
    fn from(name: String) -> Self {
        Self::new(name)
    }
}

impl From<ModelId> for String {
    fn from(id: ModelId) -> Self {
        Self::from(id.as_str())
    }
}

impl fmt::Display for ModelId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Something that answers a prompt with a text: a local model or a provider's.
///
/// One call is one attempt: a model does not retry, so that retries, time limits and fall-backs are decided in one place
/// outside.
#[async_trait]
pub trait Model: Send + Sync + fmt::Debug + 'static {
    /// Returns the model's name; it is part of cache keys, so it changes when the model's answers do.
    fn id(&self) -> &ModelId;

    /// Answers the prompt.
    ///
    /// # Errors
    /// [`ModelError::InvalidPrompt`] before anything is sent; else what the provider or the network answered. See
    /// [`ModelError::is_transient`] for what may be tried again.
    ///
    /// # Cancel safety
    /// Dropping the future gives the call up; a provider may have counted its tokens already.
    async fn generate(&self, prompt: &Prompt) -> Result<Completion, ModelError>;
}

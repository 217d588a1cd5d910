#![doc = include_str!("../README.md")]
#![cfg_attr(docsrs, feature(doc_cfg))]

mod completion;
mod error;
mod extractive;
mod model;
mod prompt;

#[cfg(feature = "openai")]
pub mod openai;

pub use completion::{Completion, FinishReason, Usage};
pub use error::{ConfigError, ModelError};
pub use extractive::{ExtractiveConfig, ExtractiveModel};
pub use model::{Model, ModelId};
#[cfg(feature = "openai")]
pub use openai::{OpenAiCompatible, OpenAiCompatibleBuilder};
pub use prompt::{Message, Prompt, Role};

#[cfg(doctest)]
#[doc = include_str!("../../../docs/src/guides/models.md")]
struct Guide;

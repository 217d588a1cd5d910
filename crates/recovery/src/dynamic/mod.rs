//! Pipelines that are data: built from configuration, kept by key, changed while they run.

mod chain;
mod config;
mod registry;

pub use chain::PolicyChain;
pub use config::{PipelineConfig, PolicyConfig, RateLimitConfig};
pub use registry::{Registry, RegistryConfig, RegistryStats};

use crate::clock::TokioClock;
use crate::observer::NoObserver;
use crate::pipeline::Pipeline;

/// A pipeline built from configuration.
///
/// It is a [`Pipeline`] like any other, and can be called, linted and made a tower layer; each policy costs a box per
/// attempt.
pub type DynPipeline<C = TokioClock, O = NoObserver> = Pipeline<PolicyChain, C, O>;

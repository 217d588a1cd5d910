//! Answers that were given to a question that meant the same.
//!
//! A similarity score does not know what a question means. "How do I enable it" and "how do I disable
//! it" lie closer together than most paraphrases, in every embedding, so no threshold separates them.
//! That is why a hit here takes more than a score: a margin over the runner-up with another answer, a
//! [`ContentGate`] that refuses when numbers, negation, order or names differ, and, where it matters, a
//! closure of the caller's. What was wrong all the same is taken out by
//! [`evict_false_hit`](SemanticIndex::evict_false_hit).
//!
//! Namespaces are not optional: tenant, answering model and embedder each make another space, and no
//! look-up crosses from one to another. The scan is flat: exact, without a build step, about as fast as
//! memory for some ten thousand entries. An approximate index would trade recall that a cache of this
//! size has no need to give.

mod calibrate;
mod config;
mod embedder;
mod gate;
mod index;
mod space;
mod words;

pub use calibrate::{Calibration, LabeledScore, calibrate, wilson};
pub use config::{SemanticConfig, SemanticMode};
pub use embedder::{EmbedError, Embedder, NgramEmbedder};
pub use gate::{ContentGate, Refusal};
pub use index::{Candidate, EntryId, Found, Lookup, Namespace, SemanticError, SemanticIndex, SemanticStats};

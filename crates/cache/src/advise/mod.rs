//! What budget the hit ratio needs, from watching a sample of the keys.
//!
//! A shadow follows one key of 64, chosen by its hash, and for each of its requests the bytes of the
//! distinct sampled keys that were asked for since the last one: its reuse distance. A cache that keeps
//! what was used last hits exactly when that distance fits, so the distances are the whole curve of hit
//! ratio over budget, for every budget at once and larger ones than there is memory for.
//!
//! The algorithm is SHARDS (Waldspurger, Park, Garthwaite and Ahmad, "Efficient MRC Construction with
//! SHARDS", FAST'15), with its adjustment for the sampled requests being more or fewer than expected and
//! its bound on sampled keys, which lowers the rate when it is met. The policy of a real cache differs
//! from exact recency by some points, mostly for the better, so the advice is a guide and not a promise;
//! it never changes a setting by itself.

mod alert;
mod curve;
mod distance;
mod shadow;

pub use alert::{AlertConfig, RatioAlert, RatioChange};
pub use curve::{Advice, HitRatioCurve};
pub use shadow::{Shadow, ShadowConfig, SharedShadow};

#[cfg(test)]
mod tests;

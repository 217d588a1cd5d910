//! The public API of `bedplate-recovery`, from outside.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    clippy::cast_precision_loss,
    clippy::cast_sign_loss,
    clippy::needless_pass_by_value,
    reason = "a test fails by panicking, reports by printing and computes with small numbers"
)]

mod bad_input;
mod blocking;
mod boundary;
mod breaker;
mod budget;
mod bulkhead;
mod conformance;
mod dynamic;
mod fallback;
mod hedge;
mod load;
mod pipeline;
#[expect(unreachable_pub, reason = "shared with an example, which includes the files")]
mod simulations;
mod support;
mod surface;
#[cfg(feature = "tower")]
mod tower_layer;

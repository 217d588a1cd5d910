//! Foreign decoders behind `catch_unwind`.
//!
//! The decoders are written in safe Rust for files that mean well. On bytes made to hurt they may hit an index out of
//! bounds or an overflow, and a panic in one upload must not take down the worker that reads it. Unwinding is caught here
//! and becomes [`MediaError::DecoderPanicked`]; the panic hook of the process still prints its line. What a panic cannot
//! stop (allocation without bound, endless loops) is bounded before the call, by the limits. With `panic = "abort"` nothing
//! can be caught.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};

use crate::{Format, MediaError};

/// Runs a decoder that may panic on the bytes of `format`.
///
/// State that the closure borrows mutably may be left half-changed by a panic, so callers hand in what they drop on an error.
pub(crate) fn catching<T>(format: Format, decode: impl FnOnce() -> Result<T, MediaError>) -> Result<T, MediaError> {
    match catch_unwind(AssertUnwindSafe(decode)) {
        Ok(result) => result,
        Err(payload) => Err(MediaError::DecoderPanicked { format, message: message(&*payload) }),
    }
}

fn message(payload: &(dyn Any + Send)) -> String {
    let text = payload
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| payload.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("no message");
    text.chars().take(MAX_MESSAGE).collect()
}

const MAX_MESSAGE: usize = 200;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_becomes_an_error_with_its_message() {
        let outcome: Result<(), _> = catching(Format::Png, || panic!("index {} out of range", 7));
        let error = outcome.unwrap_err();
        assert!(
            matches!(&error, MediaError::DecoderPanicked { format: Format::Png, message } if message == "index 7 out of range"),
            "{error}"
        );
    }
}

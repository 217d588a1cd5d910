use std::error::Error;

use crate::{Format, Modality};

/// Says why a body was refused or could not be analyzed.
///
/// Every variant is a property of the input and the limits: the same call fails again, so none is worth a retry.
/// Messages name the field, its value and what would be right, and never quote the body.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum MediaError {
    /// The body has no bytes.
    #[error("body is empty: expected at least one byte")]
    Empty,
    /// The body is longer than the limit of its modality.
    #[error("body has {bytes} bytes: expected at most {limit}")]
    TooLarge {
        /// The length of the body.
        bytes: u64,
        /// The limit that applies, in bytes.
        limit: u64,
    },
    /// The body says one thing and what came with it another.
    #[error("{field} says {declared}, but the body is {found}")]
    Mismatch {
        /// What made the wrong claim: `modality` or `file_name`.
        field: &'static str,
        /// The claim.
        declared: String,
        /// What the bytes are.
        found: String,
    },
    /// The body should be text and is not UTF-8.
    #[error("text is not valid UTF-8 at byte {offset}: expected UTF-8 without a byte order mark of another encoding")]
    InvalidUtf8 {
        /// The offset of the first bad byte.
        offset: usize,
    },
    /// No known format begins with these bytes.
    #[error("format is not recognized: expected {expected}")]
    Unrecognized {
        /// The formats that would have been accepted.
        expected: String,
    },
    /// The format is known, but not to the analyser that was asked.
    #[error("{modality} analysis does not read {format}: expected {expected}")]
    WrongFormat {
        /// The modality whose analyser was called.
        modality: Modality,
        /// The format of the body.
        format: Format,
        /// The formats that would have been accepted.
        expected: String,
    },
    /// A figure in the header is over its limit; nothing was decoded.
    #[error("{field} is {value}: expected at most {limit}")]
    LimitExceeded {
        /// The figure, named as its limit is, e.g. `image.pixels`.
        field: &'static str,
        /// What the header claims.
        value: u64,
        /// The limit that applies.
        limit: u64,
    },
    /// The structure of the file contradicts itself.
    #[error("{format} is malformed: {detail}")]
    Malformed {
        /// The format of the body.
        format: Format,
        /// What is wrong, and what would be right.
        detail: String,
    },
    /// A decoder refused the content.
    #[error("{format} could not be decoded")]
    Decoder {
        /// The format of the body.
        format: Format,
        /// What the decoder said.
        source: Box<dyn Error + Send + Sync>,
    },
    /// A decoder panicked on the content; the panic was caught.
    #[error("decoder of {format} panicked: {message}")]
    DecoderPanicked {
        /// The format of the body.
        format: Format,
        /// The panic's message, cut to 200 characters.
        message: String,
    },
    /// The analyser of the modality is not compiled in.
    #[error("{modality} analysis is not compiled in: expected the feature `{modality}` of bedplate-media")]
    Disabled {
        /// The modality that was asked for.
        modality: Modality,
    },
}

impl MediaError {
    /// Returns a stable name of the variant for counters and records, e.g. `"too_large"`.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Empty => "empty",
            Self::TooLarge { .. } => "too_large",
            Self::Mismatch { .. } => "mismatch",
            Self::InvalidUtf8 { .. } => "invalid_utf8",
            Self::Unrecognized { .. } => "unrecognized",
            Self::WrongFormat { .. } => "wrong_format",
            Self::LimitExceeded { .. } => "limit_exceeded",
            Self::Malformed { .. } => "malformed",
            Self::Decoder { .. } => "decoder",
            Self::DecoderPanicked { .. } => "decoder_panicked",
            Self::Disabled { .. } => "disabled",
        }
    }

    /// Returns whether the same call may succeed later, which is never so: analysis is deterministic.
    #[must_use]
    #[expect(clippy::unused_self, reason = "the signature is that of every error of the workspace")]
    pub const fn is_transient(&self) -> bool {
        false
    }

    #[cfg(any(feature = "image", feature = "audio", feature = "video"))]
    pub(crate) fn decoder(format: Format, source: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self::Decoder { format, source: source.into() }
    }

    #[cfg(any(feature = "image", feature = "audio", feature = "video"))]
    pub(crate) fn malformed(format: Format, detail: impl Into<String>) -> Self {
        Self::Malformed { format, detail: detail.into() }
    }
}

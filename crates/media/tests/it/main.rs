//! Tests of the public API: known answers, real files and hostile bytes.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]
#![cfg_attr(
    any(feature = "image", feature = "video"),
    expect(clippy::indexing_slicing, reason = "a test fails by panicking")
)]

#[cfg(feature = "audio")]
mod audio;
mod bounds;
mod check;
#[cfg(all(feature = "text", feature = "image", feature = "audio", feature = "video"))]
mod hostile;
#[cfg(feature = "image")]
mod image;
mod samples;
#[cfg(feature = "text")]
mod text;
#[cfg(feature = "video")]
mod video;

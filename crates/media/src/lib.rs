#![doc = include_str!("../README.md")]

#[cfg(any(feature = "audio", feature = "video"))]
mod boxes;
#[cfg(any(feature = "audio", feature = "video"))]
mod budget;
mod check;
mod error;
mod format;
#[cfg(any(feature = "image", feature = "audio", feature = "video"))]
mod guard;
mod limits;
mod modality;
mod report;
mod sniff;
#[cfg(any(feature = "audio", feature = "video"))]
mod support;

#[cfg(feature = "audio")]
pub mod audio;
#[cfg(feature = "image")]
pub mod image;
#[cfg(feature = "text")]
pub mod text;
#[cfg(feature = "video")]
pub mod video;

pub use check::{check, check_within};
pub use error::MediaError;
pub use format::Format;
pub use limits::{AudioLimits, ImageLimits, Limits, LimitsError, TextLimits, VideoLimits};
pub use modality::{Modality, ParseModalityError};
pub use report::{Depth, Report, Warning, WarningKind, analyze, inspect};
pub use sniff::sniff;
#[cfg(any(feature = "audio", feature = "video"))]
pub use support::Support;

#[cfg(doctest)]
#[doc = include_str!("../../../docs/src/guides/media.md")]
struct Guide;

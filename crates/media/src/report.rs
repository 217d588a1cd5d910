use std::fmt;

use serde::{Deserialize, Serialize};

use crate::{Format, Limits, MediaError, Modality};

/// Says how far a report went.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Depth {
    /// The header or container alone was read: what needs decoding is absent.
    Inspected,
    /// The content was decoded and measured.
    Analyzed,
}

/// Says what a report lacks, and why.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Warning {
    /// The kind of gap, for programs.
    pub kind: WarningKind,
    /// What happened, for people.
    pub message: String,
}

/// Writes a number of things: "1 onset", "2 onsets".
#[cfg(any(feature = "text", feature = "image", feature = "audio", feature = "video"))]
pub(crate) fn counted(count: impl TryInto<u64>, thing: &str) -> String {
    let count = count.try_into().unwrap_or(u64::MAX);
    format!("{count} {thing}{}", if count == 1 { "" } else { "s" })
}

/// Names the kinds of gap in a report.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum WarningKind {
    /// The body ends before its content does.
    Truncated,
    /// Some content could not be decoded and was left out.
    Damaged,
    /// A limit cut the analysis short.
    LimitReached,
    /// A track or feature has no decoder here.
    Unsupported,
    /// Metadata could not be read.
    Metadata,
    /// Content is too short, or of a kind, for one of the measures.
    NotMeasurable,
}

impl Warning {
    #[cfg(any(feature = "text", feature = "image", feature = "audio", feature = "video"))]
    pub(crate) fn new(kind: WarningKind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into() }
    }
}

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

/// Holds the report of one body, tagged by modality.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "modality", rename_all = "snake_case")]
#[non_exhaustive]
pub enum Report {
    /// The report of a text.
    #[cfg(feature = "text")]
    Text(Box<crate::text::TextReport>),
    /// The report of a picture.
    #[cfg(feature = "image")]
    Image(Box<crate::image::ImageReport>),
    /// The report of a sound.
    #[cfg(feature = "audio")]
    Audio(Box<crate::audio::AudioReport>),
    /// The report of a video.
    #[cfg(feature = "video")]
    Video(Box<crate::video::VideoReport>),
}

impl Report {
    /// Returns the modality of the report.
    #[must_use]
    pub const fn modality(&self) -> Modality {
        match *self {
            #[cfg(feature = "text")]
            Self::Text(_) => Modality::Text,
            #[cfg(feature = "image")]
            Self::Image(_) => Modality::Image,
            #[cfg(feature = "audio")]
            Self::Audio(_) => Modality::Audio,
            #[cfg(feature = "video")]
            Self::Video(_) => Modality::Video,
        }
    }

    /// Returns how far the analysis went.
    #[must_use]
    pub const fn depth(&self) -> Depth {
        match *self {
            #[cfg(feature = "text")]
            Self::Text(ref report) => report.depth,
            #[cfg(feature = "image")]
            Self::Image(ref report) => report.depth,
            #[cfg(feature = "audio")]
            Self::Audio(ref report) => report.depth,
            #[cfg(feature = "video")]
            Self::Video(ref report) => report.depth,
        }
    }

    /// Returns what the report lacks.
    #[must_use]
    pub fn warnings(&self) -> &[Warning] {
        match *self {
            #[cfg(feature = "text")]
            Self::Text(ref report) => &report.warnings,
            #[cfg(feature = "image")]
            Self::Image(ref report) => &report.warnings,
            #[cfg(feature = "audio")]
            Self::Audio(ref report) => &report.warnings,
            #[cfg(feature = "video")]
            Self::Video(ref report) => &report.warnings,
        }
    }
}

impl fmt::Display for Report {
    #[cfg_attr(
        not(any(feature = "text", feature = "image", feature = "audio", feature = "video")),
        expect(unused_variables, reason = "without a modality there is no report")
    )]
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            #[cfg(feature = "text")]
            Self::Text(ref report) => report.fmt(f),
            #[cfg(feature = "image")]
            Self::Image(ref report) => report.fmt(f),
            #[cfg(feature = "audio")]
            Self::Audio(ref report) => report.fmt(f),
            #[cfg(feature = "video")]
            Self::Video(ref report) => report.fmt(f),
        }
    }
}

/// Analyzes a body as its format says, usually the answer of [`check`](crate::check()).
///
/// # Errors
///
/// [`MediaError::Disabled`] where the modality is not compiled in, else as the modality's own `analyze`.
///
/// # Examples
///
/// ```
/// # #[cfg(feature = "text")] {
/// use bedplate_media::{Limits, Modality, analyze, check};
///
/// let body = b"A short text. It has two sentences.";
/// let format = check(body, Some(Modality::Text), None)?;
/// let report = analyze(format, body, &Limits::default())?;
/// assert_eq!(report.modality(), Modality::Text);
/// # }
/// # Ok::<(), bedplate_media::MediaError>(())
/// ```
pub fn analyze(format: Format, bytes: &[u8], limits: &Limits) -> Result<Report, MediaError> {
    dispatch(format.modality(), bytes, limits, Depth::Analyzed)
}

/// Reads the header or container of a body alone, the cheap form of [`analyze`] that a caller falls back to.
///
/// # Errors
///
/// As [`analyze`].
pub fn inspect(format: Format, bytes: &[u8], limits: &Limits) -> Result<Report, MediaError> {
    dispatch(format.modality(), bytes, limits, Depth::Inspected)
}

#[cfg_attr(
    not(any(feature = "text", feature = "image", feature = "audio", feature = "video")),
    expect(unused_variables, reason = "without a modality there is nothing to call")
)]
fn dispatch(modality: Modality, bytes: &[u8], limits: &Limits, depth: Depth) -> Result<Report, MediaError> {
    match modality {
        #[cfg(feature = "text")]
        Modality::Text => {
            let text =
                std::str::from_utf8(bytes).map_err(|error| MediaError::InvalidUtf8 { offset: error.valid_up_to() })?;
            match depth {
                Depth::Inspected => crate::text::inspect(text, limits),
                Depth::Analyzed => crate::text::analyze(text, limits),
            }
            .map(|report| Report::Text(Box::new(report)))
        }
        #[cfg(feature = "image")]
        Modality::Image => match depth {
            Depth::Inspected => crate::image::inspect(bytes, limits),
            Depth::Analyzed => crate::image::analyze(bytes, limits),
        }
        .map(|report| Report::Image(Box::new(report))),
        #[cfg(feature = "audio")]
        Modality::Audio => match depth {
            Depth::Inspected => crate::audio::inspect(bytes, limits),
            Depth::Analyzed => crate::audio::analyze(bytes, limits),
        }
        .map(|report| Report::Audio(Box::new(report))),
        #[cfg(feature = "video")]
        Modality::Video => match depth {
            Depth::Inspected => crate::video::inspect(bytes, limits),
            Depth::Analyzed => crate::video::analyze(bytes, limits),
        }
        .map(|report| Report::Video(Box::new(report))),
        #[cfg(not(all(feature = "text", feature = "image", feature = "audio", feature = "video")))]
        modality => Err(MediaError::Disabled { modality }),
    }
}

#[cfg(all(test, any(feature = "text", feature = "image", feature = "audio", feature = "video")))]
mod tests {
    use super::counted;

    #[test]
    fn one_thing_is_singular() {
        assert_eq!(["0 onsets", "1 onset", "2 onsets"], [0_u32, 1, 2].map(|count| counted(count, "onset")));
    }
}

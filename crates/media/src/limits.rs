use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::Modality;

/// Bounds what one analysis may cost, applied before anything is decoded.
///
/// The defaults suit a service that takes uploads from strangers: the largest of them costs some hundred megabytes and a
/// few seconds. Plain data: change the fields you mean to, then hand the value to each call.
///
/// # Examples
///
/// ```
/// use bedplate_media::Limits;
///
/// let mut limits = Limits::default();
/// limits.image.max_pixels = 12_000_000;
/// limits.validate()?;
/// # Ok::<(), bedplate_media::LimitsError>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct Limits {
    /// Bounds of text.
    pub text: TextLimits,
    /// Bounds of pictures.
    pub image: ImageLimits,
    /// Bounds of sound.
    pub audio: AudioLimits,
    /// Bounds of video.
    pub video: VideoLimits,
}

/// Bounds what the analysis of a text may cost.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
#[expect(clippy::struct_field_names, reason = "every field is an upper bound, and says so")]
pub struct TextLimits {
    /// Longest body in bytes. Default 4 MiB, at least 1. Time and memory grow with it (some 20 bytes a byte of text). Too
    /// small refuses books; too large lets one request hold a worker for seconds.
    pub max_bytes: u64,
    /// Sentences that compete for the summary. Default 400, at least 1. Ranking costs its square in time and memory
    /// (400: 1.3 MB). Too small sums up the beginning alone; too large stalls on long texts.
    pub max_sentences: usize,
    /// Keywords in the report. Default 10; 0 asks for none. Costs nothing but the length of the report.
    pub max_keywords: usize,
}

/// Bounds what the analysis of a picture may cost.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
#[expect(clippy::struct_field_names, reason = "every field is an upper bound, and says so")]
pub struct ImageLimits {
    /// Longest body in bytes. Default 32 MiB, at least 1. Too small refuses photographs; too large costs memory before
    /// the header is read.
    pub max_bytes: u64,
    /// Widest picture in pixels. Default 16,384, at least 1. Too small refuses panoramas; larger costs through `max_pixels`.
    pub max_width: u32,
    /// Highest picture in pixels. Default 16,384, at least 1. As `max_width`.
    pub max_height: u32,
    /// Most pixels. Default 50,000,000, at least 1. Time grows with it (some 40 ns a pixel). Too small refuses cameras;
    /// too large admits decompression bombs.
    pub max_pixels: u64,
    /// Most bytes that the decoded pixels, and the decoder's own buffers, may take. Default 256 MiB, at least 1. Too
    /// small refuses 16-bit pictures that pass `max_pixels`; too large is what a bomb may allocate.
    pub max_decoded_bytes: u64,
    /// EXIF fields listed in the report. Default 64; 0 lists none. The typed fields are read in any case.
    pub max_exif_fields: usize,
}

/// Bounds what the analysis of a sound may cost.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
#[expect(clippy::struct_field_names, reason = "every field is an upper bound, and says so")]
pub struct AudioLimits {
    /// Longest body in bytes. Default 64 MiB, at least 1. Too small refuses albums; too large costs memory before the
    /// header is read.
    pub max_bytes: u64,
    /// Longest sound. Default 30 minutes, more than zero; whole and broken seconds in serialized form. A header that
    /// claims more is refused, a stream that turns out longer is analyzed up to here with a warning. Some 15 ms of one
    /// core a second of stereo sound.
    #[serde(with = "seconds")]
    pub max_duration: Duration,
    /// Most channels. Default 8, at least 1. Loudness and true peak cost each channel alike.
    pub max_channels: u16,
    /// Highest sample rate in hertz. Default 384,000, at least 1. Cost grows with it.
    pub max_sample_rate: u32,
    /// Most samples over all channels. Default 200,000,000 (34 minutes of stereo at 48 kHz), at least 1. The bound on
    /// time that `max_duration` is not where channels are many and rates high; what is longer is cut with a warning.
    pub max_samples: u64,
    /// Onset times listed in the report. Default 256; 0 lists none. All are counted in any case.
    pub max_onsets: usize,
}

/// Bounds what the analysis of a video may cost.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct VideoLimits {
    /// Longest body in bytes. Default 256 MiB, at least 1. Too small refuses films; too large costs memory before the
    /// header is read.
    pub max_bytes: u64,
    /// Most pixels of a frame. Default 8,912,896 (4096 × 2176), at least 1. The decoder holds up to 17 frames of 1.5
    /// bytes a pixel. A larger track is listed as unsupported.
    pub max_frame_pixels: u64,
    /// Most tracks. Default 64, at least 1. A file with more is refused.
    pub max_tracks: usize,
    /// Most samples over all tracks. Default 2,000,000, at least 1 (some 60 bytes each). A file with more is refused.
    pub max_samples: u64,
    /// Most boxes or elements of the container. Default 1,000,000, at least 1. A file with more is refused.
    pub max_boxes: u64,
    /// Most frames decoded for cuts and thumbnail. Default 300; 0 decodes none. See `max_decoded_pixels`.
    pub max_frames_decoded: u32,
    /// Most pixels decoded over all frames. Default 64,000,000 (69 frames of 720p, some 0.9 s of one core); 0 decodes
    /// none. Above the smaller of the two budgets frames are skipped: first those no other frame needs, then all but key
    /// frames, then the end of the film. Too small misses cuts; too large holds a worker for long.
    pub max_decoded_pixels: u64,
    /// Width of the thumbnail in pixels. Default 320, from 16 to 1,024. Costs the length of the report.
    pub thumbnail_width: u32,
}

impl Limits {
    /// Returns the longest body of a modality in bytes.
    #[must_use]
    pub const fn max_bytes(&self, modality: Modality) -> u64 {
        match modality {
            Modality::Text => self.text.max_bytes,
            Modality::Image => self.image.max_bytes,
            Modality::Audio => self.audio.max_bytes,
            Modality::Video => self.video.max_bytes,
        }
    }

    /// Checks every field against its bounds.
    ///
    /// # Errors
    ///
    /// The first field outside its bounds, with its value and what is expected.
    pub fn validate(&self) -> Result<(), LimitsError> {
        let at_least_one = [
            ("text.max_bytes", self.text.max_bytes),
            ("text.max_sentences", self.text.max_sentences as u64),
            ("image.max_bytes", self.image.max_bytes),
            ("image.max_width", u64::from(self.image.max_width)),
            ("image.max_height", u64::from(self.image.max_height)),
            ("image.max_pixels", self.image.max_pixels),
            ("image.max_decoded_bytes", self.image.max_decoded_bytes),
            ("audio.max_bytes", self.audio.max_bytes),
            ("audio.max_channels", u64::from(self.audio.max_channels)),
            ("audio.max_sample_rate", u64::from(self.audio.max_sample_rate)),
            ("audio.max_samples", self.audio.max_samples),
            ("video.max_bytes", self.video.max_bytes),
            ("video.max_frame_pixels", self.video.max_frame_pixels),
            ("video.max_tracks", self.video.max_tracks as u64),
            ("video.max_samples", self.video.max_samples),
            ("video.max_boxes", self.video.max_boxes),
        ];
        for (field, value) in at_least_one {
            if value == 0 {
                return Err(LimitsError::new(field, "0", "at least 1"));
            }
        }
        if self.audio.max_duration.is_zero() {
            let field = "audio.max_duration";
            return Err(LimitsError::new(field, "0 s", "more than 0 s"));
        }
        if !(16..=1_024).contains(&self.video.thumbnail_width) {
            let width = self.video.thumbnail_width.to_string();
            let field = "video.thumbnail_width";
            return Err(LimitsError::new(field, &width, "16 to 1024"));
        }
        Ok(())
    }

    pub(crate) fn max_bytes_of_any(&self) -> u64 {
        Modality::ALL.into_iter().map(|modality| self.max_bytes(modality)).max().unwrap_or_default()
    }
}

impl Default for TextLimits {
    fn default() -> Self {
        Self { max_bytes: 4 << 20, max_sentences: 400, max_keywords: 10 }
    }
}

impl Default for ImageLimits {
    fn default() -> Self {
        Self {
            max_bytes: 32 << 20,
            max_width: 16_384,
            max_height: 16_384,
            max_pixels: 50_000_000,
            max_decoded_bytes: 256 << 20,
            max_exif_fields: 64,
        }
    }
}

impl Default for AudioLimits {
    fn default() -> Self {
        Self {
            max_bytes: 64 << 20,
            max_duration: Duration::from_mins(30),
            max_channels: 8,
            max_sample_rate: 384_000,
            max_samples: 200_000_000,
            max_onsets: 256,
        }
    }
}

impl Default for VideoLimits {
    fn default() -> Self {
        Self {
            max_bytes: 256 << 20,
            max_frame_pixels: 4_096 * 2_176,
            max_tracks: 64,
            max_samples: 2_000_000,
            max_boxes: 1_000_000,
            max_frames_decoded: 300,
            max_decoded_pixels: 64_000_000,
            thumbnail_width: 320,
        }
    }
}

/// Names a limit outside its bounds.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("limit {field} is {value}: expected {expected}")]
pub struct LimitsError {
    field: &'static str,
    value: String,
    expected: &'static str,
}

impl LimitsError {
    fn new(field: &'static str, value: &str, expected: &'static str) -> Self {
        Self { field, value: value.to_owned(), expected }
    }

    /// Returns the name of the field, e.g. `"image.max_pixels"`.
    #[must_use]
    pub const fn field(&self) -> &'static str {
        self.field
    }
}

/// A duration as a number of seconds: a configuration says `max_duration = 90`.
mod seconds {
    use std::time::Duration;

    use serde::de::Error as _;
    use serde::{Deserialize as _, Deserializer, Serializer};

    pub(super) fn serialize<S: Serializer>(duration: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_f64(duration.as_secs_f64())
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
        let seconds = f64::deserialize(deserializer)?;
        Duration::try_from_secs_f64(seconds).map_err(D::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_defaults_are_valid() {
        assert_eq!(Limits::default().validate(), Ok(()));
    }

    #[test]
    fn a_limit_of_zero_is_refused_by_name() {
        let mut limits = Limits::default();
        limits.image.max_pixels = 0;
        let error = limits.validate().unwrap_err();
        assert_eq!(error.field(), "image.max_pixels");
        assert_eq!(error.to_string(), "limit image.max_pixels is 0: expected at least 1");
    }

    #[test]
    fn json_goes_both_ways_and_unknown_fields_are_refused() {
        let limits = Limits::default();
        let json = serde_json::to_string(&limits).unwrap();
        assert_eq!(serde_json::from_str::<Limits>(&json).unwrap(), limits);
        let part: Limits = serde_json::from_str(r#"{"audio":{"max_duration":1.5}}"#).unwrap();
        assert_eq!(part.audio.max_duration, Duration::from_millis(1_500));
        assert!(serde_json::from_str::<Limits>(r#"{"audio":{"max_length":1}}"#).is_err());
    }
}

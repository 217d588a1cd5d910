use std::fmt;

use serde::{Deserialize, Serialize};

use super::FrameSampling;
use super::base64;
use crate::report::counted;
use crate::support::Support;
use crate::{Depth, Format, Warning};

/// Says what a video contains.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct VideoReport {
    /// How far the analysis went.
    pub depth: Depth,
    /// The file format.
    pub container: Format,
    /// The length of the body in bytes.
    pub bytes: u64,
    /// The length of the longest track in seconds.
    pub duration_seconds: Option<f64>,
    /// All tracks, in the order of the file.
    pub tracks: Vec<VideoTrack>,
    /// Which frames were decoded; absent where none were.
    pub sampling: Option<FrameSampling>,
    /// How many frames were decoded.
    pub frames_decoded: u32,
    /// Where one shot ends and another begins, among the decoded frames.
    pub cuts: Vec<Cut>,
    /// A small picture of the decoded frame richest in tones.
    pub thumbnail: Option<Thumbnail>,
    /// What the report lacks.
    pub warnings: Vec<Warning>,
}

/// Describes a track.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct VideoTrack {
    /// The number of the track in the file.
    pub id: u64,
    /// What the track carries.
    pub kind: TrackKind,
    /// The codec, as in the `codecs` parameter of RFC 6381 for MPEG-4 (`"avc1.640028"`), as Matroska's codec ID there.
    pub codec: Option<String>,
    /// The language, as the file spells it (ISO 639-2 or BCP 47); absent where undetermined.
    pub language: Option<String>,
    /// The length in seconds.
    pub duration_seconds: Option<f64>,
    /// The width of a frame in pixels.
    pub width: Option<u32>,
    /// The height of a frame in pixels.
    pub height: Option<u32>,
    /// The mean number of frames a second.
    pub frame_rate_hertz: Option<f64>,
    /// The number of samples: frames, or packets of sound. Absent for Matroska where merely inspected.
    pub samples: Option<u64>,
    /// The number of samples at which decoding can begin, of a video track.
    pub key_frames: Option<u64>,
    /// The sample rate of sound in hertz.
    pub sample_rate_hertz: Option<u32>,
    /// The number of channels of sound.
    pub channels: Option<u16>,
    /// What became of the track.
    pub support: Support,
}

/// Names what a track carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum TrackKind {
    /// Pictures.
    Video,
    /// Sound.
    Audio,
    /// Subtitles.
    Subtitle,
    /// Anything else: time codes, hints, metadata.
    Other,
}

/// Marks the first frame of a shot.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Cut {
    /// When the frame is shown, in seconds.
    pub seconds: f64,
    /// How much its luma histogram differs from that of the frame before, from 0 to 1.
    pub distance: f64,
}

/// Holds a small picture as a PNG file.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Thumbnail {
    /// When the frame is shown, in seconds.
    pub seconds: f64,
    /// The width in pixels.
    pub width: u32,
    /// The height in pixels.
    pub height: u32,
    /// The PNG file; base64 in serialized form.
    #[serde(with = "base64")]
    pub png: Vec<u8>,
}

impl fmt::Debug for Thumbnail {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Thumbnail")
            .field("seconds", &self.seconds)
            .field("width", &self.width)
            .field("height", &self.height)
            .field("png_bytes", &self.png.len())
            .finish()
    }
}

impl fmt::Display for VideoReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.container)?;
        if let Some(duration) = self.duration_seconds {
            write!(f, ", {duration:.2} s")?;
        }
        write!(f, ", {}", counted(self.tracks.len(), "track"))?;
        for track in self.tracks.iter().take(4) {
            write!(f, "\n{track}")?;
        }
        if let Some(sampling) = self.sampling {
            let (frames, cuts) = (counted(self.frames_decoded, "frame"), counted(self.cuts.len(), "cut"));
            write!(f, "\n{frames} decoded ({sampling}), {cuts}")?;
        }
        if let Some(thumbnail) = &self.thumbnail {
            let Thumbnail { seconds, width, height, .. } = thumbnail;
            write!(f, "\nthumbnail {width} × {height} pixels from {seconds:.2} s")?;
        }
        for warning in self.warnings.iter().take(1) {
            write!(f, "\nnote: {warning}")?;
        }
        Ok(())
    }
}

impl fmt::Display for VideoTrack {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = match self.kind {
            TrackKind::Video => "video",
            TrackKind::Audio => "audio",
            TrackKind::Subtitle => "subtitles",
            TrackKind::Other => "other",
        };
        let codec = self.codec.as_deref().unwrap_or("unknown codec");
        write!(f, "track {}: {kind}, {codec}", self.id)?;
        if let (Some(width), Some(height)) = (self.width, self.height) {
            write!(f, ", {width} × {height} pixels")?;
        }
        if let Some(rate) = self.frame_rate_hertz {
            write!(f, ", {rate:.2} frames a second")?;
        }
        if let (Some(samples), Some(keys)) = (self.samples, self.key_frames) {
            write!(f, ", {}, {}", counted(samples, "frame"), counted(keys, "key frame"))?;
        }
        if let (Some(rate), Some(channels)) = (self.sample_rate_hertz, self.channels) {
            write!(f, ", {rate} Hz, {}", counted(channels, "channel"))?;
        }
        if let Support::Unsupported { reason } = &self.support {
            write!(f, " (not decoded: {reason})")?;
        }
        Ok(())
    }
}

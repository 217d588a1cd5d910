//! What a video contains: tracks, cuts and a thumbnail.
//!
//! The container is checked, then parsed; of the tracks, the first H.264 one is decoded as far as the budget goes. Frames are
//! compared and dropped one by one. Other codecs are listed as they are: an unsupported track does not fail the file.

mod aac;
mod avc;
mod base64;
mod cuts;
mod frames;
mod matroska;
mod mp4;
mod plan;
mod report;
mod thumbnail;

pub use self::plan::FrameSampling;
pub use self::report::{Cut, Thumbnail, TrackKind, VideoReport, VideoTrack};

use crate::check::require_format;
use crate::guard::catching;
use crate::support::Support;
use crate::{Depth, Format, Limits, MediaError, Modality, Warning, WarningKind};

/// Analyzes a video: its tracks, and cuts and thumbnail of the first H.264 track.
///
/// # Errors
///
/// [`MediaError::Empty`], [`MediaError::TooLarge`], [`MediaError::Unrecognized`] and [`MediaError::WrongFormat`] by the bytes;
/// [`MediaError::LimitExceeded`] and [`MediaError::Malformed`] by the container; [`MediaError::Decoder`] and
/// [`MediaError::DecoderPanicked`] where the container cannot be parsed. A track that cannot be decoded is no error.
pub fn analyze(bytes: &[u8], limits: &Limits) -> Result<VideoReport, MediaError> {
    let (mut report, stream) = open(bytes, limits, Depth::Analyzed)?;
    report.depth = Depth::Analyzed;
    for track in &mut report.tracks {
        track.support = Support::Unsupported {
            reason: match track.kind {
                TrackKind::Video => "only H.264 pictures are decoded".to_owned(),
                _ => "video analysis decodes pictures alone".to_owned(),
            },
        };
    }
    let Some(stream) = stream else {
        return Ok(report);
    };
    let track_id = stream.track_id;
    let format = report.container;
    let support = match catching(format, || frames::examine(bytes, format, &stream, limits)) {
        Ok(Ok(found)) => {
            report.sampling = Some(found.sampling);
            report.frames_decoded = found.frames_decoded;
            report.cuts = found.cuts;
            report.thumbnail = found.thumbnail;
            report.warnings.extend(found.warnings);
            Support::Analyzed
        }
        Ok(Err(reason)) => Support::Unsupported { reason },
        Err(error) => {
            let message = format!("track {track_id} was left out: {error}");
            report.warnings.push(Warning::new(WarningKind::Damaged, message));
            Support::Unsupported { reason: error.to_string() }
        }
    };
    if let Some(track) = report.tracks.iter_mut().find(|track| track.id == track_id) {
        track.support = support;
    }
    Ok(report)
}

/// Reads the container of a video alone, the cheap form of [`analyze`].
///
/// # Errors
///
/// As [`analyze`].
pub fn inspect(bytes: &[u8], limits: &Limits) -> Result<VideoReport, MediaError> {
    open(bytes, limits, Depth::Inspected).map(|(report, _)| report)
}

/// The H.264 track to decode.
struct Stream {
    track_id: u64,
    config: avc::Config,
    samples: Vec<Sample>,
}

/// A sample of the track: where its bytes are, or how many blocks of the track come before it.
#[derive(Debug, Clone, Copy)]
struct Sample {
    start: usize,
    length: usize,
    seconds: f64,
    key: bool,
    reference: bool,
}

fn open(bytes: &[u8], limits: &Limits, depth: Depth) -> Result<(VideoReport, Option<Stream>), MediaError> {
    let is_video = |format: Format| format.modality() == Modality::Video || format == Format::M4a;
    let format = require_format(bytes, Modality::Video, is_video, limits.video.max_bytes)?;
    catching(format, || match format {
        Format::Matroska | Format::WebM => matroska::open(bytes, format, limits, depth),
        _ => mp4::open(bytes, format, limits),
    })
}

//! What a sound contains: length, loudness, peaks, brightness and onsets.
//!
//! Packets are decoded one by one and measured as they come; the PCM of a whole sound is never in memory. A broken packet
//! is left out with a warning, and a sound that ends early is reported as far as it goes.

mod decode;
mod loudness;
mod meter;
mod onsets;
mod report;
mod spectrum;

pub use self::report::AudioReport;

use crate::check::require_format;
use crate::support::Support;
use crate::{Depth, Format, Limits, MediaError, Modality, Warning, WarningKind};

/// Analyzes a sound: the first audio track of WAV, Ogg, MP3, FLAC or an ISO base media file.
///
/// A codec without a decoder here is no error: the report lists the track as [`Support::Unsupported`].
///
/// # Errors
///
/// [`MediaError::Empty`], [`MediaError::TooLarge`], [`MediaError::Unrecognized`] and [`MediaError::WrongFormat`] by the bytes;
/// [`MediaError::LimitExceeded`] by the header; [`MediaError::Decoder`], [`MediaError::Malformed`] and
/// [`MediaError::DecoderPanicked`] where nothing could be decoded.
pub fn analyze(bytes: &[u8], limits: &Limits) -> Result<AudioReport, MediaError> {
    let format = format_of(bytes, limits)?;
    let (mut report, decoded) = decode::measure(bytes, format, limits)?;
    report.depth = Depth::Analyzed;
    let Some(decoded) = decoded else {
        return Ok(report);
    };
    report.support = Support::Analyzed;
    report.duration_seconds = Some(decoded.duration_seconds);
    report.peak_dbfs = decoded.peak_dbfs;
    report.rms_dbfs = decoded.rms_dbfs;
    report.integrated_loudness_lufs = decoded.loudness.integrated;
    report.loudness_range_lu = decoded.loudness.range;
    report.true_peak_dbtp = decoded.loudness.true_peak;
    report.spectral_centroid_hertz = decoded.centroid_hertz;
    let onsets = decoded.onsets_seconds;
    report.onset_count = Some(onsets.len() as u64);
    report.onsets_seconds = onsets.into_iter().take(limits.audio.max_onsets).collect();
    if report.integrated_loudness_lufs.is_none() {
        report
            .warnings
            .push(Warning::new(WarningKind::NotMeasurable, "integrated loudness needs 0.4 s of sound above -70 LUFS"));
    }
    Ok(report)
}

/// Reads the container of a sound alone, the cheap form of [`analyze`].
///
/// # Errors
///
/// As [`analyze`], less what only decoding shows.
pub fn inspect(bytes: &[u8], limits: &Limits) -> Result<AudioReport, MediaError> {
    decode::describe(bytes, format_of(bytes, limits)?, limits)
}

fn format_of(bytes: &[u8], limits: &Limits) -> Result<Format, MediaError> {
    let has_sound =
        |format: Format| format.modality() == Modality::Audio || matches!(format, Format::Mp4 | Format::QuickTime);
    require_format(bytes, Modality::Audio, has_sound, limits.audio.max_bytes)
}

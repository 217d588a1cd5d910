use re_mp4::{Mp4, StsdBoxContent, Track};

use super::avc::Config;
use super::{Sample, Stream, TrackKind, VideoReport, VideoTrack, aac};
use crate::budget::Budgeted;
use crate::support::Support;
use crate::{Depth, Format, Limits, MediaError, Warning, WarningKind, boxes};

/// Reads the tracks of an ISO base media file, whose sample tables stand in its header.
pub(super) fn open(bytes: &[u8], format: Format, limits: &Limits) -> Result<(VideoReport, Option<Stream>), MediaError> {
    let boxes = boxes::check(bytes, format, limits)?;
    let whole = bytes.get(..boxes.whole).unwrap_or(bytes);
    let reader = Budgeted::new(whole, boxes.structure);
    let mp4 = Mp4::read(reader, whole.len() as u64).map_err(|error| MediaError::decoder(format, error))?;

    let mut warnings = Vec::new();
    if boxes.truncated {
        warnings.push(Warning::new(WarningKind::Truncated, "the file ends before its content does"));
    }
    let tracks: Vec<VideoTrack> = mp4.tracks().values().map(|track| describe(track, &mp4)).collect();
    let duration = tracks.iter().filter_map(|track| track.duration_seconds).max_by(f64::total_cmp);
    let stream = mp4.tracks().values().find_map(|track| stream(track, &mp4, bytes));
    let report = VideoReport {
        depth: Depth::Inspected,
        container: format,
        bytes: bytes.len() as u64,
        duration_seconds: duration,
        tracks,
        sampling: None,
        frames_decoded: 0,
        cuts: Vec::new(),
        thumbnail: None,
        warnings,
    };
    Ok((report, stream))
}

fn describe(track: &Track, mp4: &Mp4) -> VideoTrack {
    let kind = match track.kind {
        Some(re_mp4::TrackKind::Video) => TrackKind::Video,
        Some(re_mp4::TrackKind::Audio) => TrackKind::Audio,
        Some(re_mp4::TrackKind::Subtitle) => TrackKind::Subtitle,
        None => TrackKind::Other,
    };
    let is_video = kind == TrackKind::Video;
    let media = &track.trak(mp4).mdia;
    let samples = track.samples.len() as u64;
    let duration = seconds(track.duration, track.timescale);
    #[expect(clippy::cast_precision_loss, reason = "sample counts are under their limit")]
    let rate = duration.filter(|duration| is_video && *duration > 0.0).map(|duration| samples as f64 / duration);
    let keys = track.samples.iter().filter(|sample| sample.is_sync).count() as u64;
    let (mut sample_rate, mut channels) = (None, None);
    if let StsdBoxContent::Mp4a(sound) = &media.minf.stbl.stsd.contents {
        let (rate, count) = aac::rate_and_channels(sound);
        (sample_rate, channels) = (Some(rate), Some(count));
    }
    VideoTrack {
        id: u64::from(track.track_id),
        kind,
        codec: codec(track, mp4),
        language: Some(media.mdhd.language.clone()).filter(|language| is_language(language)),
        duration_seconds: duration,
        width: is_video.then(|| u32::from(track.width)),
        height: is_video.then(|| u32::from(track.height)),
        frame_rate_hertz: rate,
        samples: Some(samples),
        key_frames: is_video.then_some(keys),
        sample_rate_hertz: sample_rate,
        channels,
        support: Support::Listed,
    }
}

/// The parser spells the parameters of pictures; of sound and the rest the name of the sample entry is known.
fn codec(track: &Track, mp4: &Mp4) -> Option<String> {
    let name = track.codec_string(mp4).or_else(|| match &track.trak(mp4).mdia.minf.stbl.stsd.contents {
        StsdBoxContent::Mp4a(_) => Some("mp4a".to_owned()),
        StsdBoxContent::Tx3g(_) => Some("tx3g".to_owned()),
        StsdBoxContent::Unknown(name) => Some(name.to_string()),
        _ => None,
    })?;
    Some(name.chars().filter(|c| !c.is_control()).take(MAX_CODEC).collect())
}

fn stream(track: &Track, mp4: &Mp4, bytes: &[u8]) -> Option<Stream> {
    let StsdBoxContent::Avc1(_) = &track.trak(mp4).mdia.minf.stbl.stsd.contents else {
        return None;
    };
    let config = Config::parse(&track.raw_codec_config(mp4)?)?;
    let samples = track
        .samples
        .iter()
        .map_while(|sample| {
            let start = usize::try_from(sample.offset).ok()?;
            let length = usize::try_from(sample.size).ok()?;
            // What lies behind the end of a truncated file is not there to decode.
            let data = bytes.get(start..start.checked_add(length)?)?;
            Some(Sample {
                start,
                length,
                seconds: signed_seconds(sample.composition_timestamp, sample.timescale),
                key: sample.is_sync,
                reference: config.is_reference(data),
            })
        })
        .collect();
    Some(Stream { track_id: u64::from(track.track_id), config, samples })
}

#[expect(clippy::cast_precision_loss, reason = "a time in seconds needs no more than 53 bits")]
fn seconds(ticks: u64, scale: u64) -> Option<f64> {
    (scale > 0).then(|| ticks as f64 / scale as f64)
}

#[expect(clippy::cast_precision_loss, reason = "a time in seconds needs no more than 53 bits")]
fn signed_seconds(ticks: i64, scale: u64) -> f64 {
    ticks as f64 / scale.max(1) as f64
}

fn is_language(code: &str) -> bool {
    code.len() == 3 && code != "und" && code.bytes().all(|byte| byte.is_ascii_lowercase())
}

const MAX_CODEC: usize = 64;

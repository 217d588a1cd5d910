use std::collections::BTreeMap;

use matroska_demuxer::{Frame, MatroskaFile, TrackEntry, TrackType};

use super::avc::Config;
use super::{Sample, Stream, TrackKind, VideoReport, VideoTrack};
use crate::budget::Budgeted;
use crate::support::Support;
use crate::{Depth, Format, Limits, MediaError, Warning, WarningKind};

/// Reads the tracks of a Matroska file, and where depth asks for it its blocks, which stand in no table.
pub(super) fn open(
    bytes: &[u8],
    format: Format,
    limits: &Limits,
    depth: Depth,
) -> Result<(VideoReport, Option<Stream>), MediaError> {
    let file = demuxer(bytes, format)?;
    let found = file.tracks().len();
    if found > limits.video.max_tracks {
        return Err(MediaError::LimitExceeded {
            field: "video.tracks",
            value: found as u64,
            limit: limits.video.max_tracks as u64,
        });
    }
    let mut tracks: Vec<VideoTrack> = file.tracks().iter().map(describe).collect();
    #[expect(clippy::cast_precision_loss, reason = "a time in seconds needs no more than 53 bits")]
    let tick = file.info().timestamp_scale().get() as f64 / 1e9;
    let duration = file.info().duration().map(|ticks| ticks * tick);
    let mut stream = file.tracks().iter().find_map(begin);
    let mut warnings = Vec::new();
    if depth == Depth::Analyzed {
        let seen = scan(file, tick, stream.as_mut(), limits)?;
        for track in &mut tracks {
            let (samples, keys, last) = seen.tracks.get(&track.id).copied().unwrap_or_default();
            track.samples = Some(samples);
            track.key_frames = (track.kind == TrackKind::Video).then_some(keys);
            track.duration_seconds = Some(last);
        }
        if seen.broken {
            let message = "the blocks end in the middle of one";
            warnings.push(Warning::new(WarningKind::Truncated, message));
        }
    }
    let report = VideoReport {
        depth: Depth::Inspected,
        container: format,
        bytes: bytes.len() as u64,
        duration_seconds: duration.filter(|seconds| seconds.is_finite() && *seconds >= 0.0),
        tracks,
        sampling: None,
        frames_decoded: 0,
        cuts: Vec::new(),
        thumbnail: None,
        warnings,
    };
    Ok((report, stream))
}

/// Hands the chosen samples of the stream to a visitor until it has had enough.
pub(super) fn visit(
    bytes: &[u8],
    format: Format,
    stream: &Stream,
    chosen: &[usize],
    mut visitor: impl FnMut(usize, &[u8]) -> bool,
) -> Result<(), MediaError> {
    let mut file = demuxer(bytes, format)?;
    let mut frame = Frame::default();
    let mut chosen = chosen.iter().copied().peekable();
    let mut index = 0;
    while chosen.peek().is_some() && file.next_frame(&mut frame).unwrap_or(false) {
        if frame.track != stream.track_id {
            continue;
        }
        if chosen.next_if_eq(&index).is_some() && !visitor(index, &frame.data) {
            break;
        }
        index += 1;
    }
    Ok(())
}

fn demuxer(bytes: &[u8], format: Format) -> Result<MatroskaFile<Budgeted<'_>>, MediaError> {
    MatroskaFile::open(Budgeted::new(bytes, bytes.len())).map_err(|error| MediaError::decoder(format, error))
}

fn describe(entry: &TrackEntry) -> VideoTrack {
    let kind = match entry.track_type() {
        TrackType::Video => TrackKind::Video,
        TrackType::Audio => TrackKind::Audio,
        TrackType::Subtitle => TrackKind::Subtitle,
        _ => TrackKind::Other,
    };
    let size = |value: u64| u32::try_from(value).ok();
    let text = |text: &str| text.chars().take(MAX_TEXT).collect::<String>();
    let video = entry.video();
    let audio = entry.audio();
    #[expect(clippy::cast_precision_loss, reason = "a rate needs no more than 53 bits")]
    let rate =
        entry.default_duration().filter(|_| kind == TrackKind::Video).map(|nanoseconds| 1e9 / nanoseconds.get() as f64);
    VideoTrack {
        id: entry.track_number().get(),
        kind,
        codec: Some(text(entry.codec_id())),
        language: entry.language_bcp47().or_else(|| entry.language()).filter(|language| *language != "und").map(text),
        duration_seconds: None,
        width: video.and_then(|video| size(video.pixel_width().get())),
        height: video.and_then(|video| size(video.pixel_height().get())),
        frame_rate_hertz: rate,
        samples: None,
        key_frames: None,
        sample_rate_hertz: audio.and_then(|audio| hertz(audio.sampling_frequency())),
        channels: audio.and_then(|audio| u16::try_from(audio.channels().get()).ok()),
        support: Support::Listed,
    }
}

fn begin(entry: &TrackEntry) -> Option<Stream> {
    // Encrypted or compressed blocks are no units of H.264.
    if entry.codec_id() != "V_MPEG4/ISO/AVC" || entry.content_encodings().is_some() {
        return None;
    }
    Some(Stream {
        track_id: entry.track_number().get(),
        config: Config::parse(entry.codec_private()?)?,
        samples: Vec::new(),
    })
}

struct Seen {
    /// Samples, key frames and the time of the last sample of each track.
    tracks: BTreeMap<u64, (u64, u64, f64)>,
    broken: bool,
}

fn scan(
    mut file: MatroskaFile<Budgeted<'_>>,
    tick: f64,
    mut stream: Option<&mut Stream>,
    limits: &Limits,
) -> Result<Seen, MediaError> {
    let mut tracks: BTreeMap<u64, (u64, u64, f64)> =
        file.tracks().iter().map(|track| (track.track_number().get(), (0, 0, 0.0))).collect();
    let mut frame = Frame::default();
    let mut total = 0;
    let broken = loop {
        match file.next_frame(&mut frame) {
            Ok(true) => {}
            Ok(false) => break false,
            Err(_) => break true,
        }
        total += 1;
        if total > limits.video.max_samples {
            return Err(MediaError::LimitExceeded {
                field: "video.samples",
                value: total,
                limit: limits.video.max_samples,
            });
        }
        #[expect(clippy::cast_precision_loss, reason = "a time in seconds needs no more than 53 bits")]
        let seconds = frame.timestamp as f64 * tick;
        let mut key = frame.is_keyframe.unwrap_or(false);
        if let Some(stream) = stream.as_mut().filter(|stream| stream.track_id == frame.track) {
            // Blocks in groups say nothing about keys; the units do.
            key |= frame.is_keyframe.is_none() && stream.config.is_refresh(&frame.data);
            stream.samples.push(Sample {
                start: 0,
                length: frame.data.len(),
                seconds,
                key,
                reference: stream.config.is_reference(&frame.data),
            });
        }
        // A block of a track that the header does not know counts for none.
        if let Some((samples, keys, last)) = tracks.get_mut(&frame.track) {
            *samples += 1;
            *keys += u64::from(key);
            *last = last.max(seconds);
        }
    };
    Ok(Seen { tracks, broken })
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a float cast saturates, and what is no rate is filtered out"
)]
fn hertz(rate: f64) -> Option<u32> {
    (rate.is_finite() && rate >= 1.0).then_some(rate.round() as u32)
}

const MAX_TEXT: usize = 64;

use symphonia::core::codecs::CodecParameters;
use symphonia::core::codecs::audio::{AudioCodecParameters, AudioDecoder, AudioDecoderOptions};
use symphonia::core::errors::Error;
use symphonia::core::formats::probe::Hint;
use symphonia::core::formats::{FormatOptions, FormatReader, Track, TrackType};
use symphonia::core::io::{MediaSourceStream, MediaSourceStreamOptions};
use symphonia::core::meta::MetadataOptions;

use super::AudioReport;
use super::meter::{Measured, Meter};
use crate::budget::Budgeted;
use crate::guard::catching;
use crate::report::counted;
use crate::support::Support;
use crate::{Depth, Format, Limits, MediaError, Warning, WarningKind, boxes};

/// Describes the audio track by its header.
pub(super) fn describe(bytes: &[u8], format: Format, limits: &Limits) -> Result<AudioReport, MediaError> {
    catching(format, || Ok(open(bytes, format, limits)?.report))
}

/// Describes the audio track and decodes it; no measures where the codec has no decoder here.
pub(super) fn measure(
    bytes: &[u8],
    format: Format,
    limits: &Limits,
) -> Result<(AudioReport, Option<Measured>), MediaError> {
    catching(format, || {
        let Opened { mut report, mut reader, track_id, params } = open(bytes, format, limits)?;
        let made = symphonia::default::get_codecs().make_audio_decoder(&params, &AudioDecoderOptions::default());
        let mut decoder = match made {
            Ok(decoder) => decoder,
            Err(Error::Unsupported(reason)) => {
                report.support = unsupported(reason, &report.codec);
                return Ok((report, None));
            }
            Err(error) => return Err(MediaError::decoder(format, error)),
        };
        let mut run = Run::new(limits, bytes.len());
        let ended = run.all(&mut *reader, &mut *decoder, track_id);
        run.finish(report, ended, format)
    })
}

struct Opened<'a> {
    report: AudioReport,
    reader: Box<dyn FormatReader + 'a>,
    track_id: u32,
    params: AudioCodecParameters,
}

fn open<'a>(bytes: &'a [u8], format: Format, limits: &Limits) -> Result<Opened<'a>, MediaError> {
    let mut warnings = Vec::new();
    if matches!(format, Format::Mp4 | Format::M4a | Format::QuickTime) && boxes::check(bytes, format, limits)?.truncated
    {
        warnings.push(truncated());
    }
    let source = Box::new(Budgeted::new(bytes, bytes.len()));
    let stream = MediaSourceStream::new(source, MediaSourceStreamOptions::default());
    let reader = symphonia::default::get_probe()
        .probe(&Hint::new(), stream, FormatOptions::default(), MetadataOptions::default())
        .map_err(|error| MediaError::decoder(format, error))?;
    let track = reader.default_track(TrackType::Audio).or_else(|| reader.first_track(TrackType::Audio));
    let Some((track, Some(CodecParameters::Audio(params)))) = track.map(|track| (track, track.codec_params.clone()))
    else {
        let detail = "there is no audio track, expected one";
        return Err(MediaError::malformed(format, detail));
    };
    let report = header(bytes, format, track, &params, warnings);
    require_limits(&report, limits)?;
    let track_id = track.id;
    Ok(Opened { report, reader, track_id, params })
}

fn header(
    bytes: &[u8],
    format: Format,
    track: &Track,
    params: &AudioCodecParameters,
    warnings: Vec<Warning>,
) -> AudioReport {
    let rate = params.sample_rate;
    #[expect(clippy::cast_precision_loss, reason = "frame counts stay below 2^52 in any real file")]
    let by_frames = track.num_frames.zip(rate).map(|(frames, rate)| frames as f64 / f64::from(rate.max(1)));
    let duration = by_frames.or_else(|| {
        let time = track.time_base?.calc_duration(track.duration?)?;
        Some(time.as_secs_f64())
    });
    AudioReport {
        depth: Depth::Inspected,
        container: format,
        codec: codec_name(params),
        support: Support::Listed,
        bytes: bytes.len() as u64,
        duration_seconds: duration.filter(|seconds| seconds.is_finite()),
        sample_rate_hertz: rate,
        channels: params.channels.as_ref().map(|channels| u16::try_from(channels.count()).unwrap_or(u16::MAX)),
        bits_per_sample: params.bits_per_sample,
        integrated_loudness_lufs: None,
        loudness_range_lu: None,
        true_peak_dbtp: None,
        peak_dbfs: None,
        rms_dbfs: None,
        spectral_centroid_hertz: None,
        onset_count: None,
        onsets_seconds: Vec::new(),
        warnings,
    }
}

fn codec_name(params: &AudioCodecParameters) -> String {
    symphonia::default::get_codecs()
        .get_audio_decoder(params.codec)
        .map_or_else(|| params.codec.to_string(), |decoder| decoder.codec.info.short_name.to_owned())
}

fn require_limits(report: &AudioReport, limits: &Limits) -> Result<(), MediaError> {
    let of = &limits.audio;
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a float cast saturates, and a duration is not negative"
    )]
    let seconds = report.duration_seconds.unwrap_or_default().ceil() as u64;
    let rate = report.sample_rate_hertz.unwrap_or_default();
    let channels = report.channels.unwrap_or_default();
    let longest = of.max_duration.as_secs() + u64::from(of.max_duration.subsec_nanos() > 0);
    for (field, value, limit) in [
        ("audio.duration_seconds", seconds, longest),
        ("audio.sample_rate", u64::from(rate), u64::from(of.max_sample_rate)),
        ("audio.channels", u64::from(channels), u64::from(of.max_channels)),
    ] {
        if value > limit {
            return Err(MediaError::LimitExceeded { field, value, limit });
        }
    }
    Ok(())
}

/// Why a run of packets came to its end.
enum Ended {
    Done,
    Broken(Error),
    Changed,
    Limit,
}

/// Decodes packets into the meter, with a budget for each of packets, frames and samples.
struct Run<'a> {
    limits: &'a Limits,
    packets_left: usize,
    damaged: u64,
    first_error: Option<Error>,
    meter: Option<(Meter, u16, u32)>,
    samples: Vec<f32>,
}

impl<'a> Run<'a> {
    /// Every packet takes a byte at least, so more of them than bytes means that a reader stands still.
    fn new(limits: &'a Limits, bytes: usize) -> Self {
        Self {
            limits,
            packets_left: bytes.saturating_add(16),
            damaged: 0,
            first_error: None,
            meter: None,
            samples: Vec::new(),
        }
    }

    fn all(&mut self, reader: &mut dyn FormatReader, decoder: &mut dyn AudioDecoder, track_id: u32) -> Ended {
        loop {
            if self.packets_left == 0 {
                return Ended::Limit;
            }
            self.packets_left -= 1;
            let packet = match reader.next_packet() {
                Ok(Some(packet)) if packet.track_id == track_id => packet,
                Ok(Some(_)) => continue,
                Ok(None) => return Ended::Done,
                Err(error) => return Ended::Broken(error),
            };
            match decoder.decode(&packet) {
                Ok(buffer) => {
                    let rate = buffer.spec().rate();
                    let channels = u16::try_from(buffer.spec().channels().count()).unwrap_or(0);
                    buffer.copy_to_vec_interleaved(&mut self.samples);
                    if let Some(ended) = self.take(channels, rate) {
                        return ended;
                    }
                }
                Err(error) => {
                    self.damaged += 1;
                    self.first_error.get_or_insert(error);
                }
            }
        }
    }

    fn take(&mut self, channels: u16, rate: u32) -> Option<Ended> {
        let of = &self.limits.audio;
        if channels == 0 || channels > of.max_channels || rate == 0 || rate > of.max_sample_rate {
            return Some(Ended::Changed);
        }
        let (meter, known_channels, known_rate) =
            self.meter.get_or_insert_with(|| (Meter::new(channels, rate), channels, rate));
        if (*known_channels, *known_rate) != (channels, rate) {
            return Some(Ended::Changed);
        }
        let whole = u128::from(rate) * of.max_duration.as_nanos() / 1_000_000_000;
        let by_time = u64::try_from(whole).unwrap_or(u64::MAX);
        let most = by_time.min(of.max_samples / u64::from(channels));
        let room = most.saturating_sub(meter.frames()).saturating_mul(u64::from(channels));
        let room = usize::try_from(room).unwrap_or(usize::MAX);
        let over = self.samples.len() > room;
        self.samples.truncate(room);
        meter.add(&mut self.samples);
        over.then_some(Ended::Limit)
    }

    fn finish(
        self,
        mut report: AudioReport,
        ended: Ended,
        format: Format,
    ) -> Result<(AudioReport, Option<Measured>), MediaError> {
        let decoded = self.meter.filter(|(meter, ..)| meter.frames() > 0);
        let Some((meter, channels, rate)) = decoded else {
            let error = match ended {
                Ended::Broken(error) => Some(self.first_error.unwrap_or(error)),
                _ => self.first_error,
            };
            return match error {
                Some(Error::Unsupported(reason)) => {
                    report.support = unsupported(reason, &report.codec);
                    Ok((report, None))
                }
                Some(error) => Err(MediaError::decoder(format, error)),
                None => {
                    let detail = "there is no sound in it, expected at least one packet";
                    Err(MediaError::malformed(format, detail))
                }
            };
        };
        report.channels = Some(channels);
        report.sample_rate_hertz = Some(rate);
        if self.damaged > 0 {
            let was = if self.damaged == 1 { "was" } else { "were" };
            let message = format!("{} could not be decoded and {was} left out", counted(self.damaged, "packet"));
            report.warnings.push(Warning::new(WarningKind::Damaged, message));
        }
        match ended {
            Ended::Done => {}
            Ended::Broken(Error::ResetRequired) | Ended::Changed => {
                let message = "the stream changes its form; only the first part was analyzed";
                report.warnings.push(Warning::new(WarningKind::Unsupported, message));
            }
            Ended::Broken(_) => report.warnings.push(truncated()),
            Ended::Limit => {
                let message = "the sound is longer than the limit; the rest was not analyzed";
                report.warnings.push(Warning::new(WarningKind::LimitReached, message));
            }
        }
        let measured = meter.finish();
        let promised = report.duration_seconds.unwrap_or_default();
        let is_short = promised > measured.duration_seconds + TOLERANCE_SECONDS;
        if is_short && report.warnings.is_empty() {
            report.warnings.push(truncated());
        }
        Ok((report, Some(measured)))
    }
}

fn unsupported(reason: &str, codec: &str) -> Support {
    Support::Unsupported { reason: format!("the decoder of {codec} says: {reason}") }
}

fn truncated() -> Warning {
    Warning::new(WarningKind::Truncated, "the file ends before the sound does")
}

/// Encoders pad the last packet, and headers round.
const TOLERANCE_SECONDS: f64 = 0.1;

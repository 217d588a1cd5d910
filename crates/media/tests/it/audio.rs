use bedplate_media::audio::{AudioReport, analyze, inspect};
use bedplate_media::{Depth, Format, Limits, MediaError, Support, WarningKind};
use std::time::Duration;

use crate::samples::{BELL, BUNNY, COMPLETE, sine, wav};

fn report(bytes: &[u8]) -> AudioReport {
    analyze(bytes, &Limits::default()).unwrap()
}

/// EBU Tech 3341, cases 1 and 2: a stereo sine of 1 kHz at −23 and −33 dBFS for 20 s reads as many LUFS, ±0.1.
#[test]
fn loudness_reads_as_the_cases_of_tech_3341_say() {
    for level in [-23.0, -33.0] {
        let report = report(&wav(48_000, 2, &sine(48_000, 2, 1_000.0, level, 20.0)));
        let loudness = report.integrated_loudness_lufs.unwrap();
        assert!((loudness - level).abs() <= 0.1, "{loudness}");
        assert!(report.loudness_range_lu.unwrap() < 0.1);
        assert!((report.duration_seconds.unwrap() - 20.0).abs() < 1e-9);
        // The root mean square of a sine is 3.01 dB below its peak.
        assert!((report.peak_dbfs.unwrap() - level).abs() < 0.01);
        assert!((report.rms_dbfs.unwrap() - (level - 3.0103)).abs() < 0.01);
    }
}

/// EBU Tech 3341, case 3: tones of −36, −23 and −36 dBFS for 10, 60 and 10 s read −23 LUFS, as the gate leaves out the quiet.
#[test]
fn the_gate_leaves_out_the_quiet_parts() {
    let mut samples = sine(48_000, 2, 1_000.0, -36.0, 10.0);
    samples.extend(sine(48_000, 2, 1_000.0, -23.0, 60.0));
    samples.extend(sine(48_000, 2, 1_000.0, -36.0, 10.0));
    let loudness = report(&wav(48_000, 2, &samples)).integrated_loudness_lufs.unwrap();
    assert!((loudness + 23.0).abs() <= 0.1, "{loudness}");
}

/// EBU Tech 3341, case 16: a sine at a quarter of the rate with a phase of 45° has samples 3 dB below its true peak.
#[test]
fn the_true_peak_lies_between_the_samples() {
    let amplitude = 0.5_f32;
    let quarter = [1.0_f32, 1.0, -1.0, -1.0].map(|sign| sign * amplitude * std::f32::consts::FRAC_1_SQRT_2);
    let samples: Vec<f32> = quarter.iter().copied().cycle().take(48_000).collect();
    let report = report(&wav(48_000, 1, &samples));
    assert!((report.peak_dbfs.unwrap() + 9.03).abs() < 0.01);
    let peak = report.true_peak_dbtp.unwrap();
    assert!((-6.4..=-5.8).contains(&peak), "{peak}");
}

#[test]
fn the_centroid_of_a_sine_is_its_frequency() {
    for (rate, hertz) in [(48_000, 1_000.0), (44_100, 440.0), (16_000, 3_000.0)] {
        let samples = sine(rate, 1, hertz, -6.0, 4.0);
        let centroid = report(&wav(rate, 1, &samples)).spectral_centroid_hertz.unwrap();
        assert!((centroid / hertz - 1.0).abs() < 0.02, "{centroid} for {hertz}");
    }
}

#[test]
fn clicks_are_onsets_where_they_are() {
    let rate = 44_100;
    let times = [0.0, 0.5, 1.25, 1.4, 2.75];
    let mut samples = vec![0.0_f32; 44_100 * 3];
    for at in [0, 22_050, 55_125, 61_740, 121_275] {
        for (step, sample) in samples[at..at + 441].iter_mut().enumerate() {
            let sign = if step % 2 == 0 { 1.0 } else { -1.0 };
            *sample = sign * 0.8 * (1.0 - f32::from(u16::try_from(step).unwrap()) / 441.0);
        }
    }
    let report = report(&wav(rate, 1, &samples));
    assert_eq!(report.onset_count, Some(5), "{:?}", report.onsets_seconds);
    for (found, wanted) in report.onsets_seconds.iter().zip(times) {
        assert!((found - wanted).abs() < 0.025, "{found} for {wanted}");
    }
    let mut limits = Limits::default();
    limits.audio.max_onsets = 2;
    let few = analyze(&wav(rate, 1, &samples), &limits).unwrap();
    assert_eq!((few.onset_count, few.onsets_seconds.len()), (Some(5), 2));
}

#[test]
fn no_onset_lies_behind_the_end() {
    let mut reports: Vec<AudioReport> = Vec::new();
    for whole in [BELL, COMPLETE] {
        reports.extend((4_000..whole.len()).step_by(500).filter_map(|end| {
            let cut = analyze(&whole[..end], &Limits::default());
            cut.ok().filter(|report| report.duration_seconds.is_some())
        }));
    }
    // A tone that breaks off anywhere in a window.
    let tone = sine(44_100, 1, 440.0, -6.0, 1.0);
    reports.extend((20_000..24_000).step_by(100).map(|frames| report(&wav(44_100, 1, &tone[..frames]))));
    assert!(reports.len() > 60, "{}", reports.len());
    for report in &reports {
        let duration = report.duration_seconds.unwrap();
        assert!(report.onsets_seconds.iter().all(|onset| *onset < duration), "{report:?}");
        assert_eq!(report.onset_count, Some(report.onsets_seconds.len() as u64));
    }
}

#[test]
fn a_steady_tone_has_one_onset_and_silence_none() {
    let tone = report(&wav(44_100, 1, &sine(44_100, 1, 440.0, -12.0, 3.0)));
    assert!(tone.onsets_seconds[0] < 0.03);
    assert_eq!(tone.onset_count, Some(1), "{:?}", tone.onsets_seconds);
    let shown = tone.to_string();
    assert!(shown.contains(", 44100 Hz, 1 channel\n") && shown.ends_with(" Hz, 1 onset"), "{shown}");
    let silence = report(&wav(44_100, 2, &vec![0.0; 44_100]));
    assert_eq!(silence.onset_count, Some(0));
    for level in [
        silence.integrated_loudness_lufs,
        silence.true_peak_dbtp,
        silence.peak_dbfs,
        silence.rms_dbfs,
        silence.spectral_centroid_hertz,
        silence.loudness_range_lu,
    ] {
        assert_eq!(level, None);
    }
    assert!(silence.warnings.iter().any(|warning| warning.kind == WarningKind::NotMeasurable));
    assert!(!serde_json::to_string(&silence).unwrap().contains("inf"));
}

#[test]
fn real_sounds_are_described() {
    for bytes in [BELL, COMPLETE] {
        let report = report(bytes);
        assert_eq!((report.container, &*report.codec), (Format::OggVorbis, "vorbis"));
        assert_eq!((report.sample_rate_hertz, report.channels), (Some(44_100), Some(2)));
        assert_eq!((report.depth, &report.support), (Depth::Analyzed, &Support::Analyzed));
        // The last page of an Ogg file says how many frames came before its end (RFC 3533, 6).
        let last = bytes.windows(4).rposition(|magic| magic == b"OggS").unwrap();
        let frames = u64::from_le_bytes(bytes[last + 6..last + 14].try_into().unwrap());
        let promised = f64::from(u32::try_from(frames).unwrap()) / 44_100.0;
        let duration = report.duration_seconds.unwrap();
        assert!((duration - promised).abs() < 0.001, "{duration} for {promised}");
        // The bell is shorter than one block of 0.4 s, which has no loudness.
        let loudness = report.integrated_loudness_lufs;
        assert_eq!(loudness.is_some(), duration >= 0.4);
        assert!(loudness.is_none_or(|loudness| (-60.0..0.0).contains(&loudness)));
        assert!((200.0..10_000.0).contains(&report.spectral_centroid_hertz.unwrap()));
        assert!(report.onset_count.unwrap() >= 1);
        assert!(report.true_peak_dbtp.unwrap() >= report.peak_dbfs.unwrap() - 0.1);
        let inspected = inspect(bytes, &Limits::default()).unwrap();
        assert_eq!((inspected.depth, inspected.support), (Depth::Inspected, Support::Listed));
        assert_eq!(inspected.sample_rate_hertz, Some(44_100));
        let json = serde_json::to_string(&report).unwrap();
        assert_eq!(serde_json::from_str::<AudioReport>(&json).unwrap(), report);
        assert!((2..=8).contains(&report.to_string().lines().count()), "{report}");
    }
}

#[test]
fn a_codec_without_a_decoder_is_reported() {
    let report = report(BUNNY);
    assert_eq!(report.codec, "aac");
    assert!(matches!(&report.support, Support::Unsupported { reason } if reason.contains("aac")), "{report:?}");
    assert_eq!(report.integrated_loudness_lufs, None);
}

#[test]
fn a_truncated_sound_is_reported_as_far_as_it_goes() {
    let whole = wav(8_000, 1, &sine(8_000, 1, 500.0, -12.0, 2.0));
    let report = report(&whole[..whole.len() / 2]);
    let duration = report.duration_seconds.unwrap();
    assert!((0.8..=1.0).contains(&duration), "{duration}");
    assert!(report.warnings.iter().any(|warning| warning.kind == WarningKind::Truncated));
    assert!(matches!(
        analyze(&whole[..44], &Limits::default()),
        Err(MediaError::Malformed { .. } | MediaError::Decoder { .. })
    ));
}

#[test]
fn what_is_no_number_does_not_poison_the_measures() {
    let mut samples = sine(48_000, 2, 1_000.0, -23.0, 5.0);
    samples[1_000] = f32::NAN;
    samples[2_000] = f32::INFINITY;
    let loudness = report(&wav(48_000, 2, &samples)).integrated_loudness_lufs.unwrap();
    assert!((loudness + 23.0).abs() <= 0.1, "{loudness}");
}

#[test]
fn limits_are_held_against_header_and_stream() {
    let two_seconds = wav(8_000, 2, &sine(8_000, 2, 500.0, -12.0, 2.0));
    let mut limits = Limits::default();
    limits.audio.max_duration = Duration::from_secs(1);
    let error = analyze(&two_seconds, &limits).unwrap_err();
    assert!(
        matches!(error, MediaError::LimitExceeded { field: "audio.duration_seconds", value: 2, limit: 1 }),
        "{error}"
    );
    let mut limits = Limits::default();
    limits.audio.max_channels = 1;
    let error = analyze(&two_seconds, &limits).unwrap_err();
    assert!(matches!(error, MediaError::LimitExceeded { field: "audio.channels", .. }), "{error}");
    let mut limits = Limits::default();
    limits.audio.max_samples = 8_000;
    let report = analyze(&two_seconds, &limits).unwrap();
    assert!((report.duration_seconds.unwrap() - 0.5).abs() < 1e-9);
    assert!(report.warnings.iter().any(|warning| warning.kind == WarningKind::LimitReached));
}

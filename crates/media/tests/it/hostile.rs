//! Broken and hostile bytes: every call returns, whatever it returns.

use std::io::Cursor;

use bedplate_media::{Format, Limits, MediaError, Modality, Report, analyze, check, inspect, sniff};
use image::{ImageFormat, Rgb, RgbImage};
use proptest::prelude::*;

use crate::samples::{BELL, BUNNY, CHINA, COMPLETE, ENGLISH, ebml, sine, wav};
use crate::video::remuxed;

/// Small budgets keep the many runs short; they are the same code.
fn limits() -> Limits {
    let mut limits = Limits::default();
    limits.video.max_frames_decoded = 2;
    limits
}

/// Runs every entry on the bytes as each format of a modality; the answers may be anything but a panic.
fn survives(bytes: &[u8], as_format: Format) -> Result<Report, MediaError> {
    let limits = limits();
    let checked = check(bytes, None, None);
    assert_eq!(checked.is_ok(), sniff(bytes).is_some());
    drop(inspect(as_format, bytes, &limits));
    analyze(as_format, bytes, &limits)
}

fn corpus() -> Vec<(Format, Vec<u8>)> {
    let picture = RgbImage::from_fn(40, 30, |x, y| {
        Rgb([(x * 6 % 256).try_into().unwrap(), (y * 8 % 256).try_into().unwrap(), 77])
    });
    let encoded = |format| {
        let mut out = Cursor::new(Vec::new());
        picture.write_to(&mut out, format).unwrap();
        out.into_inner()
    };
    vec![
        (Format::Text, ENGLISH.as_bytes().to_vec()),
        (Format::Png, encoded(ImageFormat::Png)),
        (Format::Jpeg, encoded(ImageFormat::Jpeg)),
        (Format::Gif, encoded(ImageFormat::Gif)),
        (Format::WebP, encoded(ImageFormat::WebP)),
        (Format::Bmp, encoded(ImageFormat::Bmp)),
        (Format::Tiff, encoded(ImageFormat::Tiff)),
        (Format::Wav, wav(8_000, 2, &sine(8_000, 2, 440.0, -6.0, 0.2))),
        (Format::OggVorbis, BELL.to_vec()),
        (Format::Matroska, remuxed(4)),
    ]
}

#[test]
fn every_prefix_is_answered() {
    for (format, bytes) in corpus() {
        let step = (bytes.len() / 60).max(1);
        let mut answered = 0;
        for length in (0..bytes.len()).step_by(step) {
            answered += usize::from(survives(&bytes[..length], format).is_ok());
        }
        assert!(survives(&bytes, format).is_ok(), "{format} itself");
        assert!(answered < bytes.len(), "{format}");
    }
    for (format, bytes) in [(Format::Jpeg, CHINA), (Format::OggVorbis, COMPLETE), (Format::Mp4, BUNNY)] {
        for part in 0..12 {
            drop(survives(&bytes[..bytes.len() * part / 12], format));
        }
    }
}

#[test]
fn containers_that_never_end_are_refused_or_reported() {
    // A segment of unknown size whose clusters nest nothing, and an element that claims 2^56 bytes.
    let header = ebml(b"\x1a\x45\xdf\xa3", &ebml(b"\x42\x82", b"webm"));
    let endless = [&*header, b"\x18\x53\x80\x67\x01\xff\xff\xff\xff\xff\xff\xff", &[0xec, 0x80].repeat(5_000)].concat();
    let greedy =
        [&*header, b"\x18\x53\x80\x67\x01\xff\xff\xff\xff\xff\xff\xff\x15\x49\xa9\x66\x01\x00\x00\xff\xff\xff\xff\xff"]
            .concat();
    for bytes in [endless, greedy] {
        assert_eq!(sniff(&bytes), Some(Format::WebM));
        assert!(survives(&bytes, Format::WebM).is_err());
    }
    // Ogg pages of nothing.
    let page = [b"OggS\0\x02".as_slice(), &[0; 20], &[0]].concat();
    assert!(survives(&page.repeat(2_000), Format::Ogg).is_err());
    // A WAV file whose data chunk claims four gigabytes, and one of no channels.
    let mut bytes = wav(8_000, 1, &[0.5; 800]);
    bytes[40..44].copy_from_slice(&u32::MAX.to_le_bytes());
    let report = analyze(Format::Wav, &bytes, &Limits::default());
    assert!(!matches!(report, Err(MediaError::DecoderPanicked { .. })), "{report:?}");
    bytes[22..24].copy_from_slice(&[0, 0]);
    assert!(survives(&bytes, Format::Wav).is_err());
}

#[test]
fn a_report_of_any_modality_knows_itself() {
    for (format, bytes) in corpus() {
        let report = survives(&bytes, format).unwrap();
        assert_eq!(report.modality(), format.modality());
        let json = serde_json::to_value(&report).unwrap();
        assert_eq!(json["modality"], format.modality().as_str());
        assert_eq!(serde_json::from_value::<Report>(json).unwrap(), report);
    }
    assert_eq!(Modality::ALL.len(), 4);
}

/// Flips bytes anywhere in a file, more often near its head, where the structure is.
fn flipped(length: usize) -> impl Strategy<Value = Vec<(usize, u8)>> {
    let place = prop_oneof![0..length.min(400), 0..length];
    proptest::collection::vec((place, 1..=255_u8), 1..8)
}

fn flip(format: Format, bytes: &[u8], flips: &[(usize, u8)]) {
    let mut bytes = bytes.to_vec();
    for (at, mask) in flips {
        bytes[*at] ^= mask;
    }
    // A catch in the library makes panics errors, so what is left to fail here is our own code or an abort.
    drop(survives(&bytes, format));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 60, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn flipped_bytes_are_answered(which in 0..10_usize, flips in flipped(1_000)) {
        let (format, bytes) = corpus().swap_remove(which);
        let flips: Vec<(usize, u8)> = flips.into_iter().map(|(at, mask)| (at % bytes.len(), mask)).collect();
        flip(format, &bytes, &flips);
    }

    #[test]
    fn flipped_bytes_of_the_movie_box_are_answered(flips in flipped(4_000)) {
        let start = BUNNY.windows(4).position(|name| name == b"moov").unwrap();
        let flips: Vec<(usize, u8)> = flips.into_iter().map(|(at, mask)| ((start + at) % BUNNY.len(), mask)).collect();
        flip(Format::Mp4, BUNNY, &flips);
    }

    #[test]
    fn noise_is_answered(bytes in proptest::collection::vec(any::<u8>(), 0..600)) {
        for format in Format::ALL {
            drop(survives(&bytes, format));
        }
    }
}

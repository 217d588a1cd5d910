use bedplate_media::video::{FrameSampling, TrackKind, VideoReport, analyze, inspect};
use bedplate_media::{Depth, Format, Limits, MediaError, Support, WarningKind};

use crate::samples::{BUNNY, ebml};

fn report(bytes: &[u8]) -> VideoReport {
    analyze(bytes, &Limits::default()).unwrap()
}

#[test]
fn a_film_is_described() {
    let report = report(BUNNY);
    assert_eq!((report.depth, report.container), (Depth::Analyzed, Format::Mp4));
    assert!((report.duration_seconds.unwrap() - 5.3).abs() < 0.1);
    let [video, audio] = &*report.tracks else { unreachable_tracks(&report) };
    assert_eq!((video.kind, audio.kind), (TrackKind::Video, TrackKind::Audio));
    assert_eq!((video.width, video.height), (Some(1_280), Some(720)));
    assert_eq!((video.samples, video.key_frames), (Some(132), Some(1)));
    assert!((video.frame_rate_hertz.unwrap() - 25.0).abs() < 0.1);
    assert!(video.codec.as_deref().unwrap().starts_with("avc1."));
    assert_eq!(video.support, Support::Analyzed);
    assert!(audio.codec.as_deref().unwrap().starts_with("mp4a"));
    assert!(matches!(audio.support, Support::Unsupported { .. }));
    // The sample entry says two channels, the decoder configuration six.
    assert_eq!((audio.sample_rate_hertz, audio.channels), (Some(48_000), Some(6)));
    #[cfg(feature = "audio")]
    {
        let sound = bedplate_media::audio::analyze(BUNNY, &Limits::default()).unwrap();
        assert_eq!((audio.sample_rate_hertz, audio.channels), (sound.sample_rate_hertz, sound.channels));
    }
    // 64 million pixels make 69 frames of 720p.
    assert!(report.frames_decoded <= 69 && report.frames_decoded >= 40, "{}", report.frames_decoded);
    assert!(report.sampling.is_some());
    assert!(report.to_string().contains(", 132 frames, 1 key frame\n"), "{report}");
    // Why the rest was not looked at.
    let warning = report.warnings.iter().find(|warning| warning.kind == WarningKind::LimitReached).unwrap();
    let reason = "alone: video.max_decoded_pixels (64000000) allows no more of 1280 × 720 pixels";
    assert!(warning.message.ends_with(reason), "{warning}");
    // The clip is one shot.
    assert!(report.cuts.is_empty(), "{:?}", report.cuts);
    let json = serde_json::to_string(&report).unwrap();
    assert_eq!(serde_json::from_str::<VideoReport>(&json).unwrap(), report);
    assert!((2..=8).contains(&report.to_string().lines().count()), "{report}");
    assert!(format!("{report:?}").len() < 4_000, "bytes are dumped");
}

#[expect(clippy::panic, reason = "a test fails by panicking")]
fn unreachable_tracks(report: &VideoReport) -> ! {
    panic!("expected two tracks: {report}")
}

#[test]
fn the_thumbnail_is_a_small_picture_with_content() {
    let thumbnail = report(BUNNY).thumbnail.unwrap();
    assert_eq!((thumbnail.width, thumbnail.height), (320, 180));
    let picture = image::load_from_memory(&thumbnail.png).unwrap().to_luma8();
    assert_eq!(picture.dimensions(), (320, 180));
    let (low, high) = picture.iter().fold((255, 0), |(low, high), v| (low.min(*v), high.max(*v)));
    assert!(high - low > 100, "{low} to {high}");
}

#[test]
fn budgets_bound_what_is_decoded() {
    let mut limits = Limits::default();
    limits.video.max_frames_decoded = 5;
    let few = analyze(BUNNY, &limits).unwrap();
    assert_eq!((few.frames_decoded, few.sampling), (5, Some(FrameSampling::Beginning)));
    let warning = few.warnings.iter().find(|warning| warning.kind == WarningKind::LimitReached).unwrap();
    let reason = "cuts are sought in the first 5 frames alone: video.max_frames_decoded (5) allows no more";
    assert_eq!(warning.message, reason);
    limits.video.max_frames_decoded = 0;
    let none = analyze(BUNNY, &limits).unwrap();
    assert!(matches!(none.tracks[0].support, Support::Unsupported { .. }));
    assert!(none.thumbnail.is_none());
    let mut limits = Limits::default();
    limits.video.max_frame_pixels = 1_000;
    let large = analyze(BUNNY, &limits).unwrap();
    assert!(
        matches!(&large.tracks[0].support, Support::Unsupported { reason } if reason.contains("921600")),
        "{large}"
    );
    let mut limits = Limits::default();
    limits.video.max_samples = 100;
    let error = analyze(BUNNY, &limits).unwrap_err();
    assert!(matches!(error, MediaError::LimitExceeded { field: "video.samples", .. }), "{error}");
}

#[test]
fn inspection_lists_tracks_without_decoding() {
    let report = inspect(BUNNY, &Limits::default()).unwrap();
    assert_eq!((report.depth, report.frames_decoded), (Depth::Inspected, 0));
    assert!(report.tracks.iter().all(|track| track.support == Support::Listed));
    assert_eq!(report.tracks[0].samples, Some(132));
}

/// Matroska written element by element: the H.264 track of the film, remuxed as simple blocks.
pub(crate) fn remuxed(frames: usize) -> Vec<u8> {
    let (config, samples) = avc_samples(frames);
    let first_is_key = samples.into_iter().enumerate();
    let samples = first_is_key.map(|(index, sample)| (index == 0, sample));
    muxed(&config, &samples.collect::<Vec<_>>())
}

fn muxed(config: &[u8], samples: &[(bool, Vec<u8>)]) -> Vec<u8> {
    let header = ebml(
        b"\x1a\x45\xdf\xa3",
        &[ebml(b"\x42\x82", b"matroska"), ebml(b"\x42\x87", &[4]), ebml(b"\x42\x85", &[2])].concat(),
    );
    let info = ebml(
        b"\x15\x49\xa9\x66",
        &[
            ebml(b"\x2a\xd7\xb1", &1_000_000_u32.to_be_bytes()),
            ebml(b"\x44\x89", &5_280.0_f64.to_be_bytes()),
            ebml(b"\x4d\x80", b"bedplate"),
            ebml(b"\x57\x41", b"bedplate"),
        ]
        .concat(),
    );
    let video =
        ebml(b"\xe0", &[ebml(b"\xb0", &1_280_u16.to_be_bytes()), ebml(b"\xba", &720_u16.to_be_bytes())].concat());
    let entry = ebml(
        b"\xae",
        &[
            ebml(b"\xd7", &[1]),
            ebml(b"\x73\xc5", &[1]),
            ebml(b"\x83", &[1]),
            ebml(b"\x23\xe3\x83", &40_000_000_u32.to_be_bytes()),
            ebml(b"\x22\xb5\x9c", b"ger"),
            ebml(b"\x86", b"V_MPEG4/ISO/AVC"),
            ebml(b"\x63\xa2", config),
            video,
        ]
        .concat(),
    );
    let tracks = ebml(b"\x16\x54\xae\x6b", &entry);
    let mut blocks = ebml(b"\xe7", &[0]);
    for (index, (key, sample)) in samples.iter().enumerate() {
        let time = i16::try_from(index * 40).unwrap().to_be_bytes();
        let flags = if *key { 0x80 } else { 0 };
        let block = [&[0x81], &time[..], &[flags], sample].concat();
        blocks.extend(ebml(b"\xa3", &block));
    }
    let cluster = ebml(b"\x1f\x43\xb6\x75", &blocks);
    let segment = ebml(b"\x18\x53\x80\x67", &[info, tracks, cluster].concat());
    [header, segment].concat()
}

/// Finds the configuration and the first samples of the film by the boxes it is known to have.
fn avc_samples(frames: usize) -> (Vec<u8>, Vec<Vec<u8>>) {
    let mp4 = re_mp4::Mp4::read_bytes(BUNNY).unwrap();
    let track = mp4.tracks().values().find(|track| track.kind == Some(re_mp4::TrackKind::Video)).unwrap();
    let samples = track.samples.iter().take(frames);
    let samples = samples.map(|sample| BUNNY[sample.byte_range()].to_vec());
    (track.raw_codec_config(&mp4).unwrap(), samples.collect())
}

#[test]
fn matroska_is_read_like_mp4() {
    let film = remuxed(12);
    let report = report(&film);
    assert_eq!(report.container, Format::Matroska);
    let track = &report.tracks[0];
    assert_eq!((track.width, track.height), (Some(1_280), Some(720)));
    assert_eq!(track.language.as_deref(), Some("ger"));
    assert_eq!((track.samples, track.key_frames), (Some(12), Some(1)));
    assert!((track.frame_rate_hertz.unwrap() - 25.0).abs() < 1e-9);
    assert_eq!(track.support, Support::Analyzed, "{report}");
    assert_eq!((report.frames_decoded, report.sampling), (12, Some(FrameSampling::EveryFrame)));
    assert!((report.duration_seconds.unwrap() - 5.28).abs() < 1e-9);
    let thumbnail = report.thumbnail.unwrap();
    assert_eq!((thumbnail.width, thumbnail.height), (320, 180));
    let inspected = inspect(&film, &Limits::default()).unwrap();
    assert_eq!(inspected.tracks[0].samples, None);
}

#[test]
fn a_truncated_film_is_reported_or_refused() {
    let boxes = BUNNY.windows(4).position(|name| name == b"moov").unwrap();
    let half = analyze(&BUNNY[..BUNNY.len() / 2], &Limits::default());
    if boxes < BUNNY.len() / 2 {
        let report = half.unwrap();
        assert!(report.warnings.iter().any(|warning| warning.kind == WarningKind::Truncated));
        assert!(report.frames_decoded > 0);
    } else {
        let error = half.unwrap_err();
        assert!(matches!(&error, MediaError::Malformed { detail, .. } if detail.contains("moov")), "{error}");
    }
}

#[test]
fn a_long_film_is_sampled_by_its_key_frames() {
    let (config, first) = avc_samples(1);
    let film = muxed(&config, &vec![(true, first[0].clone()); 20]);
    let mut limits = Limits::default();
    limits.video.max_frames_decoded = 5;
    let report = analyze(&film, &limits).unwrap();
    assert_eq!(report.tracks[0].key_frames, Some(20));
    assert_eq!(report.sampling, Some(FrameSampling::KeyFrames));
    assert_eq!(report.frames_decoded, 5, "{report}");
    assert!(report.cuts.is_empty() && report.warnings.is_empty(), "{report}");
}

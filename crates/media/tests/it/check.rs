use bedplate_media::{Format, Limits, MediaError, Modality, check, check_within, sniff};

use crate::samples::{BELL, BUNNY, CHINA, png_claiming};

#[test]
fn real_files_are_what_they_are() {
    assert_eq!(sniff(CHINA), Some(Format::Jpeg));
    assert_eq!(sniff(BELL), Some(Format::OggVorbis));
    assert_eq!(sniff(BUNNY), Some(Format::Mp4));
    for (bytes, modality, name) in [
        (CHINA, Modality::Image, "a/b/china.JPG"),
        (BELL, Modality::Audio, "bell.oga"),
        (BUNNY, Modality::Video, "C:\\films\\bunny.mp4"),
        (b"plain".as_slice(), Modality::Text, "notes.md"),
        (CHINA, Modality::Image, "misnamed.png"),
        (CHINA, Modality::Image, "no-extension"),
        (CHINA, Modality::Image, ".mp3"),
    ] {
        check(bytes, Some(modality), Some(name)).unwrap();
    }
}

#[test]
fn a_wrong_claim_names_field_claim_and_finding() {
    let png = png_claiming(4, 4);
    let error = check(&png, None, Some("song.mp3")).unwrap_err();
    assert_eq!(error.code(), "mismatch");
    assert_eq!(error.to_string(), "file_name says audio (.mp3), but the body is image (PNG)");
    let error = check(&png, Some(Modality::Text), None).unwrap_err();
    assert_eq!(error.to_string(), "modality says text, but the body is image (PNG)");
    assert!(!error.is_transient());
}

#[test]
fn empty_oversized_unreadable_and_unknown_bodies_are_refused() {
    assert!(matches!(check(b"", None, None), Err(MediaError::Empty)));
    let mut limits = Limits::default();
    limits.image.max_bytes = 1_000;
    let error = check_within(CHINA, Some(Modality::Image), None, &limits).unwrap_err();
    assert!(matches!(error, MediaError::TooLarge { bytes: 196_653, limit: 1_000 }), "{error}");
    // Without a declaration the limit of what the body turns out to be holds.
    assert!(matches!(check_within(CHINA, None, None, &limits), Err(MediaError::TooLarge { limit: 1_000, .. })));
    for (declared, name) in [(Some(Modality::Text), None), (None, Some("a.txt"))] {
        let error = check(b"caf\xe9", declared, name).unwrap_err();
        assert!(matches!(error, MediaError::InvalidUtf8 { offset: 3 }), "{error}");
    }
    let error = check(&[0, 1, 2, 3], Some(Modality::Audio), None).unwrap_err();
    let message = error.to_string();
    assert!(message.contains("FLAC") && !message.contains("PNG"), "{message}");
}

use super::*;

#[test]
fn text_that_begins_like_a_signature_stays_text() {
    for text in [
        "BM is short for bitmap, and this line is long enough for a header",
        "ID3 tags are described elsewhere",
        "OggS was a name",
        "RIFF, the container",
        "GIF is spoken with a hard g",
        "MM\u{0}".trim_end_matches('\u{0}'),
        "\u{feff}with a byte order mark",
        "\u{1b}[1mbold\u{1b}[0m",
    ] {
        assert_eq!(sniff(text.as_bytes()), Some(Format::Text), "{text:?}");
    }
}

#[test]
fn noise_with_a_sync_word_is_no_mp3() {
    // MPEG-1 layer III, 128 kbit/s, 44.1 kHz: 417 bytes a frame without padding.
    let mut frame = vec![0xff, 0xfb, 0x90, 0x00];
    frame.resize(417, 0);
    assert_eq!(sniff(&frame), None);
    let two = [frame.clone(), frame.clone()].concat();
    assert_eq!(sniff(&two), Some(Format::Mp3));
    let mut drifted = frame.clone();
    drifted.push(0);
    drifted.extend(&frame);
    assert_eq!(sniff(&drifted), None);
}

#[test]
fn adts_is_not_taken_for_mp3() {
    assert_eq!(sniff(&[0xff, 0xf1, 0x50, 0x80, 0, 0, 0, 0, 0, 0]), None);
}

#[test]
fn the_brand_decides_between_iso_media() {
    let with = |brand: &[u8; 4]| [&[0, 0, 0, 16], b"ftyp".as_slice(), brand, &[0; 4]].concat();
    assert_eq!(sniff(&with(b"isom")), Some(Format::Mp4));
    assert_eq!(sniff(&with(b"qt  ")), Some(Format::QuickTime));
    assert_eq!(sniff(&with(b"M4A ")), Some(Format::M4a));
    assert_eq!(sniff(&with(b"avif")), None);
}

#[test]
fn the_doc_type_decides_between_matroska_and_webm() {
    let with = |name: &[u8]| {
        let length = 0x80 | u8::try_from(name.len()).unwrap();
        [b"\x1a\x45\xdf\xa3\x9f\x42\x82".as_slice(), &[length], name].concat()
    };
    assert_eq!(sniff(&with(b"webm")), Some(Format::WebM));
    assert_eq!(sniff(&with(b"matroska")), Some(Format::Matroska));
    assert_eq!(sniff(&with(b"other")), None);
}

#[test]
fn an_id3_tag_may_stand_before_flac() {
    let mut bytes = b"ID3\x04\x00\x00\x00\x00\x00\x02xx".to_vec();
    bytes.extend(b"fLaC");
    assert_eq!(sniff(&bytes), Some(Format::Flac));
}

#[test]
fn control_characters_and_broken_utf8_are_no_text() {
    assert_eq!(sniff(b""), None);
    assert_eq!(sniff(b"a\0b"), None);
    assert_eq!(sniff(b"caf\xe9"), None);
    assert_eq!(sniff(b"\xff\xfeh\0i\0"), None);
}

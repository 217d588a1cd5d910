//! Formats told by their bytes alone.
//!
//! A signature of two or three bytes is a weak witness: plain text may begin with `BM` or `ID3`. Each such signature is
//! confirmed by fields that must agree with it, and text is tried last, so that a body is text only when nothing else fits.

use crate::Format;

/// Tells the format of a body from its bytes, without decoding it.
///
/// The whole body is read only where it may be text; every other format is decided within its first frames or boxes.
/// `None` means that the body is empty or that nothing known fits.
///
/// # Examples
///
/// ```
/// use bedplate_media::{Format, sniff};
///
/// assert_eq!(sniff(b"GIF89a\x01\x00\x01\x00"), Some(Format::Gif));
/// assert_eq!(sniff("Grüße aus Köln".as_bytes()), Some(Format::Text));
/// assert_eq!(sniff(&[0, 1, 2, 3]), None);
/// ```
#[must_use]
pub fn sniff(bytes: &[u8]) -> Option<Format> {
    image(bytes)
        .or_else(|| audio(bytes))
        .or_else(|| iso_media(bytes))
        .or_else(|| matroska(bytes))
        .or_else(|| is_text(bytes).then_some(Format::Text))
}

fn image(bytes: &[u8]) -> Option<Format> {
    if bytes.starts_with(b"\x89PNG\r\n\x1a\n") {
        Some(Format::Png)
    } else if bytes.starts_with(b"\xff\xd8\xff") {
        Some(Format::Jpeg)
    } else if bytes.starts_with(b"GIF87a") || bytes.starts_with(b"GIF89a") {
        Some(Format::Gif)
    } else if bytes.starts_with(b"RIFF") && at(bytes, 8, b"WEBP") {
        Some(Format::WebP)
    } else if bytes.starts_with(b"II*\0") || bytes.starts_with(b"MM\0*") {
        Some(Format::Tiff)
    } else if is_bmp(bytes) {
        Some(Format::Bmp)
    } else {
        None
    }
}

/// `BM` is confirmed by the size of the information header that follows the 14 bytes of the file header.
fn is_bmp(bytes: &[u8]) -> bool {
    bytes.starts_with(b"BM")
        && bytes
            .get(14..18)
            .and_then(|size| size.try_into().ok())
            .map(u32::from_le_bytes)
            .is_some_and(|size| matches!(size, 12 | 16 | 40 | 52 | 56 | 64 | 108 | 124))
}

fn audio(bytes: &[u8]) -> Option<Format> {
    if (bytes.starts_with(b"RIFF") || bytes.starts_with(b"RF64")) && at(bytes, 8, b"WAVE") {
        return Some(Format::Wav);
    }
    if bytes.starts_with(b"fLaC") {
        return Some(Format::Flac);
    }
    if bytes.starts_with(b"OggS\0") {
        // The first packet starts after the segment table, whose length is byte 26.
        let table = usize::from(*bytes.get(26)?);
        let packet = bytes.get(27 + table..).unwrap_or_default();
        return Some(if packet.starts_with(b"\x01vorbis") { Format::OggVorbis } else { Format::Ogg });
    }
    if let Some(tag) = id3v2_length(bytes) {
        let rest = bytes.get(tag..).unwrap_or_default();
        return Some(if rest.starts_with(b"fLaC") { Format::Flac } else { Format::Mp3 });
    }
    is_mp3(bytes).then_some(Format::Mp3)
}

/// Returns the length of an `ID3v2` tag with its header, where the header is well formed.
fn id3v2_length(bytes: &[u8]) -> Option<usize> {
    let header: [u8; 10] = bytes.get(..10)?.try_into().ok()?;
    let [b'I', b'D', b'3', major, revision, flags, size @ ..] = header else {
        return None;
    };
    let well_formed = (2..=4).contains(&major)
        && revision != 0xff
        && flags.trailing_zeros() >= 4
        && size.iter().all(|byte| byte & 0x80 == 0);
    well_formed.then(|| {
        let size = size.iter().fold(0, |sum, byte| sum << 7 | usize::from(*byte));
        let footer = if flags & 0x10 == 0 { 0 } else { 10 };
        10 + size + footer
    })
}

/// Eleven set bits occur in any noise, so a second frame must stand where the first one says it ends.
fn is_mp3(bytes: &[u8]) -> bool {
    let Some(first) = mp3_frame_length(bytes) else {
        return false;
    };
    bytes.get(first..).and_then(mp3_frame_length).is_some()
}

/// Returns the length of the layer III frame that starts here (ISO/IEC 11172-3, 2.4.2.3).
fn mp3_frame_length(bytes: &[u8]) -> Option<usize> {
    let [a, b, c, _] = *bytes.first_chunk::<4>()?;
    let version = (b >> 3) & 3;
    let layer = (b >> 1) & 3;
    if a != 0xff || b & 0xe0 != 0xe0 || version == 1 || layer != 1 {
        return None;
    }
    let mpeg1 = version == 3;
    let kilobits: &[usize; 14] = if mpeg1 {
        &[32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320]
    } else {
        &[8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160]
    };
    let bit_rate = kilobits.get(usize::from(c >> 4).checked_sub(1)?)? * 1_000;
    let base: usize = *[44_100, 48_000, 32_000].get(usize::from((c >> 2) & 3))?;
    let (rate, samples) = match version {
        3 => (base, 1_152),
        2 => (base / 2, 576),
        _ => (base / 4, 576),
    };
    let padding = usize::from((c >> 1) & 1);
    Some(samples / 8 * bit_rate / rate + padding)
}

fn iso_media(bytes: &[u8]) -> Option<Format> {
    if !at(bytes, 4, b"ftyp") {
        // QuickTime files older than the `ftyp` box begin with a movie or media data box.
        let old = at(bytes, 4, b"moov") || (at(bytes, 4, b"wide") && at(bytes, 12, b"mdat"));
        return old.then_some(Format::QuickTime);
    }
    match bytes.get(8..12)? {
        b"qt  " => Some(Format::QuickTime),
        b"M4A " | b"M4B " | b"F4A " | b"F4B " => Some(Format::M4a),
        // Pictures in the same container (HEIF, AVIF) have no decoder here.
        b"heic" | b"heix" | b"hevc" | b"heim" | b"heis" | b"mif1" | b"msf1" | b"avif" | b"avis" => None,
        _ => Some(Format::Mp4),
    }
}

/// The `DocType` element of the EBML header separates WebM from Matroska (RFC 8794, 11.2.4).
fn matroska(bytes: &[u8]) -> Option<Format> {
    if !bytes.starts_with(b"\x1a\x45\xdf\xa3") {
        return None;
    }
    let header = bytes.get(..bytes.len().min(EBML_HEADER_SEARCH))?;
    let doc_type = header.windows(2).position(|id| id == b"\x42\x82").and_then(|at| {
        // The length is a number of variable size, as many bytes as its first has leading zeros, and one.
        let width = header.get(at + 2)?.leading_zeros() as usize + 1;
        header.get(at + 2 + width..)
    });
    match doc_type {
        Some(name) if name.starts_with(b"webm") => Some(Format::WebM),
        Some(name) if name.starts_with(b"matroska") => Some(Format::Matroska),
        _ => None,
    }
}

fn is_text(bytes: &[u8]) -> bool {
    !bytes.is_empty()
        && std::str::from_utf8(bytes).is_ok()
        && !bytes.iter().any(|byte| matches!(byte, 0..=0x08 | 0x0b | 0x0e..=0x1a | 0x1c..=0x1f | 0x7f))
}

fn at(bytes: &[u8], offset: usize, magic: &[u8]) -> bool {
    bytes.get(offset..).is_some_and(|rest| rest.starts_with(magic))
}

/// An EBML header is some 40 bytes; a `DocType` further in than this is taken for none.
const EBML_HEADER_SEARCH: usize = 256;

#[cfg(test)]
mod tests {
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
}

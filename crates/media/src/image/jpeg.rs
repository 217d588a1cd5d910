/// Tells whether a JPEG file ends before its picture does: there is no end-of-image marker (ITU-T T.81, B.1.1.3).
///
/// Decoders take such a file for whole and paint what is missing gray. Segments are stepped over by their lengths, as a
/// thumbnail inside one has an end of its own; what stands behind the end is not looked at.
pub(super) fn is_truncated(bytes: &[u8]) -> bool {
    let mut rest = bytes;
    // Anything before a marker is the entropy-coded data of a scan.
    while let Some(prefix) = rest.iter().position(|byte| *byte == 0xff) {
        let marker = rest.get(prefix..).unwrap_or_default();
        let Some(fill) = marker.iter().position(|byte| *byte != 0xff) else {
            return true;
        };
        let Some((code, body)) = marker.get(fill..).unwrap_or_default().split_first() else {
            return true;
        };
        rest = match code {
            0xd9 => return false,
            // Tables, frames, scans, application data and comments say how long they are.
            0xc0..=0xcf | 0xda..=0xdf | 0xe0..=0xef | 0xfe => {
                let Some(length) = body.first_chunk::<2>() else {
                    return true;
                };
                let Some(rest) = body.get(usize::from(u16::from_be_bytes(*length))..) else {
                    return true;
                };
                rest
            }
            // Stuffed zeros and restarts belong to a scan.
            _ => body,
        };
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_is_that_of_the_picture() {
        let thumbnail = b"\xff\xd8\xff\xe1\0\x06\xff\xd8\xff\xd9";
        let scan = b"\xff\xda\0\x03\x01\x12\xff\0\xff\xd0\x34\xff\xff";
        let cut = [&thumbnail[..], scan].concat();
        assert!(is_truncated(&cut));
        let whole = [&cut, &b"\xd9"[..]].concat();
        assert!(!is_truncated(&whole));
        assert!(!is_truncated(&[&whole, &b"\xff\xe1 more"[..]].concat()));
        for end in 0..whole.len() {
            assert!(is_truncated(&whole[..end]), "{end}");
        }
    }
}

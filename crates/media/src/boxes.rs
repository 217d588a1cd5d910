//! The box structure of ISO base media files, checked before a parser that trusts it (ISO/IEC 14496-12, 4.2).
//!
//! The parsers behind this crate allocate by the counts a file claims: 20 bytes of `stsz` may claim four thousand million
//! samples of one size. This walk reads headers and counts alone, allocates nothing by what it reads, and is strict: every
//! box lies inside its parent, and all samples together stay under the limit.

use crate::{Format, Limits, MediaError};

/// What the walk found out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Boxes {
    /// Bytes from the start that hold whole top-level boxes.
    pub(crate) whole: usize,
    /// Bytes of the top-level boxes that parsers read, which the media data is none of.
    pub(crate) structure: usize,
    /// Whether the last top-level box is cut off.
    pub(crate) truncated: bool,
}

/// Walks all boxes that parsers descend into.
pub(crate) fn check(bytes: &[u8], format: Format, limits: &Limits) -> Result<Boxes, MediaError> {
    let mut walk = Walk { bytes, format, limits, boxes: 0, samples: 0, tracks: 0 };
    let (mut at, mut movie) = (0, false);
    let (mut truncated, mut structure) = (false, 0);
    while at < bytes.len() {
        let Some(header) = walk.header(at, bytes.len())? else {
            truncated = true;
            break;
        };
        if header.end > bytes.len() {
            truncated = true;
            break;
        }
        movie |= &header.kind == b"moov";
        if !matches!(&header.kind, b"mdat" | b"free" | b"skip") {
            structure += header.end - at;
        }
        walk.descend(header, 0)?;
        at = header.end;
    }
    if !movie {
        let detail = if truncated {
            "the file ends before its movie box (moov), expected the whole file"
        } else {
            "there is no movie box (moov), expected one"
        };
        return Err(MediaError::malformed(format, detail));
    }
    Ok(Boxes { whole: at, structure, truncated })
}

struct Walk<'a> {
    bytes: &'a [u8],
    format: Format,
    limits: &'a Limits,
    boxes: u64,
    samples: u64,
    tracks: u64,
}

#[derive(Clone, Copy)]
struct Header {
    kind: [u8; 4],
    body: usize,
    end: usize,
}

impl Walk<'_> {
    /// Reads the header at an offset; `None` where the bytes end inside it.
    fn header(&mut self, at: usize, parent_end: usize) -> Result<Option<Header>, MediaError> {
        self.boxes += 1;
        Self::within("video.boxes", self.boxes, self.limits.video.max_boxes)?;
        let (Some(size), Some(kind)) = (self.read(at), self.read(at + 4)) else {
            return Ok(None);
        };
        let (size, head) = match u32::from_be_bytes(size) {
            0 => ((parent_end - at) as u64, 8),
            1 => {
                let (Some(high), Some(low)) = (self.read(at + 8), self.read(at + 12)) else {
                    return Ok(None);
                };
                let (high, low) = (u32::from_be_bytes(high), u32::from_be_bytes(low));
                (u64::from(high) << 32 | u64::from(low), 16)
            }
            size => (u64::from(size), 8),
        };
        if size < head as u64 {
            let detail = format!("the box at byte {at} is {size} bytes long, expected at least {head}");
            return Err(MediaError::malformed(self.format, detail));
        }
        let end = usize::try_from(size).ok().and_then(|size| at.checked_add(size));
        Ok(Some(Header { kind, body: at + head, end: end.unwrap_or(usize::MAX) }))
    }

    fn descend(&mut self, parent: Header, depth: usize) -> Result<(), MediaError> {
        match &parent.kind {
            b"moov" | b"mdia" | b"minf" | b"stbl" | b"mvex" | b"moof" | b"traf" => {}
            b"trak" => {
                self.tracks += 1;
                let limit = self.limits.video.max_tracks as u64;
                Self::within("video.tracks", self.tracks, limit)?;
            }
            // After version and flags: the size all samples share, or zero, then the count.
            b"stsz" => return self.add_samples(parent.body + 8, parent.end),
            b"trun" => return self.add_samples(parent.body + 4, parent.end),
            _ => return Ok(()),
        }
        if depth > MAX_DEPTH {
            return Err(MediaError::malformed(self.format, "boxes are nested too deep"));
        }
        let mut at = parent.body;
        while at < parent.end {
            let header = self.header(at, parent.end)?;
            if self.read(at) == Some([0; 4]) {
                let detail = format!("the box at byte {at} has no size, which only the last of a file may");
                return Err(MediaError::malformed(self.format, detail));
            }
            let Some(header) = header.filter(|header| header.end <= parent.end) else {
                let detail = format!("the box at byte {at} is longer than the box around it");
                return Err(MediaError::malformed(self.format, detail));
            };
            self.descend(header, depth + 1)?;
            at = header.end;
        }
        Ok(())
    }

    fn add_samples(&mut self, at: usize, end: usize) -> Result<(), MediaError> {
        let count = if at + 4 <= end { self.read(at) } else { None };
        let count = count.map_or(0, u32::from_be_bytes);
        self.samples += u64::from(count);
        Self::within("video.samples", self.samples, self.limits.video.max_samples)
    }

    fn within(field: &'static str, value: u64, limit: u64) -> Result<(), MediaError> {
        if value > limit {
            return Err(MediaError::LimitExceeded { field, value, limit });
        }
        Ok(())
    }

    fn read(&self, at: usize) -> Option<[u8; 4]> {
        self.bytes.get(at..)?.first_chunk().copied()
    }
}

/// `moov/trak/mdia/minf/stbl` is five deep.
const MAX_DEPTH: usize = 8;

#[cfg(test)]
mod tests {
    use super::*;

    fn boxed(kind: &str, body: &[u8]) -> Vec<u8> {
        let size = u32::try_from(8 + body.len()).unwrap();
        [&size.to_be_bytes(), kind.as_bytes(), body].concat()
    }

    fn walk(bytes: &[u8]) -> Result<Boxes, MediaError> {
        check(bytes, Format::Mp4, &Limits::default())
    }

    #[test]
    fn absurd_sample_counts_are_refused() {
        let claim = [[0; 4], 1_u32.to_be_bytes(), u32::MAX.to_be_bytes()].concat();
        let mut movie = boxed("stsz", &claim);
        for kind in ["stbl", "minf", "mdia", "trak", "moov"] {
            movie = boxed(kind, &movie);
        }
        let error = walk(&movie).unwrap_err();
        assert!(
            matches!(error, MediaError::LimitExceeded { field: "video.samples", value, .. } if value == u64::from(u32::MAX)),
            "{error}"
        );
    }

    #[test]
    fn boxes_that_are_too_short_or_too_long_are_refused() {
        let mut short = boxed("moov", &boxed("trak", &[]));
        short[8..12].copy_from_slice(&4_u32.to_be_bytes());
        assert!(matches!(walk(&short), Err(MediaError::Malformed { .. })));
        let mut long = boxed("moov", &boxed("trak", &[]));
        long[8..12].copy_from_slice(&99_u32.to_be_bytes());
        assert!(matches!(walk(&long), Err(MediaError::Malformed { .. })));
        let mut circle = boxed("moov", &boxed("trak", &[]));
        circle[8..12].copy_from_slice(&0_u32.to_be_bytes());
        assert!(matches!(walk(&circle), Err(MediaError::Malformed { .. })));
        assert!(matches!(walk(&boxed("ftyp", b"isom")), Err(MediaError::Malformed { .. })));
    }

    #[test]
    fn a_cut_media_box_leaves_the_movie_readable() {
        let movie = boxed("moov", &[]);
        let mut bytes = movie.clone();
        bytes.extend(boxed("mdat", &[0; 100]));
        bytes.truncate(bytes.len() - 50);
        assert_eq!(walk(&bytes).unwrap(), Boxes { whole: movie.len(), structure: movie.len(), truncated: true });
    }
}

//! The parts of H.264 that stand before its decoder (ITU-T H.264, 7.3; ISO/IEC 14496-15, 5.3.3.1).
//!
//! A decoder allocates by the size in the sequence parameter set, so that set is read here first, and sets inside the
//! stream are let through only where they ask for no more.

/// The decoder configuration of a track.
#[derive(Debug, Clone)]
pub(super) struct Config {
    /// How many bytes hold the length of a unit.
    pub(super) length_size: usize,
    /// The parameter sets, sequence first, behind start codes.
    pub(super) parameter_sets: Vec<u8>,
    pub(super) picture: Picture,
}

/// What a sequence parameter set says about pictures.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Picture {
    pub(super) width: u32,
    pub(super) height: u32,
    /// 0 is monochrome, then 4:2:0, 4:2:2 and 4:4:4.
    pub(super) chroma_format: u32,
    pub(super) bit_depth: u32,
}

impl Picture {
    pub(super) fn pixels(self) -> u64 {
        u64::from(self.width) * u64::from(self.height)
    }
}

impl Config {
    /// Reads an `AVCDecoderConfigurationRecord`; `None` where it is no such thing.
    pub(super) fn parse(record: &[u8]) -> Option<Self> {
        let length_size = usize::from(record.get(4)? & 3) + 1;
        let mut rest = record.get(6..)?;
        let mut parameter_sets = Vec::new();
        let mut picture = None;
        for _ in 0..record.get(5)? & 0x1f {
            let (unit, tail) = sized_unit(rest)?;
            picture = picture.or_else(|| parse_sps(unit));
            append(&mut parameter_sets, unit);
            rest = tail;
        }
        let (count, mut rest) = rest.split_first()?;
        for _ in 0..*count {
            let (unit, tail) = sized_unit(rest)?;
            append(&mut parameter_sets, unit);
            rest = tail;
        }
        Some(Self { length_size, parameter_sets, picture: picture? })
    }

    /// Iterates over the units of a sample; a length beyond the sample ends it.
    pub(super) fn units<'a>(&self, sample: &'a [u8]) -> impl Iterator<Item = &'a [u8]> + use<'a> {
        let length_size = self.length_size;
        let mut rest = sample;
        std::iter::from_fn(move || {
            loop {
                let (length, tail) = rest.split_at_checked(length_size)?;
                let length = length.iter().fold(0, |sum, byte| sum << 8 | usize::from(*byte));
                let (unit, tail) = tail.split_at_checked(length.min(tail.len()))?;
                rest = tail;
                if !unit.is_empty() {
                    return Some(unit);
                }
            }
        })
    }

    /// Tells whether other frames may need this sample: one of its slices has a reference index.
    pub(super) fn is_reference(&self, sample: &[u8]) -> bool {
        self.units(sample)
            .take(MAX_UNITS)
            .filter_map(<[u8]>::first)
            .any(|head| (1..=5).contains(&(head & 0x1f)) && head & 0x60 != 0)
    }

    /// Tells whether the sample holds an instantaneous refresh.
    pub(super) fn is_refresh(&self, sample: &[u8]) -> bool {
        self.units(sample).take(MAX_UNITS).any(|unit| unit.first().is_some_and(|head| head & 0x1f == 5))
    }

    /// Turns a sample into a byte stream, with a budget of slices that it takes from.
    ///
    /// `None` once the budget is used up: a sample may be made of thousands of pictures.
    pub(super) fn byte_stream(&self, sample: &[u8], slices_left: &mut u32) -> Option<Vec<u8>> {
        let mut out = Vec::with_capacity(sample.len() + 64);
        for unit in self.units(sample) {
            let kind = unit.first()? & 0x1f;
            if (1..=5).contains(&kind) {
                *slices_left = slices_left.checked_sub(1)?;
            }
            let fits = |picture: Picture| picture.pixels() <= self.picture.pixels() && picture.bit_depth == 8;
            match kind {
                1..=6 | 8 | 9 => append(&mut out, unit),
                7 if parse_sps(unit).is_some_and(fits) => append(&mut out, unit),
                _ => {}
            }
        }
        Some(out)
    }
}

fn sized_unit(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (length, rest) = bytes.split_first_chunk::<2>()?;
    rest.split_at_checked(usize::from(u16::from_be_bytes(*length)))
}

fn append(stream: &mut Vec<u8>, unit: &[u8]) {
    stream.extend([0, 0, 0, 1]);
    stream.extend_from_slice(unit);
}

/// Reads a sequence parameter set (7.3.2.1.1) as far as its cropping window.
fn parse_sps(unit: &[u8]) -> Option<Picture> {
    let (head, payload) = unit.split_first()?;
    if head & 0x1f != 7 {
        return None;
    }
    let payload = unescape(payload.get(..payload.len().min(MAX_SPS))?);
    let mut bits = Bits { bytes: &payload, at: 0 };
    let profile = bits.read(8)?;
    bits.read(16)?;
    bits.golomb()?;
    let (mut chroma_format, mut bit_depth, mut separate_planes) = (1, 8, 0);
    if matches!(profile, 100 | 110 | 122 | 244 | 44 | 83 | 86 | 118 | 128 | 138 | 139 | 134 | 135) {
        chroma_format = bits.golomb()?;
        if chroma_format == 3 {
            separate_planes = bits.read(1)?;
        }
        bit_depth = 8 + bits.golomb()?.max(bits.golomb()?);
        bits.read(1)?;
        if bits.read(1)? == 1 {
            for list in 0..if chroma_format == 3 { 12 } else { 8 } {
                if bits.read(1)? == 1 {
                    skip_scaling_list(&mut bits, if list < 6 { 16 } else { 64 })?;
                }
            }
        }
    }
    bits.golomb()?;
    match bits.golomb()? {
        0 => {
            bits.golomb()?;
        }
        1 => {
            bits.read(1)?;
            bits.golomb()?;
            bits.golomb()?;
            for _ in 0..bits.golomb()?.min(255) {
                bits.golomb()?;
            }
        }
        _ => {}
    }
    bits.golomb()?;
    bits.read(1)?;
    let width_units = bits.golomb()?.checked_add(1)?;
    let map_units = bits.golomb()?.checked_add(1)?;
    let frames_only = bits.read(1)?;
    if frames_only == 0 {
        bits.read(1)?;
    }
    bits.read(1)?;
    let coded_width = width_units.checked_mul(16)?;
    let coded_height = map_units.checked_mul(16)?.checked_mul(2 - frames_only)?;
    let (mut crop_x, mut crop_y) = (0, 0);
    if bits.read(1)? == 1 {
        let across = if separate_planes == 0 && matches!(chroma_format, 1 | 2) { 2 } else { 1 };
        let down = if separate_planes == 0 && chroma_format == 1 { 2 } else { 1 };
        let (left, right) = (bits.golomb()?, bits.golomb()?);
        let (top, bottom) = (bits.golomb()?, bits.golomb()?);
        crop_x = left.checked_add(right)?.checked_mul(across)?;
        crop_y = top.checked_add(bottom)?.checked_mul(down * (2 - frames_only))?;
    }
    Some(Picture {
        width: coded_width.checked_sub(crop_x).filter(|width| *width > 0)?,
        height: coded_height.checked_sub(crop_y).filter(|height| *height > 0)?,
        chroma_format,
        bit_depth,
    })
}

fn skip_scaling_list(bits: &mut Bits<'_>, size: u32) -> Option<()> {
    let (mut last, mut next) = (8_i64, 8_i64);
    for _ in 0..size {
        if next != 0 {
            let code = i64::from(bits.golomb()?);
            let delta = if code % 2 == 0 { -(code / 2) } else { code.midpoint(1) };
            next = (last + delta).rem_euclid(256);
        }
        last = if next == 0 { last } else { next };
    }
    Some(())
}

/// Takes out the bytes that keep start codes from appearing in a payload (7.4.1).
fn unescape(payload: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(payload.len());
    let mut zeros = 0;
    for byte in payload {
        if zeros >= 2 && *byte == 3 {
            zeros = 0;
            continue;
        }
        zeros = if *byte == 0 { zeros + 1 } else { 0 };
        out.push(*byte);
    }
    out
}

struct Bits<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl Bits<'_> {
    fn read(&mut self, count: u32) -> Option<u32> {
        let mut value = 0;
        for _ in 0..count {
            let byte = u32::from(*self.bytes.get(self.at / 8)?);
            value = value << 1 | (byte >> (7 - self.at % 8)) & 1;
            self.at += 1;
        }
        Some(value)
    }

    /// An unsigned Exp-Golomb code (9.1) of at most 31 bits.
    fn golomb(&mut self) -> Option<u32> {
        let mut zeros = 0;
        while self.read(1)? == 0 {
            zeros += 1;
            if zeros > 30 {
                return None;
            }
        }
        Some((1 << zeros) - 1 + self.read(zeros)?)
    }
}

/// A real set is some 40 bytes.
const MAX_SPS: usize = 1_024;
/// What follows the first units of a sample changes nothing about its kind.
const MAX_UNITS: usize = 64;

#[cfg(test)]
mod tests {
    use std::fmt::Write as _;

    use super::*;

    /// Writes a sequence parameter set bit by bit, by the syntax table of the standard.
    fn sps(profile: u8, width_units: u32, height_units: u32, crop_bottom: u32) -> Vec<u8> {
        let mut bits = String::new();
        let golomb = |value: u32| {
            let code = format!("{:b}", value + 1);
            "0".repeat(code.len() - 1) + &code
        };
        let _infallible = write!(bits, "{profile:08b}");
        bits += &"0".repeat(16);
        bits += &golomb(0);
        if profile == 100 {
            bits += &(golomb(1) + &golomb(0) + &golomb(0) + "00");
        }
        bits += &(golomb(0) + &golomb(2) + &golomb(4) + "0");
        bits += &(golomb(width_units - 1) + &golomb(height_units - 1) + "1" + "1");
        bits += &("1".to_owned() + &golomb(0) + &golomb(0) + &golomb(0) + &golomb(crop_bottom));
        bits += "10000000";
        let bytes = bits.as_bytes().chunks_exact(8);
        let payload = bytes.map(|byte| u8::from_str_radix(std::str::from_utf8(byte).unwrap(), 2).unwrap());
        // Every emulated start code gets its escape, as an encoder writes it.
        let mut unit = vec![0x67];
        for byte in payload {
            if byte <= 3 && unit.ends_with(&[0, 0]) {
                unit.push(3);
            }
            unit.push(byte);
        }
        unit
    }

    #[test]
    fn full_hd_is_cropped_from_whole_macroblocks() {
        for profile in [66, 100] {
            let picture = parse_sps(&sps(profile, 120, 68, 4)).unwrap();
            assert_eq!((picture.width, picture.height), (1_920, 1_080));
            assert_eq!((picture.chroma_format, picture.bit_depth), (1, 8));
        }
    }

    #[test]
    fn a_window_larger_than_the_picture_is_refused() {
        assert_eq!(parse_sps(&sps(66, 1, 1, 8)), None);
        assert_eq!(parse_sps(&[0x67, 66]), None);
        assert_eq!(parse_sps(&[0x68, 66, 0, 0]), None);
    }

    #[test]
    fn larger_sets_inside_the_stream_are_dropped() {
        let small = sps(66, 4, 4, 0);
        let mut record = vec![1, 66, 0, 30, 0xff, 0xe1];
        record.extend(u16::try_from(small.len()).unwrap().to_be_bytes());
        record.extend(&small);
        record.push(0);
        let config = Config::parse(&record).unwrap();
        assert_eq!(config.picture.pixels(), 64 * 64);
        let sized = |unit: &[u8]| {
            let length = u32::try_from(unit.len()).unwrap();
            [&length.to_be_bytes(), unit].concat()
        };
        let sample = [sized(&sps(66, 400, 400, 0)), sized(&small), sized(&[0x65, 0x88])].concat();
        let mut slices = 1;
        let stream = config.byte_stream(&sample, &mut slices).unwrap();
        let expected = [&[0, 0, 0, 1], &*small, &[0, 0, 0, 1, 0x65, 0x88]].concat();
        assert_eq!(stream, expected);
        assert_eq!(config.byte_stream(&sample, &mut slices), None);
        assert!(config.is_reference(&sample) && config.is_refresh(&sample));
        assert!(!config.is_reference(&sized(&[0x01, 0x88])));
    }
}

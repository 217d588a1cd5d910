use std::fmt;
use std::str::FromStr;

use image::DynamicImage;
use image::imageops::FilterType;
use image_hasher::HasherConfig;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Holds 64 bits that stay much the same when a picture is scaled or recompressed.
///
/// The bits say whether each of the lowest 8 × 8 frequencies of the cosine transform lies above their mean (Zauner,
/// "Implementation and Benchmarking of Perceptual Image Hash Functions", 2010). Copies lie within a distance of some 10,
/// strangers around 32.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PerceptualHash(u64);

impl PerceptualHash {
    /// Wraps the bits of a hash that was stored as a number.
    #[must_use]
    pub const fn from_bits(bits: u64) -> Self {
        Self(bits)
    }

    /// Returns the bits.
    #[must_use]
    pub const fn to_bits(self) -> u64 {
        self.0
    }

    /// Returns the number of bits in which two hashes differ, from 0 to 64.
    #[must_use]
    pub const fn distance(self, other: Self) -> u32 {
        (self.0 ^ other.0).count_ones()
    }
}

impl fmt::Display for PerceptualHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

impl FromStr for PerceptualHash {
    type Err = ParsePerceptualHashError;

    fn from_str(hex: &str) -> Result<Self, Self::Err> {
        if hex.len() != 16 || !hex.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return Err(ParsePerceptualHashError);
        }
        u64::from_str_radix(hex, 16).map(Self).map_err(|_| ParsePerceptualHashError)
    }
}

impl Serialize for PerceptualHash {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for PerceptualHash {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let hex = String::deserialize(deserializer)?;
        hex.parse().map_err(serde::de::Error::custom)
    }
}

/// Says that a text is no perceptual hash.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("perceptual hash is malformed: expected 16 hexadecimal digits")]
#[non_exhaustive]
pub struct ParsePerceptualHashError;

pub(super) fn perceptual_hash(picture: &DynamicImage) -> Option<PerceptualHash> {
    let hash = HasherConfig::with_bytes_type::<[u8; 8]>().hash_size(8, 8).preproc_dct().to_hasher().hash_image(picture);
    let bytes = hash.as_bytes().try_into().ok()?;
    Some(PerceptualHash(u64::from_be_bytes(bytes)))
}

/// Encodes 4 × 3 components of a copy small enough that the cosines cost nothing.
pub(super) fn blur_hash(picture: &DynamicImage) -> Option<String> {
    let longest = picture.width().max(picture.height()).max(1);
    let side = |length: u32| (u64::from(length) * u64::from(BLUR_SIDE) / u64::from(longest)).max(1);
    let (width, height) = (side(picture.width()), side(picture.height()));
    let small =
        picture.resize_exact(u32::try_from(width).ok()?, u32::try_from(height).ok()?, FilterType::Nearest).to_rgba8();
    blurhash::encode(4, 3, small.width(), small.height(), small.as_raw()).ok()
}

const BLUR_SIDE: u32 = 64;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hexadecimal_goes_both_ways() {
        let hash = PerceptualHash::from_bits(0x00ff_0000_0000_0001);
        assert_eq!(hash.to_string(), "00ff000000000001");
        assert_eq!("00ff000000000001".parse(), Ok(hash));
        assert_eq!("+0ff000000000001".parse::<PerceptualHash>(), Err(ParsePerceptualHashError));
        assert_eq!(hash.distance(PerceptualHash::from_bits(0)), 9);
        assert_eq!(serde_json::to_string(&hash).unwrap(), "\"00ff000000000001\"");
    }
}

//! The ids of traces and spans, and the flags that travel with them (W3C Trace Context level 2, section 3.2.2).

use std::fmt;
use std::num::{NonZeroU64, NonZeroU128};
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// The id of a trace: 16 bytes, never all zero, displayed as 32 lower-case hexadecimal digits.
///
/// # Examples
/// ```
/// use bedplate_observability::TraceId;
/// let id: TraceId = "4bf92f3577b34da6a3ce929d0e0e4736".parse()?;
/// assert_eq!(id.to_string(), "4bf92f3577b34da6a3ce929d0e0e4736");
/// assert!("00000000000000000000000000000000".parse::<TraceId>().is_err());
/// # Ok::<(), bedplate_observability::ParseIdError>(())
/// ```
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TraceId(NonZeroU128);

/// The id of a span: 8 bytes, never all zero, displayed as 16 lower-case hexadecimal digits.
///
/// # Examples
/// ```
/// use bedplate_observability::SpanId;
/// let id: SpanId = "00f067aa0ba902b7".parse()?;
/// assert_eq!(id.to_u64(), 0x00f0_67aa_0ba9_02b7);
/// # Ok::<(), bedplate_observability::ParseIdError>(())
/// ```
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SpanId(NonZeroU64);

/// The flags of a trace: whether the caller recorded it, and whether its id is random.
///
/// Bits that level 2 does not define are not kept, as its section 3.2.2.5.3 asks.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct TraceFlags(u8);

/// A text that is no id: of another length, with other characters, or all zero.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("an id is expected to be {digits} lower-case hexadecimal digits that are not all zero")]
pub struct ParseIdError {
    digits: usize,
}

impl TraceId {
    /// Returns a random id; all of its 16 bytes are random, as the random flag promises.
    #[must_use]
    pub fn random() -> Self {
        Self(NonZeroU128::new(fastrand::u128(..)).unwrap_or(NonZeroU128::MIN))
    }

    /// A random id that bears a mark below `marks`, a power of two up to 256. The mark stands outside of the last 7 bytes,
    /// which are those that others sample by, and of the first, in which some write the time.
    pub(crate) fn random_with(mark: u8, marks: u8) -> Self {
        let bits = u128::from(marks.saturating_sub(1)) << MARK;
        let id = fastrand::u128(..) & !bits | u128::from(mark) << MARK & bits;
        Self(NonZeroU128::new(id).unwrap_or(NonZeroU128::MIN))
    }

    /// The mark of an id, below `marks`.
    pub(crate) const fn mark(self, marks: u8) -> u8 {
        self.0.get().to_be_bytes()[8] & marks.saturating_sub(1)
    }

    /// Returns the id of this number; `None` for zero.
    #[must_use]
    pub const fn new(id: u128) -> Option<Self> {
        match NonZeroU128::new(id) {
            Some(id) => Some(Self(id)),
            None => None,
        }
    }

    /// Returns the id as a number, its first byte the most significant.
    #[must_use]
    pub const fn to_u128(self) -> u128 {
        self.0.get()
    }

    /// Returns the id's bytes as they stand on the wire.
    #[must_use]
    pub const fn to_bytes(self) -> [u8; 16] {
        self.0.get().to_be_bytes()
    }
}

impl SpanId {
    /// Returns a random id.
    #[must_use]
    pub fn random() -> Self {
        Self(NonZeroU64::new(fastrand::u64(..)).unwrap_or(NonZeroU64::MIN))
    }

    /// Returns the id of this number; `None` for zero.
    #[must_use]
    pub const fn new(id: u64) -> Option<Self> {
        match NonZeroU64::new(id) {
            Some(id) => Some(Self(id)),
            None => None,
        }
    }

    /// Returns the id as a number, its first byte the most significant.
    #[must_use]
    pub const fn to_u64(self) -> u64 {
        self.0.get()
    }

    /// Returns the id's bytes as they stand on the wire.
    #[must_use]
    pub const fn to_bytes(self) -> [u8; 8] {
        self.0.get().to_be_bytes()
    }
}

impl TraceFlags {
    /// No flag.
    pub const NONE: Self = Self(0);
    /// The caller may have recorded the trace.
    pub const SAMPLED: Self = Self(0x01);
    /// At least the last 7 bytes of the trace id are random (level 2).
    pub const RANDOM: Self = Self(0x02);

    /// Returns the flags of this byte, without those that level 2 does not define.
    #[must_use]
    pub const fn from_bits(bits: u8) -> Self {
        Self(bits & 0x03)
    }

    /// Returns the flags as a byte.
    #[must_use]
    pub const fn bits(self) -> u8 {
        self.0
    }

    /// Returns whether the caller may have recorded the trace.
    #[must_use]
    pub const fn sampled(self) -> bool {
        self.0 & Self::SAMPLED.0 != 0
    }

    /// Returns whether the trace id is random enough to sample by.
    #[must_use]
    pub const fn random(self) -> bool {
        self.0 & Self::RANDOM.0 != 0
    }

    /// Returns these and the other flags together.
    #[must_use]
    pub const fn with(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// Returns these flags without the others.
    #[must_use]
    pub const fn without(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }
}

impl fmt::Display for TraceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

impl fmt::Display for SpanId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

/// Displays the flags as the two digits that end a `traceparent`.
impl fmt::Display for TraceFlags {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:02x}", self.0)
    }
}

impl fmt::Debug for TraceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TraceId({self})")
    }
}

impl fmt::Debug for SpanId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SpanId({self})")
    }
}

impl fmt::Debug for TraceFlags {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TraceFlags({self})")
    }
}

impl FromStr for TraceId {
    type Err = ParseIdError;

    fn from_str(text: &str) -> Result<Self, ParseIdError> {
        hex(text.as_bytes(), 32).and_then(Self::new).ok_or(ParseIdError { digits: 32 })
    }
}

impl FromStr for SpanId {
    type Err = ParseIdError;

    fn from_str(text: &str) -> Result<Self, ParseIdError> {
        let id = hex(text.as_bytes(), 16).and_then(|id| u64::try_from(id).ok());
        id.and_then(Self::new).ok_or(ParseIdError { digits: 16 })
    }
}

impl Serialize for TraceId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl Serialize for SpanId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for TraceId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'_, str>::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

impl<'de> Deserialize<'de> for SpanId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'_, str>::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

/// Where the eighth byte from the end begins.
const MARK: u32 = 56;

/// The number of exactly so many lower-case digits, at most 32.
pub(crate) fn hex(text: &[u8], digits: usize) -> Option<u128> {
    if text.len() != digits || digits > 32 {
        return None;
    }
    text.iter().try_fold(0_u128, |number, byte| {
        let digit = match byte {
            b'0'..=b'9' => byte - b'0',
            b'a'..=b'f' => byte - b'a' + 10,
            _ => return None,
        };
        Some(number << 4 | u128::from(digit))
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn texts_that_are_no_ids_are_refused() {
        for text in [
            "",
            "0",
            "0000000000000000",
            "00f067aa0ba902b",
            "00f067aa0ba902b70",
            "00F067AA0BA902B7",
            "+0f067aa0ba902b7",
        ] {
            let error = text.parse::<SpanId>().unwrap_err();
            assert_eq!(
                error.to_string(),
                "an id is expected to be 16 lower-case hexadecimal digits that are not all zero",
                "{text}"
            );
        }
        assert!("00f067aa0ba902b7".parse::<TraceId>().is_err());
    }

    #[test]
    fn unknown_flags_are_not_kept() {
        let flags = TraceFlags::from_bits(0xff);
        assert_eq!(flags, TraceFlags::SAMPLED.with(TraceFlags::RANDOM));
        assert_eq!(flags.without(TraceFlags::SAMPLED).to_string(), "02");
        assert!(!TraceFlags::NONE.sampled() && !TraceFlags::NONE.random());
    }

    proptest! {
        #[test]
        fn ids_survive_text_and_json(trace in 1_u128.., span in 1_u64..) {
            let (trace, span) = (TraceId::new(trace).unwrap(), SpanId::new(span).unwrap());
            prop_assert_eq!(trace.to_string().parse::<TraceId>(), Ok(trace));
            prop_assert_eq!(span.to_string().parse::<SpanId>(), Ok(span));
            let json = serde_json::to_string(&(trace, span)).unwrap();
            prop_assert_eq!(serde_json::from_str::<(TraceId, SpanId)>(&json).unwrap(), (trace, span));
            prop_assert_eq!(trace.to_string().len() + span.to_string().len(), 48);
        }
    }
}

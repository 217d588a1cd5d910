//! Envelopes, sealed and opened.

use bytes::{BufMut as _, Bytes};

use crate::remote::reader::Reader;
use crate::remote::{CodecError, Stamp};

/// A sealed envelope: bytes that begin with a stamp and end with a checksum.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sealed {
    bytes: Bytes,
    stamp: Stamp,
}

impl Sealed {
    /// Returns the bytes.
    pub const fn bytes(&self) -> &Bytes {
        &self.bytes
    }

    /// Returns the stamp.
    pub const fn stamp(&self) -> Stamp {
        self.stamp
    }

    /// Returns the stamp of what a tier holds, without checking the rest; `None` if it is no envelope
    /// of this version.
    pub fn peek_stamp(stored: &[u8]) -> Option<Stamp> {
        let mut reader = Reader::new(stored);
        let known = reader.array::<4>()? == MAGIC && reader.u8()? == VERSION;
        reader.take(3)?;
        known.then_some(Stamp::from_bytes(reader.array()?))
    }
}

/// What an envelope says about the key it is stored under.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum EnvelopeKind {
    /// It has this value.
    Value,
    /// It is known to have no value.
    Negative,
    /// It was invalidated: whatever is older is not to be served.
    Tombstone,
    /// It is not a key of the cache but a tag or a pattern, invalidated at the stamp.
    Marker,
}

impl EnvelopeKind {
    const fn code(self) -> u8 {
        match self {
            Self::Value => 0,
            Self::Negative => 1,
            Self::Tombstone => 2,
            Self::Marker => 3,
        }
    }

    const fn from_code(code: u8) -> Option<Self> {
        match code {
            0 => Some(Self::Value),
            1 => Some(Self::Negative),
            2 => Some(Self::Tombstone),
            3 => Some(Self::Marker),
            _ => None,
        }
    }
}

/// What stands in the head of an envelope.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct EnvelopeMeta {
    /// What it says.
    pub kind: EnvelopeKind,
    /// When that began to be true; for a loaded value, the start of its load.
    pub stamp: Stamp,
    /// Until when it is fresh, in milliseconds since 1970; `u64::MAX` without end.
    pub fresh_until: u64,
    /// Until when it may be served stale, likewise.
    pub keep_until: u64,
    /// The tags of the value.
    pub tags: Vec<String>,
}

impl EnvelopeMeta {
    /// Describes something that is true from this stamp on, without end and without tags.
    pub const fn new(kind: EnvelopeKind, stamp: Stamp) -> Self {
        Self { kind, stamp, fresh_until: u64::MAX, keep_until: u64::MAX, tags: Vec::new() }
    }

    /// Sets until when it is fresh.
    #[must_use]
    pub const fn fresh_until(mut self, millis: u64) -> Self {
        self.fresh_until = millis;
        self
    }

    /// Sets until when it may be served stale.
    #[must_use]
    pub const fn keep_until(mut self, millis: u64) -> Self {
        self.keep_until = millis;
        self
    }

    /// Sets the tags.
    #[must_use]
    pub fn tags<S: Into<String>>(mut self, tags: impl IntoIterator<Item = S>) -> Self {
        self.tags = tags.into_iter().map(Into::into).collect();
        self
    }
}

/// What is accepted from outside.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct EnvelopeLimits {
    /// Bytes of a payload after decompression; default 64 MiB. Too small refuses what others wrote,
    /// too large lets one stored value take that much memory for the time of its decoding.
    pub max_payload: usize,
}

impl Default for EnvelopeLimits {
    fn default() -> Self {
        Self { max_payload: 64 << 20 }
    }
}

impl EnvelopeLimits {
    /// Accepts payloads up to so many bytes.
    pub const fn new(max_payload: usize) -> Self {
        Self { max_payload }
    }
}

/// An envelope that was read and found whole.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Envelope {
    /// Its head.
    pub meta: EnvelopeMeta,
    /// Which codec wrote the payload, see [`Codec::id`](super::Codec::id).
    pub codec: u8,
    /// The payload, decompressed.
    pub payload: Bytes,
}

/// Why bytes are not an envelope that can be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum EnvelopeError {
    /// It does not begin as an envelope does.
    #[error("not an envelope")]
    NotAnEnvelope,
    /// It ends before its end.
    #[error("envelope is cut off")]
    Truncated,
    /// A newer version of this library wrote it.
    #[error("envelope of version {found}, the newest known is {known}")]
    #[non_exhaustive]
    Newer {
        /// Its version.
        found: u8,
        /// The newest version that is understood.
        known: u8,
    },
    /// Its checksum is wrong, or its fields contradict each other.
    #[error("envelope is corrupt")]
    Corrupt,
    /// The payload is, or claims to be after decompression, larger than is accepted.
    #[error("payload of {bytes} bytes, at most {limit} are accepted")]
    #[non_exhaustive]
    TooLarge {
        /// How large it claims to be.
        bytes: usize,
        /// What is accepted.
        limit: usize,
    },
    /// It is compressed, and this build has no decompression.
    #[error("payload is compressed, and the feature `compression` is off")]
    Compressed,
}

impl Envelope {
    /// Seals a payload; one of at least `compress_above` bytes is compressed where that makes it smaller
    /// and the feature `compression` is on.
    ///
    /// # Errors
    ///
    /// [`CodecError::TooLarge`] if the payload, a tag or the number of tags does not fit the format.
    pub fn seal(
        meta: &EnvelopeMeta,
        codec: u8,
        payload: &[u8],
        compress_above: Option<usize>,
    ) -> Result<Sealed, CodecError> {
        let compressed = compress_above.filter(|above| payload.len() >= *above).and_then(|_| compress(payload));
        let stored = compressed.as_deref().unwrap_or(payload);
        let tag_bytes: usize = meta.tags.iter().map(|tag| 2 + tag.len()).sum();
        let mut bytes = Vec::with_capacity(HEAD + tag_bytes + stored.len() + CHECKSUM);
        bytes.put_slice(&MAGIC);
        bytes.put_u8(VERSION);
        bytes.put_u8(meta.kind.code());
        bytes.put_u8(u8::from(compressed.is_some()));
        bytes.put_u8(codec);
        bytes.put_slice(&meta.stamp.to_bytes());
        bytes.put_u64(meta.fresh_until);
        bytes.put_u64(meta.keep_until);
        bytes.put_u32(fits(payload.len())?);
        bytes.put_u32(fits(stored.len())?);
        bytes.put_u16(fits(meta.tags.len())?);
        for tag in &meta.tags {
            bytes.put_u16(fits(tag.len())?);
            bytes.put_slice(tag.as_bytes());
        }
        bytes.put_slice(stored);
        bytes.put_u64(xxhash_rust::xxh3::xxh3_64(&bytes));
        Ok(Sealed { bytes: bytes.into(), stamp: meta.stamp })
    }

    /// Opens an envelope.
    ///
    /// # Errors
    ///
    /// An [`EnvelopeError`] for bytes of any kind that are not a whole envelope of a known version;
    /// never more memory than the limits allow, whatever the bytes claim.
    pub fn open(bytes: &Bytes, limits: EnvelopeLimits) -> Result<Self, EnvelopeError> {
        let (magic, rest) = bytes.split_first_chunk::<4>().ok_or(EnvelopeError::NotAnEnvelope)?;
        if *magic != MAGIC {
            return Err(EnvelopeError::NotAnEnvelope);
        }
        match rest.first() {
            None => return Err(EnvelopeError::Truncated),
            Some(&VERSION) => {}
            Some(&found) if found > VERSION => return Err(EnvelopeError::Newer { found, known: VERSION }),
            Some(_) => return Err(EnvelopeError::Corrupt),
        }
        if bytes.len() < HEAD + CHECKSUM {
            return Err(EnvelopeError::Truncated);
        }
        let (body, checksum) = bytes.split_last_chunk::<CHECKSUM>().ok_or(EnvelopeError::Truncated)?;
        // Lengths first, so that a torn write is told from a flipped bit.
        let parsed = parse(body)?;
        if xxhash_rust::xxh3::xxh3_64(body) != u64::from_be_bytes(*checksum) {
            return Err(EnvelopeError::Corrupt);
        }
        let Parsed { meta, codec, compressed, length, stored } = parsed;
        let (bytes_claimed, limit) = (length.max(stored.len()), limits.max_payload);
        if bytes_claimed > limit {
            return Err(EnvelopeError::TooLarge { bytes: bytes_claimed, limit });
        }
        let payload = if compressed {
            decompress(stored, length)?.into()
        } else if stored.len() == length {
            bytes.slice_ref(stored)
        } else {
            return Err(EnvelopeError::Corrupt);
        };
        Ok(Self { meta, codec, payload })
    }
}

struct Parsed<'a> {
    meta: EnvelopeMeta,
    codec: u8,
    compressed: bool,
    length: usize,
    stored: &'a [u8],
}

fn parse(body: &[u8]) -> Result<Parsed<'_>, EnvelopeError> {
    let cut = || EnvelopeError::Truncated;
    let mut reader = Reader::new(body);
    reader.take(5).ok_or_else(cut)?;
    let kind = EnvelopeKind::from_code(reader.u8().ok_or_else(cut)?).ok_or(EnvelopeError::Corrupt)?;
    let flags = reader.u8().ok_or_else(cut)?;
    let codec = reader.u8().ok_or_else(cut)?;
    let stamp = Stamp::from_bytes(reader.array().ok_or_else(cut)?);
    let fresh_until = reader.u64().ok_or_else(cut)?;
    let keep_until = reader.u64().ok_or_else(cut)?;
    let length = reader.u32().ok_or_else(cut)?;
    let stored_length = reader.u32().ok_or_else(cut)?;
    let tag_count = reader.u16().ok_or_else(cut)?;
    // A tag takes two bytes at least, so the count cannot make this larger than the input.
    let mut tags = Vec::with_capacity(usize::from(tag_count).min(body.len() / 2));
    for _ in 0..tag_count {
        tags.push(reader.text().ok_or_else(cut)?.to_owned());
    }
    let stored = reader.take(usize::try_from(stored_length).unwrap_or(usize::MAX)).ok_or_else(cut)?;
    if flags > COMPRESSED || !reader.is_empty() {
        return Err(EnvelopeError::Corrupt);
    }
    let meta = EnvelopeMeta { kind, stamp, fresh_until, keep_until, tags };
    let length = usize::try_from(length).unwrap_or(usize::MAX);
    Ok(Parsed { meta, codec, compressed: flags == COMPRESSED, length, stored })
}

fn fits<N: TryFrom<usize>>(length: usize) -> Result<N, CodecError> {
    N::try_from(length).map_err(|_| CodecError::TooLarge { bytes: length })
}

#[cfg(feature = "compression")]
fn compress(payload: &[u8]) -> Option<Vec<u8>> {
    let compressed = lz4_flex::block::compress(payload);
    (compressed.len() < payload.len()).then_some(compressed)
}

#[cfg(not(feature = "compression"))]
fn compress(_: &[u8]) -> Option<Vec<u8>> {
    None
}

#[cfg(feature = "compression")]
fn decompress(stored: &[u8], length: usize) -> Result<Vec<u8>, EnvelopeError> {
    // One byte of an LZ4 block makes at most 255: what claims more lies, and is given no memory.
    if length > stored.len().saturating_mul(255) {
        return Err(EnvelopeError::Corrupt);
    }
    let mut payload = vec![0; length];
    match lz4_flex::block::decompress_into(stored, &mut payload) {
        Ok(written) if written == length => Ok(payload),
        _ => Err(EnvelopeError::Corrupt),
    }
}

#[cfg(not(feature = "compression"))]
fn decompress(_: &[u8], _: usize) -> Result<Vec<u8>, EnvelopeError> {
    Err(EnvelopeError::Compressed)
}

const MAGIC: [u8; 4] = *b"BPCE";
const VERSION: u8 = 1;
const COMPRESSED: u8 = 1;
const HEAD: usize = 54;
const CHECKSUM: usize = 8;

#[cfg(test)]
#[path = "tests.rs"]
mod tests;

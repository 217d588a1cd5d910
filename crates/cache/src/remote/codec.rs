//! Values as bytes.

use std::error::Error;
use std::fmt;

#[cfg(any(feature = "json", feature = "postcard"))]
use serde::{Serialize, de::DeserializeOwned};

use bytes::Bytes;

/// Turns values into bytes and back.
pub trait Codec<V>: fmt::Debug + Send + Sync + 'static {
    /// Returns the number that stands in the envelope, so that what another codec wrote is not read as
    /// one's own. Those of this crate are below 16; take one from 128 up.
    fn id(&self) -> u8;

    /// Writes a value.
    ///
    /// # Errors
    ///
    /// [`CodecError`] if it has no form in this format.
    fn encode(&self, value: &V) -> Result<Vec<u8>, CodecError>;

    /// Reads a value from bytes that came from outside: they may be anything.
    ///
    /// # Errors
    ///
    /// [`CodecError`] if they are not a value, or more than one.
    fn decode(&self, bytes: &[u8]) -> Result<V, CodecError>;
}

/// Why a value could not be written or read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CodecError {
    /// The value has no form in this format.
    #[error("value cannot be encoded")]
    Encode(#[source] Box<dyn Error + Send + Sync>),
    /// The bytes are not such a value.
    #[error("value cannot be decoded")]
    Decode(#[source] Box<dyn Error + Send + Sync>),
    /// Another codec wrote the bytes.
    #[error("value was written by codec {found}, this one is {expected}")]
    #[non_exhaustive]
    OtherCodec {
        /// Which one wrote it.
        found: u8,
        /// Which one was to read it.
        expected: u8,
    },
    /// It does not fit the envelope.
    #[error("{bytes} bytes do not fit the envelope")]
    #[non_exhaustive]
    TooLarge {
        /// How large it is.
        bytes: usize,
    },
}

/// Bytes as they are.
#[derive(Debug, Clone, Copy, Default)]
#[non_exhaustive]
pub struct BytesCodec;

impl BytesCodec {
    /// Makes one.
    pub const fn new() -> Self {
        Self
    }
}

impl Codec<Bytes> for BytesCodec {
    fn id(&self) -> u8 {
        0
    }

    fn encode(&self, value: &Bytes) -> Result<Vec<u8>, CodecError> {
        Ok(value.to_vec())
    }

    fn decode(&self, bytes: &[u8]) -> Result<Bytes, CodecError> {
        Ok(Bytes::copy_from_slice(bytes))
    }
}

impl Codec<Vec<u8>> for BytesCodec {
    fn id(&self) -> u8 {
        0
    }

    fn encode(&self, value: &Vec<u8>) -> Result<Vec<u8>, CodecError> {
        Ok(value.clone())
    }

    fn decode(&self, bytes: &[u8]) -> Result<Vec<u8>, CodecError> {
        Ok(bytes.to_vec())
    }
}

/// The compact binary format of the `postcard` crate.
///
/// It writes no field names: a type that changed its fields reads old bytes as garbage or, by chance,
/// as something else. Change the key prefix with the type.
#[cfg(feature = "postcard")]
#[derive(Debug, Clone, Copy, Default)]
#[non_exhaustive]
pub struct PostcardCodec;

#[cfg(feature = "postcard")]
impl PostcardCodec {
    /// Makes one.
    pub const fn new() -> Self {
        Self
    }
}

#[cfg(feature = "postcard")]
impl<V: Serialize + DeserializeOwned> Codec<V> for PostcardCodec {
    fn id(&self) -> u8 {
        1
    }

    fn encode(&self, value: &V) -> Result<Vec<u8>, CodecError> {
        postcard::to_stdvec(value).map_err(|error| CodecError::Encode(error.into()))
    }

    fn decode(&self, bytes: &[u8]) -> Result<V, CodecError> {
        let (value, rest) = postcard::take_from_bytes(bytes).map_err(|error| CodecError::Decode(error.into()))?;
        if rest.is_empty() { Ok(value) } else { Err(CodecError::Decode("bytes are left over".into())) }
    }
}

/// JSON: larger and slower than postcard, legible to people and other languages, and tolerant of
/// fields that came or went.
#[cfg(feature = "json")]
#[derive(Debug, Clone, Copy, Default)]
#[non_exhaustive]
pub struct JsonCodec;

#[cfg(feature = "json")]
impl JsonCodec {
    /// Makes one.
    pub const fn new() -> Self {
        Self
    }
}

#[cfg(feature = "json")]
impl<V: Serialize + DeserializeOwned> Codec<V> for JsonCodec {
    fn id(&self) -> u8 {
        2
    }

    fn encode(&self, value: &V) -> Result<Vec<u8>, CodecError> {
        serde_json::to_vec(value).map_err(|error| CodecError::Encode(error.into()))
    }

    fn decode(&self, bytes: &[u8]) -> Result<V, CodecError> {
        serde_json::from_slice(bytes).map_err(|error| CodecError::Decode(error.into()))
    }
}

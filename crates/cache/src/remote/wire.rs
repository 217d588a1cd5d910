//! Typed values in and out of envelopes.

use std::fmt;
use std::sync::Arc;

use bytes::Bytes;

use super::{Codec, CodecError, Envelope, EnvelopeError, EnvelopeKind, EnvelopeLimits, EnvelopeMeta, Sealed};

/// A codec with the settings of the envelopes it fills.
pub struct Wire<V> {
    codec: Arc<dyn Codec<V>>,
    compress_above: Option<usize>,
    limits: EnvelopeLimits,
}

impl<V: 'static> Wire<V> {
    /// Takes a codec; values of 4 KiB and more are compressed where the feature is on.
    pub fn new(codec: impl Codec<V>) -> Self {
        Self { codec: Arc::new(codec), compress_above: Some(4096), limits: EnvelopeLimits::default() }
    }

    /// Compresses values from so many bytes up, `None` for never; default 4096. Too small spends time
    /// on what does not shrink, too large sends more bytes.
    #[must_use]
    pub const fn compress_above(mut self, bytes: Option<usize>) -> Self {
        self.compress_above = bytes;
        self
    }

    /// Sets what is accepted from outside.
    #[must_use]
    pub const fn limits(mut self, limits: EnvelopeLimits) -> Self {
        self.limits = limits;
        self
    }

    /// Seals a value, or what is known of its absence.
    ///
    /// # Errors
    ///
    /// [`CodecError`] if the value cannot be encoded or does not fit.
    pub fn seal(&self, meta: &EnvelopeMeta, value: Option<&V>) -> Result<Sealed, CodecError> {
        let payload = value.map(|value| self.codec.encode(value)).transpose()?.unwrap_or_default();
        Envelope::seal(meta, self.codec.id(), &payload, self.compress_above)
    }

    #[cfg(feature = "snapshot")]
    pub(crate) fn encode(&self, value: &V) -> Result<Vec<u8>, CodecError> {
        self.codec.encode(value)
    }

    #[cfg(feature = "snapshot")]
    pub(crate) fn decode(&self, bytes: &[u8]) -> Result<V, CodecError> {
        self.codec.decode(bytes)
    }

    /// Opens what a tier returned.
    ///
    /// # Errors
    ///
    /// [`OpenError`] for anything but a whole envelope of this codec: a counted miss.
    pub fn open(&self, bytes: &Bytes) -> Result<Opened<V>, OpenError> {
        let Envelope { meta, codec, payload } = Envelope::open(bytes, self.limits)?;
        if meta.kind != EnvelopeKind::Value {
            return Ok(Opened { meta, value: None });
        }
        if codec != self.codec.id() {
            return Err(CodecError::OtherCodec { found: codec, expected: self.codec.id() }.into());
        }
        let value = self.codec.decode(&payload)?;
        Ok(Opened { meta, value: Some(value) })
    }
}

impl<V> Clone for Wire<V> {
    fn clone(&self) -> Self {
        Self { codec: Arc::clone(&self.codec), compress_above: self.compress_above, limits: self.limits }
    }
}

impl<V> fmt::Debug for Wire<V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Wire")
            .field("codec", &self.codec)
            .field("compress_above", &self.compress_above)
            .field("limits", &self.limits)
            .finish()
    }
}

/// What an envelope held.
#[derive(Clone)]
#[non_exhaustive]
pub struct Opened<V> {
    /// Its head.
    pub meta: EnvelopeMeta,
    /// The value; `None` unless the kind is [`EnvelopeKind::Value`].
    pub value: Option<V>,
}

impl<V> fmt::Debug for Opened<V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Opened").field("meta", &self.meta).finish_non_exhaustive()
    }
}

/// Why what a tier returned cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// The envelope.
    #[error("the envelope cannot be used")]
    Envelope(#[from] EnvelopeError),
    /// The value in it.
    #[error("the payload cannot be used")]
    Codec(#[from] CodecError),
}

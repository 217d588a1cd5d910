use std::fmt;

use serde::Serialize;

use crate::id::TaskId;
use crate::job::definition::Job;
use crate::store::NewJob;

/// Seals arguments before they are stored, and opens them for the work: the place for encryption.
///
/// What it gives must be a JSON text again, since that is what stores and other languages' tools expect.
pub trait Codec: fmt::Debug + Send + Sync {
    /// The name that goes along with what it sealed, in the header `bedplate-encoding`; `None` for plain JSON.
    fn encoding(&self) -> Option<&'static str>;

    /// Seals the arguments of this job.
    ///
    /// # Errors
    /// [`CodecError`] says why it cannot; the job is not submitted.
    fn seal(&self, id: TaskId, kind: &str, json: Vec<u8>) -> Result<Vec<u8>, CodecError>;

    /// Opens what was sealed under this encoding.
    ///
    /// # Errors
    /// [`CodecError`] says why it cannot; the job is undecodable.
    fn open(&self, id: TaskId, kind: &str, encoding: &str, sealed: &[u8]) -> Result<Vec<u8>, CodecError>;
}

/// The header that says how a job's arguments are sealed.
const ENCODING: &str = "bedplate-encoding";

/// Arguments that cannot be sealed or opened.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct CodecError {
    message: String,
}

impl CodecError {
    /// Says why.
    #[must_use]
    pub fn new(message: impl Into<String>) -> Self {
        Self { message: message.into() }
    }
}

/// Stores arguments as they are; opens nothing that was sealed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct JsonCodec;

impl Codec for JsonCodec {
    fn encoding(&self) -> Option<&'static str> {
        None
    }

    fn seal(&self, _: TaskId, _: &str, json: Vec<u8>) -> Result<Vec<u8>, CodecError> {
        Ok(json)
    }

    fn open(&self, _: TaskId, _: &str, encoding: &str, _: &[u8]) -> Result<Vec<u8>, CodecError> {
        Err(CodecError::new(format!("arguments are sealed by {encoding}, and no codec for it was given")))
    }
}

pub(crate) fn encode_json<T: Serialize>(value: &T) -> Result<Vec<u8>, serde_json::Error> {
    serde_json::to_vec(value)
}

/// Seals the plain payload of a job for its id and kind.
pub(crate) fn seal_payload(codec: &dyn Codec, job: &mut NewJob) -> Result<(), CodecError> {
    if let Some(encoding) = codec.encoding() {
        job.payload = codec.seal(job.id, &job.kind, std::mem::take(&mut job.payload))?;
        job.headers.insert(ENCODING.to_owned(), encoding.to_owned());
    }
    Ok(())
}

/// The JSON text of a job's arguments.
fn open_payload<'a>(codec: &dyn Codec, job: &'a NewJob) -> Result<std::borrow::Cow<'a, [u8]>, CodecError> {
    match job.headers.get(ENCODING) {
        Some(encoding) => codec.open(job.id, &job.kind, encoding, &job.payload).map(Into::into),
        None => Ok(job.payload.as_slice().into()),
    }
}

/// Reads the arguments of a job, whatever their version.
pub(crate) fn decode_payload<J: Job>(codec: &dyn Codec, job: &NewJob) -> Result<J, String> {
    let json = open_payload(codec, job).map_err(|error| error.to_string())?;
    if job.version == J::VERSION {
        return serde_json::from_slice(&json).map_err(|error| format!("arguments of {}: {error}", J::KIND));
    }
    let value = serde_json::from_slice(&json).map_err(|error| format!("arguments of {}: {error}", J::KIND))?;
    J::upgrade(job.version, value).map_err(|error| format!("arguments of {}: {error}", J::KIND))
}

//! Typed jobs: what an application writes.

mod codec;
mod context;
mod definition;
mod options;
mod outcome;

pub use codec::{Codec, CodecError, JsonCodec};
pub use context::{JobContext, Stop, Stopped};
pub use definition::{Attempt, Decision, Job, UpgradeError};
pub use options::JobOptions;
pub use outcome::{JobError, Outcome};

pub(crate) use codec::{decode_payload, encode_json, seal_payload};
pub(crate) use context::RunState;
pub(crate) use outcome::outcome;

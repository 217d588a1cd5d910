//! What is written around a value on its way out of the process.
//!
//! ```text
//! offset  bytes
//!      0      4  "BPCE"
//!      4      1  version, 1
//!      5      1  kind: 0 value, 1 negative, 2 tombstone, 3 marker
//!      6      1  flags: 1 compressed by LZ4
//!      7      1  codec
//!      8     20  stamp: milliseconds (8), counter (4), node (8)
//!     28      8  fresh until, milliseconds since 1970, 2⁶⁴-1 without end
//!     36      8  kept until, likewise
//!     44      4  length of the payload before compression
//!     48      4  length of the payload as it stands here
//!     52      2  count of tags
//!     54         tags, each with its length in two bytes before it; then the payload
//!     -8      8  XXH3-64 of all before
//! ```
//! All numbers are big-endian, so that a tier can compare the stamps of two envelopes as bytes, in
//! place. Magic and version stay where they are in every version to come.

mod sealing;

pub use sealing::{Envelope, EnvelopeError, EnvelopeKind, EnvelopeLimits, EnvelopeMeta, Sealed};

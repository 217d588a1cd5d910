//! A cache's entries in a file, for a warm start.
//!
//! ```text
//! "BPCS", version (1), 3 zero bytes, written at, milliseconds since 1970 (8)
//! per entry:  length of the rest without its checksum (4), key length (4), value length (4),
//!             remaining time in milliseconds (8), tag count (2), tags with their length in two bytes,
//!             key, value, XXH3-64 of these, seeded by the first length (8)
//! at the end: 2³²-1 (4), count (8), chained checksums (8)
//! ```
//! All numbers are big-endian. Writing goes to a file beside the old one that is synced and then renamed,
//! so that a crash at any point leaves the old snapshot or the new one. Entries come hottest first: a
//! start that must be quick reads the first of them, and a smaller budget takes what matters.
//!
//! Reading and writing stream: one entry is in memory at a time, and an entry that claims more bytes than
//! the limit or the rest of the file is refused before memory is taken for it. The file is one stream and
//! not an index, since a warm start reads all of it once.

mod reader;
mod writer;

pub use reader::{SnapshotEntry, SnapshotError, SnapshotReader};
pub use writer::{SnapshotRecord, SnapshotWriter, write_snapshot};

const MAGIC: [u8; 4] = *b"BPCS";
const VERSION: u8 = 1;
const HEAD: usize = 16;
/// The length that no entry has: the end.
const END: u32 = u32::MAX;
/// What an entry without end has left.
const FOREVER: u64 = u64::MAX;

/// The checksum of an entry; its length is the seed, so that it is covered too.
fn sum_of(body: &[u8], length: u64) -> u64 {
    xxhash_rust::xxh3::xxh3_64_with_seed(body, length)
}

/// The checksum of all entries so far: none can be left out, doubled or moved.
fn chained(before: u64, sum: u64) -> u64 {
    xxhash_rust::xxh3::xxh3_64_with_seed(&sum.to_be_bytes(), before)
}

#[cfg(test)]
mod tests;

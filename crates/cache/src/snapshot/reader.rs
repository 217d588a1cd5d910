//! Reads a snapshot.

use std::fmt;
use std::fs::File;
use std::io::{self, BufReader, Read};
use std::path::Path;
use std::time::Duration;

use super::{END, FOREVER, HEAD, MAGIC, VERSION, chained, sum_of};

/// One entry from a file.
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct SnapshotEntry {
    /// The key, as the codec wrote it.
    pub key: Vec<u8>,
    /// The value, likewise.
    pub value: Vec<u8>,
    /// How long it was to live on when the snapshot was written; `None` without end. The time since then
    /// is for the caller to subtract, see [`SnapshotReader::written_at`].
    pub remaining: Option<Duration>,
    /// Its tags.
    pub tags: Vec<String>,
}

impl fmt::Debug for SnapshotEntry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SnapshotEntry")
            .field("key_bytes", &self.key.len())
            .field("value_bytes", &self.value.len())
            .field("remaining", &self.remaining)
            .finish_non_exhaustive()
    }
}

/// Why a file is not a snapshot, or not a whole one.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SnapshotError {
    /// The cache has no codec to write and read its values by.
    #[error("cache has no codec for its values: give its builder one, as in `.codec(JsonCodec::new())`")]
    NoCodec,
    /// The file cannot be read or written.
    #[error("snapshot cannot be read or written")]
    Io(#[from] io::Error),
    /// It does not begin as a snapshot does.
    #[error("file is not a snapshot")]
    NotASnapshot,
    /// A newer version of this library wrote it.
    #[error("snapshot of version {found}, the newest known is {known}")]
    #[non_exhaustive]
    Newer {
        /// Its version.
        found: u8,
        /// The newest version that is understood.
        known: u8,
    },
    /// It ends before its end. The entries before that were whole.
    #[error("snapshot is cut off after {entries} entries")]
    #[non_exhaustive]
    Truncated {
        /// How many entries were read.
        entries: u64,
    },
    /// A checksum is wrong. The entries before that were whole.
    #[error("snapshot is corrupt after {entries} entries")]
    #[non_exhaustive]
    Corrupt {
        /// How many entries were read.
        entries: u64,
    },
    /// An entry is, or claims to be, larger than is accepted.
    #[error("entry of {bytes} bytes, at most {limit} are accepted")]
    #[non_exhaustive]
    TooLarge {
        /// How large it claims to be.
        bytes: u64,
        /// What is accepted.
        limit: u64,
    },
}

/// Reads a snapshot entry by entry.
#[derive(Debug)]
pub struct SnapshotReader<R = BufReader<File>> {
    source: R,
    written_at: u64,
    limit: u64,
    sums: u64,
    entries: u64,
    ended: bool,
}

impl SnapshotReader {
    /// Opens a file.
    ///
    /// # Errors
    ///
    /// [`SnapshotError`] if it cannot be read, or is no snapshot of a known version.
    pub fn open(path: impl AsRef<Path>) -> Result<Self, SnapshotError> {
        Self::new(BufReader::new(File::open(path)?))
    }

    /// Reads a file to its end and checks all of it; returns how many entries it holds.
    ///
    /// For who wants all or nothing: verify, then open again and load.
    ///
    /// # Errors
    ///
    /// [`SnapshotError`] for whatever is wrong with it.
    pub fn verify(path: impl AsRef<Path>) -> Result<u64, SnapshotError> {
        let mut reader = Self::open(path)?;
        while reader.next_entry()?.is_some() {}
        Ok(reader.entries)
    }
}

impl<R: Read> SnapshotReader<R> {
    /// Reads from any source.
    ///
    /// # Errors
    ///
    /// [`SnapshotError`] if it cannot be read, or is no snapshot of a known version.
    pub fn new(mut source: R) -> Result<Self, SnapshotError> {
        let mut head = Vec::with_capacity(HEAD);
        source.by_ref().take(HEAD_BYTES).read_to_end(&mut head)?;
        let (magic, rest) = head.split_first_chunk::<4>().ok_or(SnapshotError::NotASnapshot)?;
        if *magic != MAGIC {
            return Err(SnapshotError::NotASnapshot);
        }
        match rest.first() {
            Some(&found) if found > VERSION => return Err(SnapshotError::Newer { found, known: VERSION }),
            Some(&VERSION) => {}
            Some(_) => return Err(SnapshotError::Corrupt { entries: 0 }),
            None => return Err(SnapshotError::Truncated { entries: 0 }),
        }
        let written_at = head.last_chunk::<8>().filter(|_| head.len() == HEAD);
        let written_at = written_at.map(|bytes| u64::from_be_bytes(*bytes));
        let written_at = written_at.ok_or(SnapshotError::Truncated { entries: 0 })?;
        Ok(Self { source, written_at, limit: DEFAULT_LIMIT, sums: 0, entries: 0, ended: false })
    }

    /// Accepts entries up to so many bytes; default 64 MiB. Too small refuses what was written, too large
    /// takes that much memory for one entry.
    #[must_use]
    pub const fn max_entry(mut self, bytes: u64) -> Self {
        self.limit = bytes;
        self
    }

    /// Returns when it was written, in milliseconds since 1970.
    pub const fn written_at(&self) -> u64 {
        self.written_at
    }

    /// Returns how many entries were read so far.
    pub const fn entries(&self) -> u64 {
        self.entries
    }

    /// Reads the next entry, the hottest first; `None` at the end of a whole snapshot.
    ///
    /// # Errors
    ///
    /// [`SnapshotError`]; what was read before it was whole, and after it nothing more is read.
    pub fn next_entry(&mut self) -> Result<Option<SnapshotEntry>, SnapshotError> {
        if self.ended {
            return Ok(None);
        }
        let next = self.step();
        self.ended = !matches!(next, Ok(Some(_)));
        next
    }

    fn step(&mut self) -> Result<Option<SnapshotEntry>, SnapshotError> {
        let length = number(&self.take(4)?);
        if length == u64::from(END) {
            return self.end();
        }
        if length > self.limit {
            return Err(SnapshotError::TooLarge { bytes: length, limit: self.limit });
        }
        let body = self.take(length)?;
        let sum = self.take(8)?;
        let corrupt = SnapshotError::Corrupt { entries: self.entries };
        let sum = number(&sum);
        if sum_of(&body, length) != sum {
            return Err(corrupt);
        }
        let entry = parse(&body).ok_or(corrupt)?;
        self.sums = chained(self.sums, sum);
        self.entries += 1;
        Ok(Some(entry))
    }

    fn end(&mut self) -> Result<Option<SnapshotEntry>, SnapshotError> {
        let (count, sums) = (number(&self.take(8)?), number(&self.take(8)?));
        let rest = self.source.by_ref().take(1).read_to_end(&mut Vec::new())?;
        if count == self.entries && sums == self.sums && rest == 0 {
            Ok(None)
        } else {
            Err(SnapshotError::Corrupt { entries: self.entries })
        }
    }

    /// Exactly so many bytes; memory grows with what is there, not with what is claimed.
    fn take(&mut self, count: u64) -> Result<Vec<u8>, SnapshotError> {
        let mut bytes = Vec::new();
        self.source.by_ref().take(count).read_to_end(&mut bytes)?;
        if u64::try_from(bytes.len()).is_ok_and(|read| read == count) {
            Ok(bytes)
        } else {
            Err(SnapshotError::Truncated { entries: self.entries })
        }
    }
}

fn parse(body: &[u8]) -> Option<SnapshotEntry> {
    let mut rest = body;
    let mut take = |count: usize| {
        let (taken, after) = rest.split_at_checked(count)?;
        rest = after;
        Some(taken)
    };
    let key_length = usize::try_from(number(take(4)?)).ok()?;
    let value_length = usize::try_from(number(take(4)?)).ok()?;
    let remaining = number(take(8)?);
    let tag_count = number(take(2)?);
    let mut tags = Vec::new();
    for _ in 0..tag_count {
        let length = usize::try_from(number(take(2)?)).ok()?;
        tags.push(std::str::from_utf8(take(length)?).ok()?.to_owned());
    }
    let (key, value) = (take(key_length)?.to_vec(), take(value_length)?.to_vec());
    let remaining = (remaining != FOREVER).then(|| Duration::from_millis(remaining));
    rest.is_empty().then_some(SnapshotEntry { key, value, remaining, tags })
}

fn number(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0, |sum, byte| (sum << 8) | u64::from(*byte))
}

const HEAD_BYTES: u64 = HEAD as u64;
const DEFAULT_LIMIT: u64 = 64 << 20;

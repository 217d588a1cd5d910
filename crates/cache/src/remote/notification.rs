//! What one node tells the others.

use bytes::{BufMut as _, Bytes};

use super::Stamp;
use super::reader::Reader;

/// Word of a change, on its way to the other nodes.
///
/// ```text
/// "BPCN", version (1), kind (1), stamp (20), sequence (8), length (4), text, XXH3-64 of all before
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Notification {
    /// When the change began to be true, and where it was made.
    pub stamp: Stamp,
    /// Counts the notifications of its node, so that others see when one is missing.
    pub sequence: u64,
    /// The change.
    pub change: Change,
}

/// A change that concerns what other nodes hold in memory.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Change {
    /// The key has a new value: what is held of it is old.
    Written(Bytes),
    /// The key was removed.
    Removed(Bytes),
    /// The key's value is old and may be kept for the case that no other is to be had.
    Expired(Bytes),
    /// All with this tag are old.
    Tag(String),
    /// All whose key matches this pattern are old.
    Pattern(String),
    /// All are removed.
    Cleared,
    /// The node lost track of what it had to tell: nothing older than the stamp is to be trusted.
    Suspect,
    /// Nothing changed; the node lives, and the sequence says whether something was missed.
    Heartbeat,
}

impl Change {
    pub(crate) fn parts(&self) -> (u8, &[u8]) {
        match self {
            Self::Written(key) => (0, key),
            Self::Removed(key) => (1, key),
            Self::Expired(key) => (2, key),
            Self::Tag(tag) => (3, tag.as_bytes()),
            Self::Pattern(pattern) => (4, pattern.as_bytes()),
            Self::Cleared => (5, &[]),
            Self::Suspect => (6, &[]),
            Self::Heartbeat => (7, &[]),
        }
    }

    fn from_parts(kind: u8, text: &[u8]) -> Option<Self> {
        let key = || Bytes::copy_from_slice(text);
        let name = || std::str::from_utf8(text).ok().map(str::to_owned);
        Some(match kind {
            0 => Self::Written(key()),
            1 => Self::Removed(key()),
            2 => Self::Expired(key()),
            3 => Self::Tag(name()?),
            4 => Self::Pattern(name()?),
            5 => Self::Cleared,
            6 => Self::Suspect,
            7 => Self::Heartbeat,
            _ => return None,
        })
    }
}

impl Notification {
    /// Puts a notification together.
    pub const fn new(stamp: Stamp, sequence: u64, change: Change) -> Self {
        Self { stamp, sequence, change }
    }

    /// Writes it.
    pub fn to_bytes(&self) -> Bytes {
        let (kind, text) = self.change.parts();
        let mut bytes = Vec::with_capacity(46 + text.len());
        bytes.put_slice(&MAGIC);
        bytes.put_u8(VERSION);
        bytes.put_u8(kind);
        bytes.put_slice(&self.stamp.to_bytes());
        bytes.put_u64(self.sequence);
        bytes.put_u32(u32::try_from(text.len()).unwrap_or(u32::MAX));
        bytes.put_slice(text);
        bytes.put_u64(xxhash_rust::xxh3::xxh3_64(&bytes));
        bytes.into()
    }

    /// Reads what came over the wire.
    ///
    /// # Errors
    ///
    /// [`NotificationError`] for bytes of any kind that are not a notification of a known version. The
    /// receiver has then missed something and is to act as after a gap.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, NotificationError> {
        let corrupt = NotificationError::Corrupt;
        let (body, checksum) = bytes.split_last_chunk::<8>().ok_or(corrupt)?;
        let mut reader = Reader::new(body);
        if reader.array::<4>().ok_or(corrupt)? != MAGIC {
            return Err(corrupt);
        }
        let version = reader.u8().ok_or(corrupt)?;
        if version > VERSION {
            return Err(NotificationError::Newer { found: version, known: VERSION });
        }
        if version != VERSION || xxhash_rust::xxh3::xxh3_64(body) != u64::from_be_bytes(*checksum) {
            return Err(corrupt);
        }
        let kind = reader.u8().ok_or(corrupt)?;
        let stamp = Stamp::from_bytes(reader.array().ok_or(corrupt)?);
        let sequence = reader.u64().ok_or(corrupt)?;
        let length = usize::try_from(reader.u32().ok_or(corrupt)?).unwrap_or(usize::MAX);
        let text = reader.take(length).ok_or(corrupt)?;
        let change = Change::from_parts(kind, text).ok_or(corrupt)?;
        if reader.is_empty() { Ok(Self { stamp, sequence, change }) } else { Err(corrupt) }
    }
}

/// Why bytes are not a notification.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum NotificationError {
    /// They are no notification, or not a whole one.
    #[error("notification is corrupt")]
    Corrupt,
    /// A newer version of this library wrote it.
    #[error("notification of version {found}, the newest known is {known}")]
    #[non_exhaustive]
    Newer {
        /// Its version.
        found: u8,
        /// The newest version that is understood.
        known: u8,
    },
}

const MAGIC: [u8; 4] = *b"BPCN";
const VERSION: u8 = 1;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::remote::NodeId;

    fn changes() -> impl Strategy<Value = Change> {
        (0_u8..8, "[a-zß*:]{0,20}").prop_map(|(kind, text)| {
            let text = if kind < 5 { text.into_bytes() } else { Vec::new() };
            Change::from_parts(kind, &text).unwrap()
        })
    }

    proptest! {
        #[test]
        fn what_is_written_reads_as_it_was(change in changes(), stamp: (u64, u32, u64), sequence: u64) {
            let stamp = Stamp::new(stamp.0, stamp.1, NodeId::new(stamp.2));
            let notification = Notification::new(stamp, sequence, change);
            let bytes = notification.to_bytes();
            prop_assert_eq!(Notification::from_bytes(&bytes), Ok(notification));
            for length in 0..bytes.len() {
                prop_assert_eq!(Notification::from_bytes(&bytes[..length]), Err(NotificationError::Corrupt));
            }
        }

        #[test]
        fn foreign_bytes_never_panic(
            mut bytes in prop::collection::vec(any::<u8>(), 0..80), known_head: bool, right_checksum: bool,
        ) {
            if known_head && bytes.len() > 5 {
                bytes[..5].copy_from_slice(b"BPCN\x01");
            }
            if right_checksum {
                bytes.put_u64(xxhash_rust::xxh3::xxh3_64(&bytes));
            }
            if let Ok(read) = Notification::from_bytes(&bytes) {
                prop_assert_eq!(&read.to_bytes()[..], &bytes[..]);
            }
        }
    }

    #[test]
    fn a_newer_version_says_so() {
        let bytes = b"BPCN\x02whatever it is that follows";
        assert_eq!(Notification::from_bytes(bytes), Err(NotificationError::Newer { found: 2, known: 1 }));
    }
}

//! A folder as a tier: what one node keeps over a restart, or several processes of one machine share
//! through their own caches.
//!
//! One file per key, named by a hash, holding the whole key, so that a collision is a miss and not a
//! wrong value. A write goes to a temporary file that is then renamed: a crash leaves the old file or the
//! new one. It is a cache: files are not synced, and one that a power cut tore is found by its checksum.

use std::collections::HashMap;
use std::fs;
use std::io::{self, Write as _};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::{BufMut as _, Bytes};
use parking_lot::Mutex;

use super::reader::Reader;
use super::{KeyMatcher, RemoteError, RemoteTier, Sealed, Stamp, StoreOutcome, SystemWallClock, WallClock, Write};

/// How a [`DiskTier`] uses its folder.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct DiskTierConfig {
    /// Bytes of all files; default 1 GiB. What was written longest ago gives way.
    pub max_bytes: u64,
}

impl Default for DiskTierConfig {
    fn default() -> Self {
        Self { max_bytes: 1 << 30 }
    }
}

/// Keeps envelopes in a folder that belongs to it and to this process alone.
#[derive(Debug, Clone)]
pub struct DiskTier {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    folder: PathBuf,
    config: DiskTierConfig,
    wall: Box<dyn WallClock>,
    /// Held over every write, so that newest wins; reads do without.
    index: Mutex<Index>,
}

#[derive(Debug, Default)]
struct Index {
    files: HashMap<String, (u64, u64)>,
    bytes: u64,
    ticks: u64,
}

struct Record {
    key: Bytes,
    until: u64,
    envelope: Bytes,
}

impl DiskTier {
    /// Opens a folder, which is made if it is not there, and takes stock of it.
    ///
    /// It reads the folder on the calling thread.
    ///
    /// # Errors
    ///
    /// The error of the file system.
    pub fn open(folder: impl Into<PathBuf>, config: DiskTierConfig) -> io::Result<Self> {
        Self::open_with(folder, config, SystemWallClock::new())
    }

    /// Opens a folder and takes the time from this calendar.
    ///
    /// # Errors
    ///
    /// The error of the file system.
    pub fn open_with(folder: impl Into<PathBuf>, config: DiskTierConfig, wall: impl WallClock) -> io::Result<Self> {
        let folder = folder.into();
        fs::create_dir_all(&folder)?;
        let mut found = Vec::new();
        for entry in fs::read_dir(&folder)? {
            let entry = entry?;
            let Ok(name) = entry.file_name().into_string() else { continue };
            if name.ends_with(TEMPORARY) {
                // A write that did not come to its end.
                fs::remove_file(entry.path())?;
            } else if name.ends_with(FINISHED) {
                let metadata = entry.metadata()?;
                found.push((metadata.modified()?, name, metadata.len()));
            }
        }
        found.sort();
        let mut index = Index::default();
        for (_, name, bytes) in found {
            index.add(name, bytes);
        }
        let shared = Arc::new(Shared { folder, config, wall: Box::new(wall), index: Mutex::new(index) });
        shared.evict(&mut shared.index.lock());
        Ok(Self { shared })
    }

    /// Returns the bytes of all files.
    pub fn bytes(&self) -> u64 {
        self.shared.index.lock().bytes
    }

    async fn blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Shared) -> io::Result<T> + Send + 'static,
    ) -> Result<T, RemoteError> {
        let shared = Arc::clone(&self.shared);
        match tokio::task::spawn_blocking(move || work(&shared)).await {
            Ok(outcome) => outcome.map_err(RemoteError::unreachable),
            Err(_) => Err(RemoteError::Closed),
        }
    }
}

impl Index {
    fn add(&mut self, name: String, bytes: u64) {
        self.ticks += 1;
        let before = self.files.insert(name, (bytes, self.ticks));
        self.bytes = self.bytes.saturating_add(bytes).saturating_sub(before.map_or(0, |(bytes, _)| bytes));
    }

    fn drop(&mut self, name: &str) -> bool {
        let removed = self.files.remove(name);
        self.bytes = self.bytes.saturating_sub(removed.map_or(0, |(bytes, _)| bytes));
        removed.is_some()
    }
}

impl Shared {
    fn path(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    /// The live record in a file. One that is torn or foreign counts as absent.
    fn read(&self, name: &str) -> io::Result<Option<Record>> {
        let bytes = match fs::read(self.path(name)) {
            Ok(bytes) => Bytes::from(bytes),
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error),
        };
        Ok(parse(&bytes).filter(|record| record.until > self.wall.millis()))
    }

    fn load(&self, key: &[u8]) -> io::Result<Option<Bytes>> {
        let record = self.read(&name(key))?;
        Ok(record.filter(|record| record.key == key).map(|record| record.envelope))
    }

    fn store(&self, key: &[u8], gives_way: impl FnOnce(&[u8]) -> bool, record: &[u8]) -> io::Result<StoreOutcome> {
        let name = name(key);
        let mut index = self.index.lock();
        if self.load(key)?.is_some_and(|stored| gives_way(&stored)) {
            return Ok(StoreOutcome::Outdated);
        }
        let temporary = self.path(&format!("{name}{TEMPORARY}"));
        let written = fs::File::create(&temporary)
            .and_then(|mut file| file.write_all(record))
            .and_then(|()| fs::rename(&temporary, self.path(&name)));
        if let Err(error) = written {
            // It is in the way of nobody, and the next opening removes it too.
            drop(fs::remove_file(&temporary));
            return Err(error);
        }
        index.add(name, u64::try_from(record.len()).unwrap_or(u64::MAX));
        self.evict(&mut index);
        Ok(StoreOutcome::Stored)
    }

    fn remove(&self, index: &mut Index, name: &str) -> io::Result<bool> {
        match fs::remove_file(self.path(name)) {
            Ok(()) => Ok(index.drop(name)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                index.drop(name);
                Ok(false)
            }
            Err(error) => Err(error),
        }
    }

    fn evict(&self, index: &mut Index) {
        if index.bytes <= self.config.max_bytes {
            return;
        }
        let mut oldest: Vec<(u64, String)> =
            index.files.iter().map(|(name, (_, tick))| (*tick, name.clone())).collect();
        oldest.sort_unstable();
        // Somewhat more than needed, since finding the oldest looks at all.
        let target = self.config.max_bytes - self.config.max_bytes / 16;
        for (_, name) in oldest {
            if index.bytes <= target {
                break;
            }
            if let Err(error) = self.remove(index, &name) {
                tracing::warn!(%error, "a file of the disk tier cannot be removed");
                break;
            }
        }
    }
}

#[async_trait]
impl RemoteTier for DiskTier {
    async fn load(&self, key: &[u8]) -> Result<Option<Bytes>, RemoteError> {
        let key = key.to_vec();
        self.blocking(move |shared| shared.load(&key)).await
    }

    async fn store(&self, write: Write<'_>) -> Result<StoreOutcome, RemoteError> {
        let until = match write.ttl {
            Some(ttl) => self.shared.wall.millis().saturating_add(millis(ttl)),
            None => u64::MAX,
        };
        let record = encode(write.key, until, write.envelope.bytes());
        let size = u64::try_from(record.len()).unwrap_or(u64::MAX);
        if size > self.shared.config.max_bytes {
            return Err(RemoteError::too_large(size, self.shared.config.max_bytes));
        }
        let (key, envelope, trusted_until) = (write.key.to_vec(), write.envelope.clone(), write.trusted_until);
        let work = move |shared: &Shared| {
            let gives_way =
                |stored: &[u8]| Write::new(&key, &envelope).trusted_until(trusted_until).gives_way_to(stored);
            shared.store(&key, gives_way, &record)
        };
        self.blocking(work).await
    }

    async fn remove(&self, key: &[u8]) -> Result<bool, RemoteError> {
        let key = key.to_vec();
        let work = move |shared: &Shared| {
            let mut index = shared.index.lock();
            let was_there = shared.load(&key)?.is_some();
            shared.remove(&mut index, &name(&key))?;
            Ok(was_there)
        };
        self.blocking(work).await
    }

    async fn purge(&self, matches: KeyMatcher<'_>, before: Stamp) -> Result<u64, RemoteError> {
        let names: Vec<String> = self.shared.index.lock().files.keys().cloned().collect();
        let mut purged = 0;
        for name in names {
            let of_name = name.clone();
            let record = self.blocking(move |shared| shared.read(&of_name)).await?;
            if !record.is_some_and(|record| matches(&record.key)) {
                continue;
            }
            // Between the look and here a newer one may have come.
            let work = move |shared: &Shared| {
                let mut index = shared.index.lock();
                let record = shared.read(&name)?;
                let older = |record: &Record| Sealed::peek_stamp(&record.envelope).is_none_or(|stamp| stamp < before);
                if record.as_ref().is_some_and(older) { shared.remove(&mut index, &name) } else { Ok(false) }
            };
            purged += u64::from(self.blocking(work).await?);
        }
        Ok(purged)
    }
}

fn name(key: &[u8]) -> String {
    format!("{:032x}{FINISHED}", xxhash_rust::xxh3::xxh3_128(key))
}

fn encode(key: &[u8], until: u64, envelope: &[u8]) -> Vec<u8> {
    let mut record = Vec::with_capacity(28 + key.len() + envelope.len());
    record.put_slice(MAGIC);
    record.put_u64(until);
    record.put_u32(u32::try_from(key.len()).unwrap_or(u32::MAX));
    record.put_slice(key);
    record.put_slice(envelope);
    record.put_u64(xxhash_rust::xxh3::xxh3_64(&record));
    record
}

fn parse(bytes: &Bytes) -> Option<Record> {
    let (body, checksum) = bytes.split_last_chunk::<8>()?;
    if xxhash_rust::xxh3::xxh3_64(body) != u64::from_be_bytes(*checksum) {
        return None;
    }
    let mut reader = Reader::new(body);
    if reader.take(MAGIC.len())? != MAGIC {
        return None;
    }
    let until = reader.u64()?;
    let length = usize::try_from(reader.u32()?).ok()?;
    let key = bytes.slice_ref(reader.take(length)?);
    Some(Record { key, until, envelope: bytes.slice_ref(reader.rest()) })
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

const MAGIC: &[u8] = b"BPCD\x01";
const FINISHED: &str = ".entry";
const TEMPORARY: &str = ".writing";

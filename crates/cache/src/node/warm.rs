//! From a file and into one.

use std::hash::Hash;
use std::path::Path;
use std::time::Duration;

use super::{Arrival, Remaining};
use crate::cache::Cache;
use crate::inner::Inner;
use crate::invalidation::{Tag, TextKey};
use crate::options::EntryOptions;
use crate::policy::{Lookup, Policy as _};
use crate::remote::{SystemWallClock, WallClock as _, Wire};
use crate::snapshot::{SnapshotEntry, SnapshotError, SnapshotReader, SnapshotRecord, SnapshotWriter};

/// What a [`Cache::snapshot`] wrote.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct SnapshotTaken {
    /// Entries in the file.
    pub entries: u64,
    /// Entries that the codec or the format could not hold.
    pub left_out: u64,
}

/// What a [`Cache::warm_from`] brought.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct WarmStart {
    /// Entries that were stored.
    pub entries: u64,
    /// Entries whose time ran out since the snapshot was written.
    pub expired: u64,
    /// Entries whose key or value this cache cannot read.
    pub unreadable: u64,
    /// Entries, the coldest ones, for which the budget has no room.
    pub no_room: u64,
    /// Entries whose key has a live value already.
    pub held: u64,
}

impl<K, V> Cache<K, V>
where
    K: TextKey + Hash + Eq + Send + Sync + 'static,
    V: Clone + Send + Sync + 'static,
{
    /// Writes what is fresh to a file, the hottest first; the file that was there is replaced at the end or
    /// not at all. Values are written by the [`codec`](crate::CacheBuilder::codec) of the cache.
    ///
    /// It blocks: call it from a blocking thread. The texts of all keys are in memory meanwhile, and one
    /// value at a time.
    ///
    /// # Errors
    ///
    /// [`SnapshotError::NoCodec`] without a codec; [`SnapshotError::Io`] for the error of the file system.
    ///
    /// # Examples
    ///
    /// ```
    /// # #[cfg(feature = "json")] {
    /// use bedplate_cache::Cache;
    /// use bedplate_cache::remote::JsonCodec;
    ///
    /// # let folder = tempfile::tempdir()?;
    /// let path = folder.path().join("users.snapshot");
    /// let users: Cache<String, u64> = Cache::builder("users").codec(JsonCodec::new()).build()?;
    /// users.insert("Ada".to_owned(), 36);
    /// assert_eq!(users.snapshot(&path)?.entries, 1);
    ///
    /// let restarted: Cache<String, u64> = Cache::builder("users").codec(JsonCodec::new()).build()?;
    /// assert_eq!(restarted.warm_from(&path)?.entries, 1);
    /// assert_eq!(restarted.get("Ada"), Some(36));
    /// # }
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn snapshot(&self, path: impl AsRef<Path>) -> Result<SnapshotTaken, SnapshotError> {
        let inner = &*self.inner;
        let wire = inner.wire()?;
        let mut writer = SnapshotWriter::create(path.as_ref(), SystemWallClock::new().millis())?;
        let mut taken = SnapshotTaken::default();
        for text in inner.hottest() {
            let Some(found) = K::from_text(&text).and_then(|key| inner.copy_of(&key)) else { continue };
            let (value, remaining, tags) = found;
            let Ok(payload) = wire.encode(&value) else {
                taken.left_out += 1;
                continue;
            };
            let tags: Vec<&str> = tags.iter().map(Tag::as_str).collect();
            let record = SnapshotRecord::new(text.as_bytes(), &payload).remaining(remaining).tags(&tags);
            match writer.push(record) {
                Err(error) if error.kind() == std::io::ErrorKind::InvalidInput => taken.left_out += 1,
                pushed => pushed?,
            }
        }
        taken.entries = writer.finish()?;
        tracing::debug!(target: "bedplate_cache", cache = inner.name(), ?taken, "snapshot taken");
        Ok(taken)
    }

    /// Stores what a snapshot holds, the hottest until the budget is full; each keeps its tags and what is
    /// left of its time to live. A key that has a live value keeps it: that is the newer one. All or nothing: a file that is not whole leaves the cache as it was.
    ///
    /// What other nodes changed since cannot be known from a file: with a remote tier or a backplane the
    /// values come in stale, to be given where a load fails and `stale_if_error` allows it.
    ///
    /// It blocks: call it from a blocking thread, or before the service begins.
    ///
    /// # Errors
    ///
    /// [`SnapshotError`] for a file that cannot be read, is none, is of a newer version, cut off or corrupt,
    /// and for a cache without a [`codec`](crate::CacheBuilder::codec). The cache starts cold then, and a
    /// warning says so.
    pub fn warm_from(&self, path: impl AsRef<Path>) -> Result<WarmStart, SnapshotError> {
        let inner = &*self.inner;
        let warmed = self.read_snapshot(path.as_ref());
        match &warmed {
            Ok(warm) => tracing::info!(target: "bedplate_cache", cache = inner.name(), ?warm, "warm start"),
            Err(error) => tracing::warn!(target: "bedplate_cache", cache = inner.name(), %error, "cold start"),
        }
        warmed
    }

    fn read_snapshot(&self, path: &Path) -> Result<WarmStart, SnapshotError> {
        let inner = &*self.inner;
        let wire = inner.wire()?;
        SnapshotReader::verify(path)?;
        let mut reader = SnapshotReader::open(path)?;
        let passed = SystemWallClock::new().millis().saturating_sub(reader.written_at());
        let passed = Duration::from_millis(passed);
        let mut warm = WarmStart::default();
        let mut coming = Vec::new();
        let mut room = inner.budget().max().saturating_sub(inner.budget().used());
        while let Some(entry) = reader.next_entry()? {
            let SnapshotEntry { key, value, remaining, tags, .. } = entry;
            let fresh = match remaining.map(|left| left.checked_sub(passed)) {
                Some(None | Some(Duration::ZERO)) => {
                    warm.expired += 1;
                    continue;
                }
                Some(left) => left,
                None => None,
            };
            let key = std::str::from_utf8(&key).ok().and_then(K::from_text);
            let (Some(key), Ok(value)) = (key, wire.decode(&value)) else {
                warm.unreadable += 1;
                continue;
            };
            if self.contains(&key) {
                warm.held += 1;
                continue;
            }
            let options = EntryOptions::new().tags(tags);
            let weight = inner.weigh(&key, Some(&value), &options.tags);
            if weight > room || weight > inner.budget().max_entry() {
                warm.no_room += 1;
                continue;
            }
            room -= weight;
            coming.push((key, value, options, fresh));
        }
        warm.entries = u64::try_from(coming.len()).unwrap_or(u64::MAX);
        // The hottest last, so that they are the newest and the last to give way.
        for (key, value, mut options, fresh) in coming.into_iter().rev() {
            options.arrival = Some(inner.arrival_of(fresh));
            self.inner.insert(key, value, Some(&mut options));
        }
        Ok(warm)
    }
}

impl<K, V> Inner<K, V>
where
    K: Hash + Eq + Send + Sync + 'static,
    V: Clone + Send + Sync + 'static,
{
    fn wire(&self) -> Result<&Wire<V>, SnapshotError> {
        self.attached().wire.as_ref().ok_or(SnapshotError::NoCodec)
    }

    /// Returns the keys of what is fresh, the hottest of all shards first.
    fn hottest(&self) -> Vec<String>
    where
        K: TextKey,
    {
        let judge = self.judge(self.now());
        let mut ranked = Vec::new();
        for shard in self.shards() {
            let core = shard.read();
            let mut rank = 0_usize;
            core.entries.each(|key, entry| {
                if entry.is_live(&judge, key) {
                    ranked.push((rank, key.text().into_owned()));
                    rank += 1;
                }
            });
        }
        ranked.sort_by_key(|(rank, _)| *rank);
        ranked.into_iter().map(|(_, text)| text).collect()
    }

    /// Returns a value with its remaining time and its tags, if it is fresh; without a trace.
    fn copy_of(&self, key: &K) -> Option<(V, Option<Duration>, Vec<Tag>)> {
        let hash = self.hash(key);
        let judge = self.judge(self.now());
        let core = self.shard(hash).read();
        let copied = core.entries.examine(&Lookup::new(hash, key), |key, entry| {
            let held = if entry.is_live(&judge, key) { entry.held() } else { None }?;
            Some((held, entry.hot.fresh.left(judge.now), entry.tags().to_vec()))
        });
        drop(core);
        // The clone of the value is the user's code.
        copied.flatten().map(|(held, left, tags)| (held.into_value(), left, tags))
    }

    fn arrival_of(&self, fresh: Option<Duration>) -> Arrival {
        let windows = self.rules().stale_while_revalidate.max(self.rules().stale_if_error).unwrap_or_default();
        let keep = fresh.map(|fresh| fresh.saturating_add(windows));
        let doubtful = self.remote().is_some();
        let fresh = if doubtful { Some(Duration::ZERO) } else { fresh };
        let keep = if doubtful { self.rules().stale_if_error.or(Some(Duration::ZERO)) } else { keep };
        Arrival { remaining: Some(Remaining { fresh, keep }), ..Arrival::default() }
    }
}

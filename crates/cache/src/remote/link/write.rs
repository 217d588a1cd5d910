//! To the tier, and to the others.

use std::time::Duration;

use bytes::Bytes;

use super::load::{tag_key, value_key};
use super::shell::{ALL_MARKER, RemoteLink, Written};
use crate::remote::{
    Change, Envelope, EnvelopeKind, EnvelopeMeta, Pending, PendingWrite, Pushed, RemoteError, Sealed, Stamp,
    StoreOutcome, Write,
};

impl RemoteLink {
    /// Writes a sealed value and tells the others that what they hold is old.
    ///
    /// `kept_until` is when the value runs out, in milliseconds since 1970; `None` without end.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future may leave the value written and the others not told; drive it from a task.
    pub async fn write(&self, key: &[u8], envelope: Sealed, kept_until: Option<u64>) -> Written {
        self.apply(self.value(key, envelope, kept_until)).await
    }

    /// What a written value is to the tier and to the others.
    pub(super) fn value(&self, key: &[u8], envelope: Sealed, kept_until: Option<u64>) -> Pending {
        let key = Bytes::copy_from_slice(key);
        // No value outlives the word that would say that it is old, whenever it gets to the tier.
        let longest = envelope.stamp().millis().saturating_add(self.tombstone_millis());
        let until = kept_until.map_or(longest, |until| until.min(longest));
        let write = PendingWrite::new(value_key(&key), envelope, Some(until));
        Pending::new(write.envelope.stamp(), Change::Written(key), Some(write))
    }

    /// Invalidates: leaves word of it in the tier and tells the others.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future may leave the word in the tier and the others not told; drive it from a task.
    pub async fn invalidate(&self, change: Change, stamp: Stamp) -> Written {
        let write = self.word(&change, stamp);
        self.apply(Pending::new(stamp, change, write)).await
    }

    /// The word that an invalidation leaves in the tier.
    pub(super) fn word(&self, change: &Change, stamp: Stamp) -> Option<PendingWrite> {
        let (key, kind) = match change {
            Change::Written(key) | Change::Removed(key) | Change::Expired(key) => {
                (value_key(key), EnvelopeKind::Tombstone)
            }
            Change::Tag(tag) => {
                self.state.lock().note_marker(tag, Some(stamp), self.clock.now());
                (tag_key(tag), EnvelopeKind::Marker)
            }
            Change::Cleared | Change::Suspect => {
                // Believed in any case: it is this node's own, though its calendar may have been set back since.
                let mut state = self.state.lock();
                state.cleared = state.cleared.max(Some(stamp));
                drop(state);
                (Bytes::from_static(ALL_MARKER), EnvelopeKind::Marker)
            }
            Change::Pattern(_) | Change::Heartbeat => return None,
        };
        let until = self.wall.millis().saturating_add(self.tombstone_millis());
        let meta = EnvelopeMeta::new(kind, stamp).fresh_until(until).keep_until(until);
        // An envelope without tags and payload fits.
        let envelope = Envelope::seal(&meta, 0, &[], None).ok()?;
        Some(PendingWrite::new(key, envelope, Some(until)))
    }

    /// What is written in the place of a value that ran out before it was written: the tier may hold an
    /// older one that lives longer. `None` if any of those has run out by now.
    fn tombstone_for(&self, write: &PendingWrite, wall: u64) -> Option<PendingWrite> {
        let stamp = write.envelope.stamp();
        let until = stamp.millis().saturating_add(self.tombstone_millis());
        if until <= wall || write.key.first() != Some(&b'=') {
            return None;
        }
        let meta = EnvelopeMeta::new(EnvelopeKind::Tombstone, stamp).fresh_until(until).keep_until(until);
        let envelope = Envelope::seal(&meta, 0, &[], None).ok()?;
        Some(PendingWrite::new(write.key.clone(), envelope, Some(until)))
    }

    fn tombstone_millis(&self) -> u64 {
        u64::try_from(self.config.tombstone_ttl.as_millis()).unwrap_or(u64::MAX)
    }

    /// Does it now if nothing waits before it, and queues it otherwise.
    pub(super) async fn apply(&self, pending: Pending) -> Written {
        // What waits has been waiting for the same remote: going first would only find that out again.
        if self.state.lock().queue.is_empty() {
            match self.change_tier(&pending).await {
                Ok(StoreOutcome::Stored) => {
                    if self.publish(pending.stamp, pending.change.clone()).await.is_ok() {
                        return Written::Stored;
                    }
                }
                Ok(StoreOutcome::Outdated) => return Written::Outdated,
                Err(error) if !error.is_transient() => {
                    tracing::warn!(%error, "the remote tier refused a write");
                }
                Err(_) => {}
            }
        }
        self.queue(pending);
        Written::Queued
    }

    pub(super) fn queue(&self, pending: Pending) {
        let mut state = self.state.lock();
        state.stats.queued += 1;
        if state.queue.push(pending) == Pushed::Overflowed {
            // What went was about something that the tier still holds: until the others are told, and here
            // from now on, nothing older counts.
            let stamp = state.stamps.next(self.wall.millis());
            state.cleared = state.cleared.max(Some(stamp));
        }
        drop(state);
        self.wake.notify_one();
    }

    async fn change_tier(&self, pending: &Pending) -> Result<StoreOutcome, RemoteError> {
        if let Some(write) = &pending.write {
            return self.store(write).await;
        }
        self.purge_pattern(&pending.change, pending.stamp).await.map(|()| StoreOutcome::Stored)
    }

    /// Searches the tier once more for what a pattern made old; a failure is nobody's loss.
    pub(crate) async fn purge(&self, pattern: &str, stamp: Stamp) {
        if let Err(error) = self.purge_pattern(&Change::Pattern(pattern.to_owned()), stamp).await {
            tracing::debug!(%error, "the remote tier was not searched a second time");
        }
    }

    pub(super) async fn purge_pattern(&self, change: &Change, stamp: Stamp) -> Result<(), RemoteError> {
        let (Some(tier), Change::Pattern(pattern)) = (&self.tier, change) else { return Ok(()) };
        let fits = (self.config.compile)(pattern);
        let matches = |key: &[u8]| key.split_first().is_some_and(|(kind, key)| *kind == b'=' && fits(key));
        self.call(async { tier.purge(&matches, stamp).await }).await.map(drop)
    }

    pub(super) async fn store(&self, write: &PendingWrite) -> Result<StoreOutcome, RemoteError> {
        let Some(tier) = &self.tier else { return Ok(StoreOutcome::Stored) };
        let wall = self.wall.millis();
        let ended;
        let write = if write.until.is_some_and(|until| until <= wall) {
            let Some(tombstone) = self.tombstone_for(write, wall) else { return Ok(StoreOutcome::Stored) };
            ended = tombstone;
            &ended
        } else {
            write
        };
        let ttl = write.until.map(|until| Duration::from_millis(until.saturating_sub(wall)));
        let trusted_until = self.state.lock().stamps.trusted_until(wall);
        let request = Write::new(&write.key, &write.envelope).ttl(ttl).trusted_until(trusted_until);
        let outcome = self.call(async { tier.store(request).await }).await?;
        if outcome == StoreOutcome::Outdated {
            self.state.lock().stats.outdated += 1;
        }
        Ok(outcome)
    }
}

pub(super) fn compile_glob(pattern: &str) -> super::shell::CompiledPattern {
    let pattern = pattern.to_owned();
    Box::new(move |key| glob_matches(&pattern, key))
}

/// `*` stands for any bytes, `?` for one.
fn glob_matches(pattern: &str, key: &[u8]) -> bool {
    let pattern = pattern.as_bytes();
    let (mut at, mut of_key) = (0, 0);
    let mut star: Option<(usize, usize)> = None;
    while let Some(byte) = key.get(of_key) {
        match pattern.get(at) {
            Some(b'*') => {
                star = Some((at, of_key));
                at += 1;
            }
            Some(wanted) if *wanted == b'?' || wanted == byte => {
                at += 1;
                of_key += 1;
            }
            // Back to the last star, which takes one byte more: linear in the key per star.
            _ => match &mut star {
                Some((after, taken)) => {
                    *taken += 1;
                    (at, of_key) = (*after + 1, *taken);
                }
                None => return false,
            },
        }
    }
    pattern.iter().skip(at).all(|rest| *rest == b'*')
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::glob_matches;

    fn naive(pattern: &[u8], key: &[u8]) -> bool {
        match (pattern.split_first(), key.split_first()) {
            (None, None) => true,
            (Some((b'*', rest)), _) => naive(rest, key) || (!key.is_empty() && naive(pattern, &key[1..])),
            (Some((wanted, rest)), Some((byte, key))) => (*wanted == b'?' || wanted == byte) && naive(rest, key),
            _ => false,
        }
    }

    proptest! {
        #[test]
        fn it_matches_as_the_naive_one(pattern in "[ab*?]{0,8}", key in "[abc]{0,8}") {
            prop_assert_eq!(glob_matches(&pattern, key.as_bytes()), naive(pattern.as_bytes(), key.as_bytes()));
        }
    }
}

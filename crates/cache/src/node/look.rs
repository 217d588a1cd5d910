//! Asks the tier before the loader is asked.

use std::hash::Hash;
use std::sync::atomic::Ordering;
use std::time::Duration;

use super::{Arrival, Remaining, RemoteNode};
use crate::engine::Wants;
use crate::inner::Inner;
use crate::invalidation::Tag;
use crate::load::Directives;
use crate::observer::CacheEvent;
use crate::options::EntryOptions;
use crate::policy::{Lookup, Policy as _};
use crate::remote::{EnvelopeKind, EnvelopeMeta, Loaded, Opened, Stamp};

/// What is held in memory of a key that is about to be loaded.
#[derive(Debug, Clone, Copy)]
pub(super) struct Local {
    pub(super) stamp: Option<Stamp>,
    pub(super) fresh: bool,
}

/// What the tier has for a load.
pub(super) enum Look<V> {
    /// An answer.
    Fresh(Brought<V>),
    /// A value whose time to live is over, for the case that the loader fails.
    Stale(Brought<V>),
    Nothing,
}

pub(super) struct Brought<V> {
    pub(super) value: Option<V>,
    pub(super) options: EntryOptions,
}

impl<V> Brought<V> {
    pub(super) fn into_parts(self) -> (Option<V>, Directives) {
        (self.value, Directives::storing(self.options))
    }
}

/// Newest wins: what the tier holds is an answer if it is newer than what is held here, or if it is the
/// same and what is held here is no longer trusted.
pub(super) fn accepts(local: Option<Local>, found: Stamp) -> bool {
    match local {
        Some(Local { stamp: Some(own), fresh }) => found > own || (found == own && !fresh),
        _ => true,
    }
}

impl<K, V> RemoteNode<K, V>
where
    K: Hash + Eq + Send + Sync + 'static,
    V: Clone + Send + Sync + 'static,
{
    /// Looks a key up in the tier. Whatever goes wrong is a counted miss.
    pub(super) async fn look(&self, key: &str, local: Option<Local>, wants: Wants) -> Look<V> {
        let Some(wire) = &self.wire else { return Look::Nothing };
        let loaded = self.link.load(key.as_bytes(), wire).await;
        self.weigh_up(key, local, wants, loaded)
    }

    /// Looks many keys up at once, for who takes an absence for an answer.
    pub(super) async fn look_many(&self, keys: &[(String, Option<Local>)]) -> Vec<Look<V>> {
        let nothing = || keys.iter().map(|_| Look::Nothing).collect();
        let Some(wire) = &self.wire else { return nothing() };
        let texts: Vec<&[u8]> = keys.iter().map(|(key, _)| key.as_bytes()).collect();
        let Ok(loaded) = self.link.load_many(&texts, wire).await else {
            self.tell(CacheEvent::RemoteFailed);
            return nothing();
        };
        keys.iter()
            .zip(loaded)
            .map(|((key, local), loaded)| self.weigh_up(key, *local, Wants::ValueOrAbsence, loaded))
            .collect()
    }

    fn weigh_up(&self, key: &str, local: Option<Local>, wants: Wants, loaded: Loaded<V>) -> Look<V> {
        let Opened { meta, value, .. } = match loaded {
            Loaded::Found(opened) => opened,
            Loaded::Missing => {
                self.tell(CacheEvent::RemoteMiss);
                return Look::Nothing;
            }
            Loaded::Unreadable(_) | Loaded::Failed(_) => {
                self.tell(CacheEvent::RemoteFailed);
                return Look::Nothing;
            }
        };
        let useless = value.is_none() && wants == Wants::Value;
        if useless || !accepts(local, meta.stamp) || self.patterns.lock().hide(key, meta.stamp) {
            self.tell(CacheEvent::RemoteMiss);
            return Look::Nothing;
        }
        let wall = self.link.millis();
        let is_fresh = meta.fresh_until > wall;
        let is_value = meta.kind == EnvelopeKind::Value && value.is_some();
        let brought = Brought { value, options: options_of(&meta, wall) };
        if is_fresh {
            self.served.fetch_add(1, Ordering::Relaxed);
            self.tell(CacheEvent::RemoteHit);
            Look::Fresh(brought)
        } else if is_value && meta.keep_until > wall {
            self.tell(CacheEvent::RemoteMiss);
            Look::Stale(brought)
        } else {
            self.tell(CacheEvent::RemoteMiss);
            Look::Nothing
        }
    }
}

/// The remaining times and the tags of a value from the tier.
fn options_of(meta: &EnvelopeMeta, wall: u64) -> EntryOptions {
    let left = |until: u64| (until != u64::MAX).then(|| Duration::from_millis(until.saturating_sub(wall)));
    let mut options = EntryOptions::new().tags(meta.tags.iter().map(Tag::new));
    options.arrival = Some(Arrival {
        stamp: Some(meta.stamp),
        remaining: Some(Remaining { fresh: left(meta.fresh_until), keep: left(meta.keep_until) }),
        remote_age: Some(Duration::from_millis(wall.saturating_sub(meta.stamp.millis()))),
    });
    options
}

impl<K, V> Inner<K, V>
where
    K: Hash + Eq + Send + Sync + 'static,
    V: Clone + Send + Sync + 'static,
{
    /// Returns what is held of a key, without a trace.
    pub(super) fn local(&self, hash: u64, key: &K) -> Option<Local> {
        let now = self.now();
        let core = self.shard(hash).read();
        let entry = core.entries.peek(&Lookup::new(hash, key))?;
        // What was invalidated counts as held: only what is newer may take its place.
        Some(Local { stamp: entry.stamp(), fresh: entry.is_fresh(now) && !entry.is_doubtful(self.generations()) })
    }

    pub(super) fn stamp_of(&self, key: &K) -> Option<Stamp> {
        self.local(self.hash(key), key).and_then(|local| local.stamp)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::remote::NodeId;

    #[test]
    fn the_newest_wins_and_the_same_confirms_what_is_doubtful() {
        let [old, new] = [1, 2].map(|millis| Stamp::new(millis, 0, NodeId::new(1)));
        let held = |stamp, fresh| Some(Local { stamp, fresh });
        assert!(accepts(None, old));
        assert!(accepts(held(None, true), old));
        assert!(accepts(held(Some(old), true), new));
        assert!(!accepts(held(Some(new), false), old), "an older value came back");
        assert!(!accepts(held(Some(new), true), new), "an eager refresh was answered with what is held");
        assert!(accepts(held(Some(new), false), new));
    }
}

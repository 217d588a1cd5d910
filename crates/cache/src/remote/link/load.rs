//! From the tier.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use super::{
    ALL_MARKER, Envelope, EnvelopeKind, Loaded, MAX_MARKERS, RemoteError, RemoteLink, RemoteTier, Stamp, State, Wire,
};
use crate::remote::EnvelopeLimits;

impl RemoteLink {
    /// Loads a key from the tier: what it returns is newer than every invalidation that the tier or this
    /// node knows of.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future has no effect but that a probe of the breaker may be wasted.
    pub async fn load<V: 'static>(&self, key: &[u8], wire: &Wire<V>) -> Loaded<V> {
        let Some(tier) = &self.tier else { return Loaded::Missing };
        let keys = [value_key(key), Bytes::from_static(ALL_MARKER)];
        let found = match self.call(tier.load_many(&keys)).await {
            Ok(found) => found,
            Err(error) => return Loaded::Failed(error),
        };
        let mut found = found.into_iter();
        let bytes = found.next().flatten();
        if let Some(marker) = found.next().flatten().and_then(|marker| marker_stamp(&marker)) {
            self.note_cleared(marker);
        }
        let Some(bytes) = bytes else { return self.missing() };
        let opened = match wire.open(&bytes) {
            Ok(opened) => opened,
            Err(error) => {
                self.state.lock().stats.unreadable += 1;
                tracing::warn!(%error, "the remote tier holds what cannot be read");
                return Loaded::Unreadable(error);
            }
        };
        let wall = self.wall.millis();
        let tags = match self.tag_markers(tier, &opened.meta.tags).await {
            Ok(stamp) => stamp,
            Err(error) => return Loaded::Failed(error),
        };
        let mut state = self.state.lock();
        let stamp = opened.meta.stamp;
        let believed = state.stamps.observe(stamp, wall).is_ok();
        let old = state.cleared.max(tags).is_some_and(|newest| stamp < newest);
        let served = matches!(opened.meta.kind, EnvelopeKind::Value | EnvelopeKind::Negative);
        if !believed || old || !served {
            state.stats.invalidated += 1;
            return Loaded::Missing;
        }
        if opened.meta.keep_until <= wall {
            drop(state);
            return self.missing();
        }
        state.stats.hits += 1;
        Loaded::Found(opened)
    }

    fn missing<V>(&self) -> Loaded<V> {
        self.state.lock().stats.misses += 1;
        Loaded::Missing
    }

    /// Returns the newest marker of the tags; asks for those that are not known or known for too long.
    async fn tag_markers(&self, tier: &Arc<dyn RemoteTier>, tags: &[String]) -> Result<Option<Stamp>, RemoteError> {
        let now = self.clock.now();
        let mut newest = None;
        let mut unknown = Vec::new();
        {
            let state = self.state.lock();
            for tag in tags {
                match state.markers.get(tag) {
                    Some((stamp, asked)) => {
                        newest = newest.max(*stamp);
                        if now.saturating_sub(*asked) > self.config.marker_ttl {
                            unknown.push(tag);
                        }
                    }
                    None => unknown.push(tag),
                }
            }
        }
        if unknown.is_empty() {
            return Ok(newest);
        }
        let keys: Vec<Bytes> = unknown.iter().map(|tag| tag_key(tag)).collect();
        let found = self.call(tier.load_many(&keys)).await?;
        let mut state = self.state.lock();
        for (tag, bytes) in unknown.into_iter().zip(found) {
            let stamp = bytes.and_then(|bytes| marker_stamp(&bytes));
            newest = newest.max(state.note_marker(tag, stamp, now));
        }
        Ok(newest)
    }

    pub(super) fn note_cleared(&self, stamp: Stamp) {
        let wall = self.wall.millis();
        let mut state = self.state.lock();
        // A marker from a future that nobody believes in would make everything old until then.
        if state.stamps.observe(stamp, wall).is_ok() {
            state.cleared = state.cleared.max(Some(stamp));
        }
    }
}

impl State {
    /// Remembers a marker, the newest that was seen, and returns it.
    pub(super) fn note_marker(&mut self, tag: &str, stamp: Option<Stamp>, now: Duration) -> Option<Stamp> {
        if self.markers.len() >= MAX_MARKERS && !self.markers.contains_key(tag) {
            let oldest = self.markers.iter().min_by_key(|(_, (_, asked))| *asked).map(|(tag, _)| tag.clone());
            if let Some(oldest) = oldest {
                self.markers.remove(&oldest);
            }
        }
        let known = self.markers.entry(tag.to_owned()).or_insert((None, now));
        *known = (known.0.max(stamp), now);
        known.0
    }
}

fn marker_stamp(bytes: &Bytes) -> Option<Stamp> {
    let marker = Envelope::open(bytes, EnvelopeLimits::default()).ok()?;
    (marker.meta.kind == EnvelopeKind::Marker).then_some(marker.meta.stamp)
}

pub(super) fn value_key(key: &[u8]) -> Bytes {
    prefixed(b'=', key)
}

pub(super) fn tag_key(tag: &str) -> Bytes {
    prefixed(b'#', tag.as_bytes())
}

fn prefixed(kind: u8, text: &[u8]) -> Bytes {
    let mut key = Vec::with_capacity(text.len() + 1);
    key.push(kind);
    key.extend_from_slice(text);
    key.into()
}

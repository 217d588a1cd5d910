//! From the tier.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use super::shell::{ALL_MARKER, Loaded, MAX_MARKERS, RemoteLink, State};
use crate::remote::EnvelopeLimits;
use crate::remote::{Envelope, EnvelopeKind, OpenError, Opened, RemoteError, RemoteTier, Stamp, Wire};

impl RemoteLink {
    /// Loads a key from the tier: what it returns is newer than every invalidation that the tier or this
    /// node knows of.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future has no effect but that a probe of the breaker may be wasted.
    pub async fn load<V: 'static>(&self, key: &[u8], wire: &Wire<V>) -> Loaded<V> {
        match self.load_many(&[key], wire).await {
            Ok(mut loaded) => loaded.pop().unwrap_or(Loaded::Missing),
            Err(error) => Loaded::Failed(error),
        }
    }

    /// Loads many keys in one or two round trips, in their order.
    ///
    /// # Errors
    ///
    /// Any [`RemoteError`]: a counted miss for every key.
    ///
    /// # Cancel safety
    ///
    /// As [`load`](Self::load).
    pub async fn load_many<V: 'static>(&self, keys: &[&[u8]], wire: &Wire<V>) -> Result<Vec<Loaded<V>>, RemoteError> {
        let Some(tier) = &self.tier else { return Ok(keys.iter().map(|_| Loaded::Missing).collect()) };
        let mut asked: Vec<Bytes> = keys.iter().map(|key| value_key(key)).collect();
        // Before the question: a word that arrives between the tier's answer and its judgment is no longer
        // under way then, and the answer is older than it.
        let words: Vec<Option<Stamp>> = asked.iter().map(|key| self.own_word(key)).collect();
        asked.push(Bytes::from_static(ALL_MARKER));
        let mut found = self.call(async { tier.load_many(&asked).await }).await?;
        if let Some(marker) = found.pop().flatten().and_then(|marker| marker_stamp(&marker)) {
            self.note_cleared(marker);
        }
        let opened: Vec<Option<Result<Opened<V>, OpenError>>> =
            found.into_iter().map(|bytes| bytes.map(|bytes| wire.open(&bytes))).collect();
        let tags = opened.iter().flatten().flatten().flat_map(|opened| &opened.meta.tags);
        let markers = self.tag_markers(tier, tags.map(String::as_str).collect()).await?;
        let judged = opened.into_iter().zip(&asked).zip(words);
        Ok(judged.map(|((opened, key), word)| self.judge(opened, &markers, word.max(self.own_word(key)))).collect())
    }

    /// Returns the stamp of this node's own word on a key of the tier that has not arrived there yet.
    fn own_word(&self, key: &Bytes) -> Option<Stamp> {
        self.state.lock().own_word(key)
    }

    fn judge<V>(
        &self,
        opened: Option<Result<Opened<V>, OpenError>>,
        markers: &Markers,
        own_word: Option<Stamp>,
    ) -> Loaded<V> {
        let wall = self.wall.millis();
        let mut state = self.state.lock();
        let opened = match opened {
            Some(Ok(opened)) => opened,
            Some(Err(error)) => {
                state.stats.unreadable += 1;
                drop(state);
                tracing::warn!(%error, "the remote tier holds what cannot be read");
                return Loaded::Unreadable(error);
            }
            None => {
                state.stats.misses += 1;
                return Loaded::Missing;
            }
        };
        let stamp = opened.meta.stamp;
        let tagged = opened.meta.tags.iter().filter_map(|tag| markers.get(tag).copied().flatten()).max();
        let believed = state.stamps.observe(stamp, wall).is_ok();
        // A word of this node on the key that has not arrived yet counts as if it had.
        let old = state.cleared.max(tagged).max(own_word).is_some_and(|newest| stamp < newest);
        let served = matches!(opened.meta.kind, EnvelopeKind::Value | EnvelopeKind::Negative);
        if !believed || old || !served {
            state.stats.invalidated += 1;
            return Loaded::Missing;
        }
        if opened.meta.keep_until <= wall {
            state.stats.misses += 1;
            return Loaded::Missing;
        }
        state.stats.hits += 1;
        Loaded::Found(opened)
    }

    /// Returns the markers of the tags; asks for those that are not known or known for too long.
    async fn tag_markers(&self, tier: &Arc<dyn RemoteTier>, tags: BTreeSet<&str>) -> Result<Markers, RemoteError> {
        let now = self.clock.now();
        let mut markers = Markers::new();
        let mut unknown = Vec::new();
        let doubts;
        {
            let state = self.state.lock();
            doubts = state.doubts;
            for tag in tags {
                match state.markers.get(tag) {
                    Some((stamp, asked)) if now.saturating_sub(*asked) <= self.config.marker_ttl => {
                        markers.insert(tag.to_owned(), *stamp);
                    }
                    _ => unknown.push(tag),
                }
            }
        }
        if unknown.is_empty() {
            return Ok(markers);
        }
        let keys: Vec<Bytes> = unknown.iter().map(|tag| tag_key(tag)).collect();
        let found = self.call(async { tier.load_many(&keys).await }).await?;
        let wall = self.wall.millis();
        let mut state = self.state.lock();
        for ((tag, key), bytes) in unknown.into_iter().zip(&keys).zip(found) {
            let own_word = state.own_word(key);
            let stamp = bytes.and_then(|bytes| marker_stamp(&bytes));
            let believed = stamp.filter(|stamp| state.stamps.observe(*stamp, wall).is_ok());
            // What was known of it may have been given up to suspicion while it waits for the tier.
            let newest = if state.doubts == doubts {
                state.note_marker(tag, believed.max(own_word), now)
            } else {
                state.markers.get(tag).and_then(|(known, _)| *known).max(believed).max(own_word)
            };
            markers.insert(tag.to_owned(), newest);
        }
        Ok(markers)
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
    fn own_word(&self, key: &Bytes) -> Option<Stamp> {
        self.under_way.get(key).map(|word| word.newest).max(self.queue.newest_on(key))
    }

    /// Gives up what is known of tags: a missed word may have been about one.
    pub(super) fn doubt_markers(&mut self) {
        self.markers.clear();
        self.doubts += 1;
    }

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

/// Since when what bears a tag is old.
type Markers = HashMap<String, Option<Stamp>>;

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

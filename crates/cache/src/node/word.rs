//! What changes here, on its way to the others.

use std::hash::Hash;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use bytes::Bytes;

use super::patterns::Pattern;
use super::{Arrival, RemoteNode, WriteMode};
use crate::inner::Inner;
use crate::invalidation::{Invalidation, Tag};
use crate::observer::CacheEvent;
use crate::options::EntryOptions;
use crate::remote::{Change, CodecError, EnvelopeKind, EnvelopeMeta, Prepared, Stamp, Wire};

/// A word that this node heeds already and that the others are to be told.
pub(crate) struct Word {
    pub(super) key: Option<Arc<[u8]>>,
    pub(super) prepared: Prepared,
    /// The tier is to be searched, and once more a while later.
    pattern: Option<(Pattern, Stamp)>,
}

impl Word {
    /// Takes it back.
    pub(super) fn forget(self) {
        self.prepared.forget();
    }
}

impl<K, V> RemoteNode<K, V>
where
    K: Hash + Eq + Send + Sync + 'static,
    V: Clone + Send + Sync + 'static,
{
    /// Prepares the word of a value that began to be true at a stamp.
    pub(super) fn value_word(&self, key: &K, value: Option<&V>, options: &EntryOptions, stamp: Stamp) -> Word {
        let text: Arc<[u8]> = Arc::from(self.keys.text(key).as_bytes());
        let prepared = match &self.wire {
            // Nothing is kept for a key without a value, nor what an older value was.
            Some(_) if value.is_none() && self.times.negative_ttl.is_none() => {
                self.link.prepare(Change::Removed(Bytes::copy_from_slice(&text)), stamp)
            }
            Some(wire) => {
                let meta = self.meta(value.is_some(), options, stamp);
                match seal(wire, &meta, value) {
                    Ok(sealed) => {
                        let until = (meta.keep_until != u64::MAX).then_some(meta.keep_until);
                        self.link.prepare_value(&text, sealed, until)
                    }
                    Err(error) => {
                        tracing::warn!(%error, "a value cannot be written to the remote tier");
                        self.tell(CacheEvent::RemoteFailed);
                        // What the tier holds is older, and must not come back.
                        self.link.prepare(Change::Removed(Bytes::copy_from_slice(&text)), stamp)
                    }
                }
            }
            None => self.link.prepare(Change::Written(Bytes::copy_from_slice(&text)), stamp),
        };
        Word { key: Some(text), prepared, pattern: None }
    }

    fn meta(&self, is_value: bool, options: &EntryOptions, stamp: Stamp) -> EnvelopeMeta {
        let kind = if is_value { EnvelopeKind::Value } else { EnvelopeKind::Negative };
        let meta = EnvelopeMeta::new(kind, stamp).tags(options.tags.iter().map(Tag::as_str));
        let ttl = if is_value { options.ttl.resolve(self.times.ttl) } else { self.times.negative_ttl };
        let Some(ttl) = ttl else { return meta };
        let millis = |time: std::time::Duration| u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
        let fresh = self.link.millis().saturating_add(millis(ttl));
        let windows = [
            options.stale_while_revalidate.or(self.times.stale_while_revalidate),
            options.stale_if_error.or(self.times.stale_if_error),
        ];
        let stale = if is_value { windows.into_iter().flatten().max() } else { None };
        meta.fresh_until(fresh).keep_until(fresh.saturating_add(millis(stale.unwrap_or_default())))
    }

    fn invalidation_word(&self, invalidation: &Invalidation<K>) -> Word {
        let stamp = self.link.stamp();
        let text = |key: &K| Bytes::copy_from_slice(self.keys.text(key).as_bytes());
        let of_key = |key: &Bytes| Some(Arc::from(&**key));
        let (key, change, pattern) = match invalidation {
            Invalidation::Key(key) => {
                let key = text(key);
                (of_key(&key), Change::Removed(key), None)
            }
            Invalidation::Expire(key) => {
                let key = text(key);
                (of_key(&key), Change::Expired(key), None)
            }
            Invalidation::Tag(tag) => (None, Change::Tag(tag.as_str().to_owned()), None),
            Invalidation::Prefix(prefix) => {
                let pattern = Pattern::Prefix(Arc::clone(prefix));
                (None, Change::Pattern(pattern.to_wire()), Some(pattern))
            }
            Invalidation::Glob(glob) => {
                let pattern = Pattern::Glob(glob.clone());
                (None, Change::Pattern(pattern.to_wire()), Some(pattern))
            }
            Invalidation::Clear => (None, Change::Cleared, None),
        };
        if let Some(pattern) = &pattern {
            self.patterns.lock().note(stamp, pattern.clone());
        }
        let prepared = self.link.prepare(change, stamp);
        Word { key, prepared, pattern: pattern.map(|pattern| (pattern, stamp)) }
    }

    fn tell_others(self: &Arc<Self>, word: Word) {
        let Word { key, prepared, pattern } = word;
        self.dispatch(key, prepared);
        if let Some((pattern, stamp)) = pattern.filter(|_| self.wire.is_some()) {
            let (link, pause) = (Arc::downgrade(&self.link), self.config.second_purge);
            // Ends with the cache: it holds the link weakly.
            drop(self.runtime.spawn(async move {
                tokio::time::sleep(pause).await;
                if let Some(link) = link.upgrade() {
                    link.purge(&pattern.to_wire(), stamp).await;
                }
            }));
        }
    }
}

/// The codec is the user's code: a panic in it is a value that cannot be written.
fn seal<V: 'static>(
    wire: &Wire<V>,
    meta: &EnvelopeMeta,
    value: Option<&V>,
) -> Result<crate::remote::Sealed, CodecError> {
    catch_unwind(AssertUnwindSafe(|| wire.seal(meta, value)))
        .unwrap_or_else(|_| Err(CodecError::Encode("the codec panicked".into())))
}

impl<K, V> Inner<K, V>
where
    K: Hash + Eq + Send + Sync + 'static,
    V: Clone + Send + Sync + 'static,
{
    /// Tells whether anybody is to be told of invalidations.
    pub(crate) const fn has_listeners(&self) -> bool {
        self.has_sink() || self.attached().remote.is_some()
    }

    /// Makes this node heed an invalidation that is about to take effect, so that no load brings back from
    /// the tier what it makes old.
    pub(crate) fn announce(&self, invalidation: &Invalidation<K>) -> Option<Word> {
        self.remote().map(|node| node.invalidation_word(invalidation))
    }

    /// Passes an invalidation that began here on to others; never called with a lock held.
    pub(crate) fn publish(&self, invalidation: &Invalidation<K>, word: Option<Word>) {
        self.tell_sink(invalidation);
        if let (Some(node), Some(word)) = (self.remote(), word) {
            node.tell_others(word);
        }
    }

    /// Stamps a value that is about to be inserted, and prepares the word of it.
    pub(crate) fn compose(&self, key: &K, value: &V, options: &mut EntryOptions) -> Option<Word> {
        let node = self.remote()?;
        if options.arrival.is_some() {
            // It comes from elsewhere and is not news.
            return None;
        }
        let stamp = node.link.stamp();
        options.arrival = Some(Arrival::stamped(stamp));
        Some(node.value_word(key, Some(value), options, stamp))
    }

    pub(crate) fn tell_others(&self, word: Option<Word>) {
        if let (Some(node), Some(word)) = (self.remote(), word) {
            node.tell_others(word);
        }
    }
}

impl<K, V> RemoteNode<K, V>
where
    K: Hash + Eq + Send + Sync + 'static,
    V: Clone + Send + Sync + 'static,
{
    /// Sends the word of a load from the load's own task; behind, it goes to the queue.
    pub(super) async fn send_loaded(&self, word: Word, holds_lease: bool) {
        // Who waits for the lease looks at the tier when it is given back.
        if self.config.writes == WriteMode::Behind && !holds_lease {
            return word.prepared.queue();
        }
        self.send(word.key.as_deref(), word.prepared).await;
    }
}

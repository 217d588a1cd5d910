//! What caches tell one another.

use std::fmt;
use std::sync::Arc;

use super::glob::Glob;
use super::tag::Tag;

/// What is no longer true; made by one cache and applied by others.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Invalidation<K> {
    /// One key is to be removed.
    Key(K),
    /// One key is to be made stale, and kept for the time of failures.
    Expire(K),
    /// All entries that carry a tag.
    Tag(Tag),
    /// All entries whose key begins with a text.
    Prefix(Arc<str>),
    /// All entries whose key a pattern fits.
    Glob(Glob),
    /// Everything.
    Clear,
}

/// Takes what is invalidated in this cache, to pass it on to others.
///
/// It is called on the thread of the invalidation, after that took effect here and without a lock;
/// it should put the message into a queue and return.
pub trait InvalidationSink<K>: fmt::Debug + Send + Sync + 'static {
    /// Passes one invalidation on.
    fn publish(&self, invalidation: &Invalidation<K>);
}

impl<K, S: InvalidationSink<K> + ?Sized> InvalidationSink<K> for Arc<S> {
    fn publish(&self, invalidation: &Invalidation<K>) {
        (**self).publish(invalidation);
    }
}

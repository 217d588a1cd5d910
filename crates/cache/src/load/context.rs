//! What a loader can say about the value it brings.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;

use crate::expiry::Ttl;
use crate::invalidation::Tag;
use crate::options::EntryOptions;

/// Lets a loader say how its value is to be stored; the last word counts.
///
/// What a loader of several keys says holds for all that it brings.
#[derive(Clone)]
pub struct LoadContext {
    told: Arc<dyn Told>,
}

/// Where a loader's words are kept: the landing of its load, so that they need no block of their own.
pub(crate) trait Told: Send + Sync {
    fn directives(&self) -> &Mutex<Directives>;
}

impl Told for Mutex<Directives> {
    fn directives(&self) -> &Self {
        self
    }
}

/// What was said.
#[derive(Debug, Clone)]
pub(crate) struct Directives {
    pub(crate) options: EntryOptions,
    pub(crate) storage: Storage,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Storage {
    Store,
    HandOutOnly,
}

impl Default for Directives {
    fn default() -> Self {
        Self { options: EntryOptions::new(), storage: Storage::Store }
    }
}

impl Directives {
    /// Of a value that no loader brought.
    #[cfg(feature = "remote")]
    pub(crate) const fn storing(options: EntryOptions) -> Self {
        Self { options, storage: Storage::Store }
    }

    /// How old the value is, if it comes from the remote tier.
    #[cfg(feature = "remote")]
    pub(crate) fn remote_age(&self) -> Option<Duration> {
        self.options.arrival.and_then(|arrival| arrival.remote_age)
    }
}

impl LoadContext {
    pub(crate) fn new() -> Self {
        Self::of(Arc::new(Mutex::new(Directives::default())))
    }

    /// Makes a context that writes there.
    pub(crate) fn of(told: Arc<dyn Told>) -> Self {
        Self { told }
    }

    /// Returns what was said. A loader that has ended and keeps its context has no say any more.
    pub(crate) fn into_directives(self) -> Directives {
        std::mem::take(&mut *self.told.directives().lock())
    }

    /// Serves the value for this long after it was loaded, whatever the cache's time to live.
    pub fn ttl(&self, ttl: Duration) {
        self.told.directives().lock().options.ttl = Ttl::After(ttl);
    }

    /// Serves the value while it is refreshed, for this long after its time to live, whatever the
    /// cache's own; zero is not at all.
    pub fn stale_while_revalidate(&self, window: Duration) {
        self.told.directives().lock().options.stale_while_revalidate = Some(window);
    }

    /// Serves the value when a load fails or takes too long, for this long after its time to live,
    /// whatever the cache's own; zero is not at all.
    pub fn stale_if_error(&self, window: Duration) {
        self.told.directives().lock().options.stale_if_error = Some(window);
    }

    /// Adds a tag, by which the value can be invalidated together with others.
    pub fn tag(&self, tag: impl Into<Tag>) {
        let tag = tag.into();
        self.told.directives().lock().options.add_tag(tag);
    }

    /// Adds several tags.
    pub fn tags<T: Into<Tag>>(&self, tags: impl IntoIterator<Item = T>) {
        for tag in tags {
            self.tag(tag);
        }
    }

    /// Stores the value with these options, instead of with all that was said before.
    pub fn options(&self, options: EntryOptions) {
        self.told.directives().lock().options = options;
    }

    /// Hands the value to those who wait for it and does not store it: right for an answer that is
    /// degraded, partial or meant for one caller.
    pub fn do_not_store(&self) {
        self.told.directives().lock().storage = Storage::HandOutOnly;
    }
}

impl fmt::Debug for LoadContext {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LoadContext").field("directives", self.told.directives()).finish()
    }
}

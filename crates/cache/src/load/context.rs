//! What a loader can say about the value it brings.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
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
    fn words(&self) -> &Words;
}

/// What a loader says, from any thread.
#[derive(Debug, Default)]
pub(crate) struct Words {
    /// Whether it has said anything: most say nothing, and are not asked under a lock.
    any: AtomicBool,
    directives: Mutex<Directives>,
}

impl Words {
    fn say(&self, word: impl FnOnce(&mut Directives)) {
        word(&mut self.directives.lock());
        // After the word, for who asks without the lock.
        self.any.store(true, Ordering::Release);
    }

    /// Returns what was said until now.
    pub(crate) fn take(&self) -> Directives {
        if self.any.load(Ordering::Acquire) {
            std::mem::take(&mut *self.directives.lock())
        } else {
            Directives::default()
        }
    }
}

impl Told for Words {
    fn words(&self) -> &Words {
        self
    }
}

/// What was said. Most loaders say nothing, and what they do not say is not carried from hand to hand.
#[derive(Debug, Clone, Default)]
pub(crate) struct Directives {
    options: Option<Box<EntryOptions>>,
    pub(crate) storage: Storage,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Storage {
    #[default]
    Store,
    HandOutOnly,
}

impl Directives {
    /// Of a value that no loader brought.
    #[cfg(feature = "remote")]
    pub(crate) fn storing(options: EntryOptions) -> Self {
        Self { options: Some(Box::new(options)), storage: Storage::Store }
    }

    /// Returns how the value is to be stored, if anything was said of it.
    pub(crate) fn said(&mut self) -> Option<&mut EntryOptions> {
        self.options.as_deref_mut()
    }

    /// Returns how the value is to be stored, to say more.
    pub(crate) fn options(&mut self) -> &mut EntryOptions {
        self.options.get_or_insert_default()
    }

    #[cfg(feature = "remote")]
    pub(crate) fn into_options(self) -> EntryOptions {
        self.options.map_or_else(EntryOptions::new, |options| *options)
    }

    pub(crate) fn tags(&self) -> &[Tag] {
        self.options.as_ref().map_or(&[], |options| &*options.tags)
    }

    /// How old the value is, if it comes from the remote tier.
    #[cfg(feature = "remote")]
    pub(crate) fn remote_age(&self) -> Option<Duration> {
        self.options.as_ref()?.arrival.and_then(|arrival| arrival.remote_age)
    }
}

impl LoadContext {
    pub(crate) fn new() -> Self {
        Self::of(Arc::new(Words::default()))
    }

    /// Makes a context that writes there.
    pub(crate) fn of(told: Arc<dyn Told>) -> Self {
        Self { told }
    }

    /// Returns what was said. A loader that has ended and keeps its context has no say any more.
    pub(crate) fn into_directives(self) -> Directives {
        self.told.words().take()
    }

    fn say(&self, word: impl FnOnce(&mut Directives)) {
        self.told.words().say(word);
    }

    /// Serves the value for this long after it was loaded, whatever the cache's time to live.
    pub fn ttl(&self, ttl: Duration) {
        self.say(|said| said.options().ttl = Ttl::After(ttl));
    }

    /// Serves the value while it is refreshed, for this long after its time to live, whatever the
    /// cache's own; zero is not at all.
    pub fn stale_while_revalidate(&self, window: Duration) {
        self.say(|said| said.options().stale_while_revalidate = Some(window));
    }

    /// Serves the value when a load fails or takes too long, for this long after its time to live,
    /// whatever the cache's own; zero is not at all.
    pub fn stale_if_error(&self, window: Duration) {
        self.say(|said| said.options().stale_if_error = Some(window));
    }

    /// Adds a tag, by which the value can be invalidated together with others.
    pub fn tag(&self, tag: impl Into<Tag>) {
        let tag = tag.into();
        self.say(|said| said.options().add_tag(tag));
    }

    /// Adds several tags.
    pub fn tags<T: Into<Tag>>(&self, tags: impl IntoIterator<Item = T>) {
        for tag in tags {
            self.tag(tag);
        }
    }

    /// Stores the value with these options, instead of with all that was said before.
    pub fn options(&self, options: EntryOptions) {
        self.say(|said| *said.options() = options);
    }

    /// Hands the value to those who wait for it and does not store it: right for an answer that is
    /// degraded, partial or meant for one caller.
    pub fn do_not_store(&self) {
        self.say(|said| said.storage = Storage::HandOutOnly);
    }
}

impl fmt::Debug for LoadContext {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LoadContext").field("directives", &self.told.words().directives).finish()
    }
}

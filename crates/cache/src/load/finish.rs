//! One load and its defined end.

use std::hash::Hash;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Weak};

use super::context::{Directives, LoadContext, Storage};
use super::flight::{Lead, Served};
use super::landing::{Failure, Landing, Outcome};
use super::lineage::Identified;
use super::task::panic_message;
use crate::engine::{Wants, on_failure};
use crate::entry::View;
use crate::expiry::{Deadline, Tick};
use crate::held::Held;
use crate::inner::Inner;
use crate::observer::{CacheEvent, LoadOutcome};
use crate::options::EntryOptions;
use crate::outgoing::{Outgoing, Why};
use crate::policy::{Lookup, Policy as _};

/// One load, owned by its task. Dropped before its end, it leaves the table and tells those who
/// wait that it was cut off.
pub(crate) struct Flight<K, V>
where
    K: Hash + Eq + Send + Sync + 'static,
    V: Clone + Send + Sync + 'static,
{
    inner: Arc<Inner<K, V>>,
    hash: u64,
    seq: u64,
    /// `None` once the key is stored.
    lead: Option<Arc<Lead<K, V>>>,
    /// What is left of it then.
    landing: Option<Arc<Landing<V>>>,
    /// What the remote tier may answer it with; `None` for nothing, since the caller knows of a change.
    #[cfg_attr(not(feature = "remote"), expect(dead_code, reason = "only a tier is asked before the loader"))]
    tier_may: Option<Wants>,
    started: Tick,
    has_ended: bool,
    /// Whether everyone who waits has been told of the end.
    is_over: bool,
}

impl<K, V> Flight<K, V>
where
    K: Hash + Eq + Send + Sync + 'static,
    V: Clone + Send + Sync + 'static,
{
    pub(super) const fn new(
        inner: Arc<Inner<K, V>>,
        hash: u64,
        seq: u64,
        lead: Arc<Lead<K, V>>,
        tier_may: Option<Wants>,
    ) -> Self {
        let started = Tick::ORIGIN;
        Self { inner, hash, seq, lead: Some(lead), landing: None, tier_may, started, has_ended: false, is_over: false }
    }

    /// Notes when it began; after the lock, since it reads the clock.
    pub(super) fn begin(&mut self) {
        self.started = self.inner.read_clock();
    }

    /// Where its callers wait; there is such a place at any time.
    fn landing_ref(&self) -> Option<&Arc<Landing<V>>> {
        self.lead.as_ref().map(|lead| &lead.landing).or(self.landing.as_ref())
    }

    pub(crate) fn identity(&self) -> Identified {
        let weak: Weak<Landing<V>> = self.landing_ref().map_or_else(Weak::new, Arc::downgrade);
        weak
    }

    pub(super) fn landing(&self) -> Option<Arc<Landing<V>>> {
        self.landing_ref().cloned()
    }

    /// Makes the context of its loader.
    pub(crate) fn context(&self) -> LoadContext {
        match self.landing() {
            Some(landing) => LoadContext::of(landing),
            None => LoadContext::new(),
        }
    }

    /// Returns what its loader has said.
    pub(crate) fn directives(&self) -> Directives {
        self.landing_ref().map(|landing| landing.said()).unwrap_or_default()
    }

    #[cfg(feature = "remote")]
    pub(crate) const fn inner(&self) -> &Arc<Inner<K, V>> {
        &self.inner
    }

    #[cfg(feature = "remote")]
    pub(crate) const fn hash(&self) -> u64 {
        self.hash
    }

    #[cfg(feature = "remote")]
    pub(crate) const fn tier_may(&self) -> Option<Wants> {
        self.tier_may
    }

    pub(crate) fn key(&self) -> Option<&K> {
        self.lead.as_ref().map(|lead| &lead.key)
    }

    /// Ends the load: stores what is to be stored, then tells everyone who waits. Tells whether what it
    /// brought is true of its key now, for who passes it on.
    pub(crate) fn finish(mut self, result: Result<Option<V>, Failure>, directives: Directives) -> bool {
        let Some((outcome, is_true)) = self.conclude(result, directives) else { return false };
        self.land(outcome);
        is_true
    }

    /// As [`finish`](Self::finish), for the caller who began the load and has it in its hands yet: if nobody
    /// has joined, nobody is to be told.
    pub(super) fn finish_at_hand(mut self, result: Result<Option<V>, Failure>) -> Start<V> {
        let directives = self.directives();
        let Some((outcome, _)) = self.conclude(result, directives) else { return Start::Waits(self.landing()) };
        // The slot is out of the table, so there are no new handles: who is alone now stays alone.
        if self.landing_ref().is_some_and(|landing| Arc::strong_count(landing) == 1) {
            self.is_over = true;
            return Start::Ended(outcome);
        }
        self.land(outcome);
        Start::Waits(self.landing())
    }

    /// Tells everyone who waits.
    fn land(&mut self, outcome: Outcome<V>) {
        if let Some(landing) = self.landing_ref() {
            landing.end(outcome);
        }
        self.is_over = true;
    }

    /// Stores what is to be stored, and counts the end.
    fn conclude(&mut self, result: Result<Option<V>, Failure>, directives: Directives) -> Option<(Outcome<V>, bool)> {
        self.has_ended = true;
        let Ended { outcome, how, is_true } = match result {
            Ok(value) => self.bring(value, directives)?,
            Err(why) => self.fail(why)?,
        };
        self.tell(how);
        Some((outcome, is_true))
    }

    fn bring(&mut self, value: Option<V>, directives: Directives) -> Option<Ended<V>> {
        let lead = self.lead.as_ref()?;
        #[cfg(feature = "remote")]
        let remote_age = directives.remote_age();
        #[cfg(not(feature = "remote"))]
        let remote_age = None;
        if directives.storage == Storage::HandOutOnly {
            let mut shard = self.inner.shard(self.hash).lock();
            shard.core.flights.take(self.hash, &lead.landing);
            let overtaken = self.overtaken(&lead.key, &directives);
            drop(shard);
            let value = value.map(|value| self.inner.hold(value));
            let outcome = Outcome::Brought { value, overtaken, remote_age };
            return Some(Ended { outcome, how: LoadOutcome::NotStored, is_true: false });
        }
        // The user's code, which may not end this task without word to those who wait.
        let tags = directives.tags();
        let weighed = catch_unwind(AssertUnwindSafe(|| self.inner.weigh(&lead.key, value.as_ref(), tags)));
        match weighed {
            Ok(weight) => {
                let value = value.map(|value| self.inner.hold(value));
                let (overtaken, how, is_true) = match &value {
                    None if self.inner.rules().negative_ttl.is_none() => self.forget(lead, &directives),
                    held => self.store(held.clone(), weight, directives)?,
                };
                Some(Ended { outcome: Outcome::Brought { value, overtaken, remote_age }, how, is_true })
            }
            Err(panic) => self.fail(Failure::Panic(panic_message(&*panic))),
        }
    }

    /// Stores what was loaded, if nothing made it untrue meanwhile.
    fn store(
        &mut self,
        held: Option<Held<V>>,
        weight: u64,
        mut directives: Directives,
    ) -> Option<(u64, LoadOutcome, bool)> {
        let inner = &*self.inner;
        let limit = inner.budget().max_entry();
        let absent = held.is_none();
        let (mut entry, now) = match (directives.said(), held) {
            (Some(options), held) => inner.entry_of(self.hash, held, weight, options),
            (None, Some(held)) => inner.plain_entry(self.hash, held, weight),
            (None, None) => inner.entry_of(self.hash, None, weight, &mut EntryOptions::new()),
        };
        entry.begin_in(self.seq);
        let mut out = Outgoing::new();
        let mut shard = inner.shard(self.hash).lock();
        let lead = self.lead.as_ref()?;
        let entitled = shard.core.flights.take(self.hash, &lead.landing);
        let overtaken =
            if entitled { inner.generations().overtaken_load(self.seq, entry.tags(), &lead.key) } else { 0 };
        let refused = entitled && overtaken == 0 && weight > limit;
        if refused {
            shard.core.counts.refusals += 1;
            // What is there is older than what cannot be stored.
            if let Some(gone) = shard.take(inner.budget(), &Lookup::new(self.hash, &lead.key)) {
                out.push(Why::Removed, gone);
            }
        }
        // The slot held the only other handle of the key, so the key can be taken out of its `Arc` now.
        let storable = entitled && overtaken == 0 && !refused;
        let lead = if storable { self.lead.take().map(Arc::try_unwrap) } else { None };
        // What is not stored is bound here, to be dropped after the lock.
        let (stored, _displaced, _kept) = match lead {
            Some(Ok(Lead { key, landing })) => {
                // First of all, since a panic of the user's code must find it.
                self.landing = Some(landing);
                (true, shard.put(inner.budget(), self.hash, key, entry, now, &mut out), None)
            }
            lead => {
                if let Some(Err(lead)) = lead {
                    self.lead = Some(lead);
                }
                (false, None, Some(entry))
            }
        };
        drop(shard);
        // Before any of the user's code, which may panic.
        inner.settle(self.hash, &mut out);
        inner.release(out);
        if stored {
            inner.weighed(self.hash, weight);
            inner.emit(CacheEvent::Inserted { weight });
            return Some((overtaken, if absent { LoadOutcome::Absent } else { LoadOutcome::Stored }, true));
        }
        if refused {
            inner.emit(CacheEvent::Refused { weight, limit });
        }
        Some((overtaken, LoadOutcome::NotStored, entitled && overtaken == 0))
    }

    /// Drops what was stored of a key that the origin has no value for.
    fn forget(&self, lead: &Lead<K, V>, directives: &Directives) -> (u64, LoadOutcome, bool) {
        let mut out = Outgoing::new();
        let mut shard = self.inner.shard(self.hash).lock();
        let entitled = shard.core.flights.take(self.hash, &lead.landing);
        let overtaken = self.overtaken(&lead.key, directives);
        if entitled && let Some(gone) = shard.take(self.inner.budget(), &Lookup::new(self.hash, &lead.key)) {
            out.push(Why::Removed, gone);
        }
        drop(shard);
        self.inner.release(out);
        (overtaken, LoadOutcome::Absent, entitled && overtaken == 0)
    }

    fn overtaken(&self, key: &K, directives: &Directives) -> u64 {
        self.inner.generations().overtaken_load(self.seq, directives.tags(), key)
    }

    /// Takes a failed load out of the table, and holds the next one back while there is a value to
    /// give instead.
    fn fail(&self, why: Failure) -> Option<Ended<V>> {
        let lead = self.lead.as_ref()?;
        let how = match &why {
            Failure::Error(_) => LoadOutcome::Failed,
            Failure::Panic(_) => LoadOutcome::Panicked,
        };
        let inner = &*self.inner;
        let now = inner.now();
        let lookup = Lookup::new(self.hash, &lead.key);
        let mut shard = inner.shard(self.hash).lock();
        let entitled = shard.core.flights.take(self.hash, &lead.landing);
        let core = &mut *shard.core;
        core.counts.load_failures += 1;
        let judge = inner.judge(now);
        let usable = |key: &K, entry: View<'_, V>| match entry.end(&judge, key) {
            None => on_failure(now, entry.state(inner.rules())),
            Some(_) => None,
        };
        let source = if entitled { core.entries.examine(&lookup, usable).flatten() } else { None };
        let stale = match (source, core.entries.peek_mut(&lookup)) {
            (Some(source), Some(entry)) => {
                let backoff = inner.rules().error_backoff;
                entry.cold.extra_mut().retry = Some(Deadline::after(now, backoff));
                let entry = entry.view();
                Some(Served { value: entry.held(), source, age: entry.age(now) })
            }
            _ => None,
        };
        drop(shard);
        Some(Ended { outcome: Outcome::Failed { why, stale }, how, is_true: false })
    }

    /// Keeps a value that is stale already for the case that this load fails.
    #[cfg(feature = "remote")]
    pub(crate) fn stash(&self, key: K, value: V, mut options: EntryOptions) {
        let inner = &*self.inner;
        let weight = inner.weigh(&key, Some(&value), &options.tags);
        if weight > inner.budget().max_entry() {
            return;
        }
        let (mut entry, now) = inner.entry_of(self.hash, Some(inner.hold(value)), weight, &mut options);
        entry.begin_in(self.seq);
        let mut out = Outgoing::new();
        let mut shard = inner.shard(self.hash).lock();
        let entitled = self.landing_ref().is_some_and(|landing| shard.core.flights.has(self.hash, landing));
        let overtaken = inner.generations().overtaken_load(self.seq, entry.tags(), &key) != 0;
        // What is not stored is bound here, to be dropped after the lock.
        let (_displaced, _kept) = if entitled && !overtaken {
            (shard.put(inner.budget(), self.hash, key, entry, now, &mut out), None)
        } else {
            (None, Some((key, entry)))
        };
        drop(shard);
        inner.settle(self.hash, &mut out);
        inner.release(out);
    }

    fn tell(&self, outcome: LoadOutcome) {
        let elapsed = self.inner.read_clock().since(self.started);
        if outcome != LoadOutcome::Aborted {
            self.inner.latency().record(elapsed);
        }
        self.inner.emit(CacheEvent::LoadFinished { outcome, elapsed });
    }
}

/// How far a load came at once.
pub(super) enum Start<V> {
    /// To its end, of which nobody else is to know.
    Ended(Outcome<V>),
    /// To where its end is waited for, or has been told.
    Waits(Option<Arc<Landing<V>>>),
}

/// What a load came to.
struct Ended<V> {
    outcome: Outcome<V>,
    how: LoadOutcome,
    is_true: bool,
}

impl<K, V> Drop for Flight<K, V>
where
    K: Hash + Eq + Send + Sync + 'static,
    V: Clone + Send + Sync + 'static,
{
    fn drop(&mut self) {
        if self.is_over {
            return;
        }
        // Cut off, or the user's code has panicked while it ended: an observer, a `Drop`. Whoever waits is
        // told before anything else can go wrong.
        let was_cut_off = !self.has_ended;
        let Some(landing) = self.landing_ref() else { return };
        let mut shard = self.inner.shard(self.hash).lock();
        let slot = shard.core.flights.take_slot(self.hash, landing);
        shard.core.counts.load_failures += u64::from(was_cut_off);
        drop(shard);
        landing.end(Outcome::Aborted);
        drop(slot);
        if was_cut_off {
            // Caught: this may run while another panic unwinds.
            drop(catch_unwind(AssertUnwindSafe(|| self.tell(LoadOutcome::Aborted))));
        }
    }
}

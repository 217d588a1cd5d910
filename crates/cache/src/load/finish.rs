//! One load and its defined end.

use std::hash::Hash;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Weak};

use super::context::{Directives, Storage};
use super::flight::{Lead, Served};
use super::landing::{Failure, Landing, Outcome};
use super::lineage::Identified;
use super::task::panic_message;
use crate::engine::on_failure;
use crate::expiry::{Deadline, Tick};
use crate::held::Held;
use crate::inner::Inner;
use crate::observer::{CacheEvent, LoadOutcome};
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
    /// `None` once the load has ended.
    lead: Option<Arc<Lead<K>>>,
    landing: Arc<Landing<V>>,
    started: Tick,
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
        lead: Arc<Lead<K>>,
        landing: Arc<Landing<V>>,
    ) -> Self {
        Self { inner, hash, seq, lead: Some(lead), landing, started: Tick::ORIGIN }
    }

    /// Notes when it began; after the lock, since it reads the clock.
    pub(super) fn begin(&mut self) {
        self.started = self.inner.read_clock();
    }

    pub(crate) fn identity(&self) -> Identified {
        let weak: Weak<Landing<V>> = Arc::downgrade(&self.landing);
        weak
    }

    pub(super) fn landing(&self) -> Arc<Landing<V>> {
        Arc::clone(&self.landing)
    }

    pub(crate) fn key(&self) -> Option<&K> {
        self.lead.as_ref().map(|lead| &lead.key)
    }

    /// Ends the load: stores what is to be stored, then tells everyone who waits.
    pub(crate) fn finish(mut self, result: Result<Option<V>, Failure>, directives: Directives) {
        let Some(lead) = self.lead.take() else { return };
        let (outcome, how) = match result {
            Ok(value) => self.bring(lead, value, directives),
            Err(why) => self.fail(&lead, why),
        };
        self.tell(how);
        self.landing.end(outcome);
    }

    fn bring(&self, lead: Arc<Lead<K>>, value: Option<V>, directives: Directives) -> (Outcome<V>, LoadOutcome) {
        if directives.storage == Storage::HandOutOnly {
            let mut shard = self.inner.shard(self.hash).lock();
            let slot = shard.core.flights.take(self.hash, &lead);
            let overtaken = self.overtaken(&lead.key, &directives);
            drop(shard);
            drop(slot);
            let value = value.map(|value| self.inner.hold(value));
            return (Outcome::Brought { value, overtaken }, LoadOutcome::NotStored);
        }
        // The user's code, which may not end this task without word to those who wait.
        let tags = &directives.options.tags;
        let weighed = catch_unwind(AssertUnwindSafe(|| self.inner.weigh(&lead.key, value.as_ref(), tags)));
        match weighed {
            Ok(weight) => {
                let value = value.map(|value| self.inner.hold(value));
                let (overtaken, how) = match &value {
                    None if self.inner.rules().negative_ttl.is_none() => self.forget(&lead, &directives),
                    held => self.store(lead, held.clone(), weight, directives),
                };
                (Outcome::Brought { value, overtaken }, how)
            }
            Err(panic) => self.fail(&lead, Failure::Panic(panic_message(&*panic))),
        }
    }

    /// Stores what was loaded, if nothing made it untrue meanwhile.
    fn store(
        &self,
        lead: Arc<Lead<K>>,
        held: Option<Held<V>>,
        weight: u64,
        directives: Directives,
    ) -> (u64, LoadOutcome) {
        let inner = &*self.inner;
        let limit = inner.budget().max_entry();
        let absent = held.is_none();
        let (mut entry, now) = inner.entry(self.hash, held, weight, directives.options);
        entry.seq = self.seq;
        let mut out = Outgoing::new();
        let mut shard = inner.shard(self.hash).lock();
        let slot = shard.core.flights.take(self.hash, &lead);
        let entitled = slot.is_some();
        // The slot held the only other handle of the key, so the key can be taken out of its `Arc`
        // now.
        drop(slot);
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
        let storable = entitled && overtaken == 0 && !refused;
        // What is not stored is bound here, to be dropped after the lock.
        let (stored, _displaced, _kept) = match Arc::into_inner(lead).map(|lead| lead.key) {
            Some(key) if storable => (true, shard.put(inner.budget(), self.hash, key, entry, now, &mut out), None),
            key => (false, None, Some((key, entry))),
        };
        drop(shard);
        inner.release(out);
        if stored {
            inner.emit(CacheEvent::Inserted { weight });
            inner.settle(self.hash);
            return (overtaken, if absent { LoadOutcome::Absent } else { LoadOutcome::Stored });
        }
        if refused {
            inner.emit(CacheEvent::Refused { weight, limit });
        }
        (overtaken, LoadOutcome::NotStored)
    }

    /// Drops what was stored of a key that the origin has no value for.
    fn forget(&self, lead: &Arc<Lead<K>>, directives: &Directives) -> (u64, LoadOutcome) {
        let mut out = Outgoing::new();
        let mut shard = self.inner.shard(self.hash).lock();
        let slot = shard.core.flights.take(self.hash, lead);
        let overtaken = self.overtaken(&lead.key, directives);
        if slot.is_some()
            && let Some(gone) = shard.take(self.inner.budget(), &Lookup::new(self.hash, &lead.key))
        {
            out.push(Why::Removed, gone);
        }
        drop(shard);
        drop(slot);
        self.inner.release(out);
        (overtaken, LoadOutcome::Absent)
    }

    fn overtaken(&self, key: &K, directives: &Directives) -> u64 {
        self.inner.generations().overtaken_load(self.seq, &directives.options.tags, key)
    }

    /// Takes a failed load out of the table, and holds the next one back while there is a value to
    /// give instead.
    fn fail(&self, lead: &Arc<Lead<K>>, why: Failure) -> (Outcome<V>, LoadOutcome) {
        let how = match &why {
            Failure::Error(_) => LoadOutcome::Failed,
            Failure::Panic(_) => LoadOutcome::Panicked,
        };
        let inner = &*self.inner;
        let now = inner.now();
        let lookup = Lookup::new(self.hash, &lead.key);
        let mut shard = inner.shard(self.hash).lock();
        let slot = shard.core.flights.take(self.hash, lead);
        let core = &mut *shard.core;
        core.counts.load_failures += 1;
        let judge = inner.judge(now);
        let source = slot.as_ref().and_then(|_| {
            core.entries.examine(&lookup, |key, entry| match entry.end(&judge, key) {
                None => on_failure(now, entry.state(inner.rules())),
                Some(_) => None,
            })?
        });
        let stale = match (source, core.entries.peek_mut(&lookup)) {
            (Some(source), Some(entry)) => {
                let backoff = inner.rules().error_backoff;
                entry.extra_mut().retry = Some(Deadline::after(now, backoff));
                Some(Served { value: entry.held.clone(), source, age: entry.age(now) })
            }
            _ => None,
        };
        drop(shard);
        drop(slot);
        (Outcome::Failed { why, stale }, how)
    }

    fn tell(&self, outcome: LoadOutcome) {
        let elapsed = self.inner.read_clock().since(self.started);
        if outcome != LoadOutcome::Aborted {
            self.inner.latency().record(elapsed);
        }
        self.inner.emit(CacheEvent::LoadFinished { outcome, elapsed });
    }
}

impl<K, V> Drop for Flight<K, V>
where
    K: Hash + Eq + Send + Sync + 'static,
    V: Clone + Send + Sync + 'static,
{
    fn drop(&mut self) {
        let Some(lead) = self.lead.take() else { return };
        let mut shard = self.inner.shard(self.hash).lock();
        let slot = shard.core.flights.take(self.hash, &lead);
        shard.core.counts.load_failures += 1;
        drop(shard);
        drop(slot);
        self.tell(LoadOutcome::Aborted);
        self.landing.end(Outcome::Aborted);
    }
}

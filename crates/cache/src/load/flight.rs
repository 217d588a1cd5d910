//! The loads under way in a shard, and their defined end.
//!
//! A load is entitled to store its value as long as its slot is in the table. Whatever makes the
//! load out of date (a write, a removal, a clear) takes the slot out: that is the whole generation
//! check, and it also makes the next caller start a new load rather than join the old one.

use std::borrow::Borrow;
use std::fmt;
use std::hash::Hash;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use hashbrown::HashTable;

use super::context::{Directives, Storage};
use super::landing::{Landing, Outcome};
use super::lineage::{self, Identified, Identity};
use super::task::panic_message;
use crate::expiry::Tick;
use crate::inner::Inner;
use crate::observer::{CacheEvent, LoadOutcome};
use crate::outgoing::Outgoing;
use crate::policy::Lookup;
use crate::shard::Found;

/// The key of a load; its address is the load's identity.
#[derive(Debug)]
pub(crate) struct Lead<K> {
    key: K,
}

#[derive(Debug)]
pub(crate) struct FlightTable<K, V> {
    slots: HashTable<Slot<K, V>>,
}

pub(crate) struct Slot<K, V> {
    hash: u64,
    lead: Arc<Lead<K>>,
    landing: Arc<Landing<V>>,
}

impl<K, V> fmt::Debug for Slot<K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Slot").finish_non_exhaustive()
    }
}

impl<K, V> Default for FlightTable<K, V> {
    fn default() -> Self {
        Self { slots: HashTable::new() }
    }
}

impl<K: Eq, V> FlightTable<K, V> {
    /// Takes the load of a key out: it will not store its value, and nobody joins it any more.
    #[must_use = "the slot is to be dropped after the lock"]
    pub(crate) fn detach<Q>(&mut self, hash: u64, key: &Q) -> Option<Slot<K, V>>
    where
        K: Borrow<Q>,
        Q: Eq + ?Sized,
    {
        if self.slots.is_empty() {
            return None;
        }
        let slot = self.slots.find_entry(hash, |slot| slot.hash == hash && slot.lead.key.borrow() == key).ok()?;
        Some(slot.remove().0)
    }

    fn find(&self, hash: u64, key: &K) -> Option<&Slot<K, V>> {
        self.slots.find(hash, |slot| slot.hash == hash && slot.lead.key == *key)
    }

    fn add(&mut self, slot: Slot<K, V>) {
        self.slots.insert_unique(slot.hash, slot, |slot| slot.hash);
    }

    /// Takes exactly this load out, unless it was detached before.
    fn take(&mut self, hash: u64, lead: &Arc<Lead<K>>) -> Option<Slot<K, V>> {
        let slot = self.slots.find_entry(hash, |slot| Arc::ptr_eq(&slot.lead, lead)).ok()?;
        Some(slot.remove().0)
    }
}

/// What a caller of `get_or_load` met.
pub(crate) enum Entered<K: Eq, V>
where
    K: Hash + Send + Sync + 'static,
    V: Clone + Send + Sync + 'static,
{
    Hit(V),
    /// Somebody loads it: wait.
    Join {
        identity: Identity,
        landing: Arc<Landing<V>>,
        key: K,
    },
    /// Nobody does: load.
    Lead {
        flight: Flight<K, V>,
        landing: Arc<Landing<V>>,
    },
}

/// Looks a key up and joins or opens its load, all under one lock.
pub(crate) fn enter<K, V>(inner: &Arc<Inner<K, V>>, hash: u64, key: K) -> Entered<K, V>
where
    K: Hash + Eq + Send + Sync + 'static,
    V: Clone + Send + Sync + 'static,
{
    let now = inner.now();
    let shard = inner.shard(hash);
    // Most find a value, and share the lock for it.
    let first = shard.look_up(inner.budget(), &Lookup::new(hash, &key), now);
    if let Found::Live(held) = first {
        inner.count_hit();
        return Entered::Hit(held.into_value());
    }
    let mut shard = shard.lock();
    let found = match shard.look_up(inner.budget(), &Lookup::new(hash, &key), now) {
        Found::Live(held) => {
            drop(shard);
            inner.count_hit();
            return Entered::Hit(held.into_value());
        }
        Found::Absent => first,
        expired @ Found::Expired(_) => expired,
    };
    let entered = if let Some(slot) = shard.core.flights.find(hash, &key) {
        let (identity, landing) = (lineage::identity(&slot.lead), Arc::clone(&slot.landing));
        shard.core.counts.coalesced += 1;
        Entered::Join { identity, landing, key }
    } else {
        let lead = Arc::new(Lead { key });
        let landing = Arc::new(Landing::new());
        shard.core.flights.add(Slot { hash, lead: Arc::clone(&lead), landing: Arc::clone(&landing) });
        shard.core.counts.loads += 1;
        Entered::Lead {
            flight: Flight {
                inner: Arc::clone(inner),
                hash,
                lead: Some(lead),
                landing: Arc::clone(&landing),
                started: Tick::ORIGIN,
            },
            landing,
        }
    };
    drop(shard);
    inner.tell_miss(found);
    match entered {
        Entered::Lead { mut flight, landing } => {
            flight.started = inner.read_clock();
            inner.emit(CacheEvent::LoadStarted);
            Entered::Lead { flight, landing }
        }
        other => {
            inner.emit(CacheEvent::Coalesced);
            other
        }
    }
}

/// One load, owned by its task. Dropped before its end, it leaves the table and tells those who
/// wait that it was cut off.
pub(crate) struct Flight<K, V>
where
    K: Hash + Eq + Send + Sync + 'static,
    V: Clone + Send + Sync + 'static,
{
    inner: Arc<Inner<K, V>>,
    hash: u64,
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
    pub(crate) fn identity(&self) -> Identified {
        match &self.lead {
            Some(lead) => {
                let weak: std::sync::Weak<Lead<K>> = Arc::downgrade(lead);
                weak
            }
            None => std::sync::Weak::<Lead<K>>::new(),
        }
    }

    /// Ends the load: stores what is to be stored, then tells everyone who waits.
    pub(crate) fn finish<E: Send + Sync + 'static>(
        mut self,
        result: Result<Result<V, E>, Arc<str>>,
        directives: Directives,
    ) {
        let Some(lead) = self.lead.take() else { return };
        let (outcome, how) = match result {
            Ok(Ok(value)) => self.finish_value(lead, value, directives),
            Ok(Err(error)) => {
                self.close(&lead);
                (Outcome::Failed(Arc::new(error)), LoadOutcome::Failed)
            }
            Err(message) => {
                self.close(&lead);
                (Outcome::Panicked(message), LoadOutcome::Panicked)
            }
        };
        self.tell(how);
        self.landing.end(outcome);
    }

    fn finish_value(&self, lead: Arc<Lead<K>>, value: V, directives: Directives) -> (Outcome<V>, LoadOutcome) {
        // Both are the user's code; neither may end this task without word to those who wait.
        let prepared = catch_unwind(AssertUnwindSafe(|| match directives.storage {
            Storage::Store => Some((self.inner.weigh(&lead.key, &value), value.clone())),
            Storage::HandOutOnly => None,
        }));
        match prepared {
            Ok(Some((weight, copy))) => {
                let how = self.store(lead, copy, weight, directives);
                (Outcome::Value(value), how)
            }
            Ok(None) => {
                let slot = self.inner.shard(self.hash).lock().core.flights.take(self.hash, &lead);
                drop(slot);
                (Outcome::Value(value), LoadOutcome::NotStored)
            }
            Err(panic) => {
                self.close(&lead);
                (Outcome::Panicked(panic_message(&*panic)), LoadOutcome::Panicked)
            }
        }
    }

    fn store(&self, lead: Arc<Lead<K>>, value: V, weight: u64, directives: Directives) -> LoadOutcome {
        let inner = &*self.inner;
        let limit = inner.budget().max_entry();
        let (entry, now) = inner.entry(self.hash, value, weight, directives.options);
        let mut out = Outgoing::new();
        let mut shard = inner.shard(self.hash).lock();
        let slot = shard.core.flights.take(self.hash, &lead);
        let entitled = slot.is_some();
        // The slot held the only other handle of the key, so the key can be taken out of its `Arc`
        // now.
        drop(slot);
        let key = if entitled { Arc::into_inner(lead).map(|lead| lead.key) } else { None };
        // What is not stored is bound here, to be dropped after the lock.
        let (stored, _displaced, _refused) = match key {
            Some(key) if weight <= limit => {
                (true, shard.put(inner.budget(), self.hash, key, entry, now, &mut out), None)
            }
            other => {
                shard.core.counts.refusals += u64::from(entitled);
                (false, None, other)
            }
        };
        drop(shard);
        inner.release(out);
        if stored {
            inner.emit(CacheEvent::Inserted { weight });
            inner.settle(self.hash);
            return LoadOutcome::Stored;
        }
        if entitled {
            inner.emit(CacheEvent::Refused { weight, limit });
        }
        LoadOutcome::NotStored
    }

    /// Takes a failed load out of the table.
    fn close(&self, lead: &Arc<Lead<K>>) {
        let mut shard = self.inner.shard(self.hash).lock();
        let slot = shard.core.flights.take(self.hash, lead);
        shard.core.counts.load_failures += 1;
        drop(shard);
        drop(slot);
    }

    fn tell(&self, outcome: LoadOutcome) {
        let elapsed = self.inner.read_clock().since(self.started);
        self.inner.emit(CacheEvent::LoadFinished { outcome, elapsed });
    }
}

impl<K, V> Drop for Flight<K, V>
where
    K: Hash + Eq + Send + Sync + 'static,
    V: Clone + Send + Sync + 'static,
{
    fn drop(&mut self) {
        if let Some(lead) = self.lead.take() {
            self.close(&lead);
            self.tell(LoadOutcome::Aborted);
            self.landing.end(Outcome::Aborted);
        }
    }
}

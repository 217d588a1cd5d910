//! The loads under way in a shard.
//!
//! A load is entitled to store its value as long as its slot is in the table. Whatever makes the
//! load of one key out of date (a write, a removal) takes the slot out, which also makes the next
//! caller start a new load rather than join the old one. What tags and patterns make untrue is known
//! only at the end, when the loader has named its tags: then the generations are compared.

use std::borrow::Borrow;
use std::fmt;
use std::hash::Hash;
use std::sync::Arc;
use std::time::Duration;

use hashbrown::HashTable;

use super::fetched::Source;
use super::finish::Flight;
use super::landing::Landing;
use crate::engine::{State, Step, Wants, on_call, on_wait};
use crate::held::Held;
use crate::inner::Inner;
use crate::observer::{CacheEvent, MissCause};
use crate::policy::{Lookup, Policy as _};
use crate::shard::{Core, Glance};

/// The key of a load, with where its callers wait.
pub(crate) struct Lead<K, V> {
    pub(super) key: K,
    pub(super) landing: Arc<Landing<V>>,
}

#[derive(Debug)]
pub(crate) struct FlightTable<K, V> {
    slots: HashTable<Slot<K, V>>,
    /// Loads that were taken out and go on: found by who waits for them, and by nobody else. Few, and none
    /// for long.
    detached: Vec<Slot<K, V>>,
}

pub(super) struct Slot<K, V> {
    hash: u64,
    /// The generation in which the load began.
    seq: u64,
    lead: Arc<Lead<K, V>>,
}

impl<K, V> fmt::Debug for Slot<K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Slot").finish_non_exhaustive()
    }
}

impl<K, V> Default for FlightTable<K, V> {
    fn default() -> Self {
        Self { slots: HashTable::new(), detached: Vec::new() }
    }
}

impl<K: Eq, V> FlightTable<K, V> {
    /// Takes the load of a key out: it will not store its value, and nobody joins it any more.
    #[inline]
    pub(crate) fn detach<Q>(&mut self, hash: u64, key: &Q)
    where
        K: Borrow<Q>,
        Q: Eq + ?Sized,
    {
        if !self.slots.is_empty() {
            self.detach_one(hash, key);
        }
    }

    #[cold]
    fn detach_one<Q>(&mut self, hash: u64, key: &Q)
    where
        K: Borrow<Q>,
        Q: Eq + ?Sized,
    {
        let found = self.slots.find_entry(hash, |slot| slot.hash == hash && slot.lead.key.borrow() == key);
        if let Ok(slot) = found {
            self.detached.push(slot.remove().0);
        }
    }

    /// Takes all loads out.
    pub(crate) fn detach_all(&mut self) {
        self.detached.extend(self.slots.drain());
    }

    /// Returns the generation in which the oldest load began.
    pub(crate) fn oldest(&self) -> u64 {
        self.slots.iter().map(|slot| slot.seq).min().unwrap_or(u64::MAX)
    }

    fn find(&self, hash: u64, key: &K) -> Option<&Slot<K, V>> {
        self.slots.find(hash, |slot| slot.hash == hash && slot.lead.key == *key)
    }

    /// Returns the key of a load, whether it may still store its value or not.
    fn key_of(&self, hash: u64, landing: &Arc<Landing<V>>) -> Option<&K> {
        let is_it = |slot: &Slot<K, V>| Arc::ptr_eq(&slot.lead.landing, landing);
        let slot = self.slots.find(hash, is_it).or_else(|| self.detached.iter().find(|slot| is_it(slot)))?;
        Some(&slot.lead.key)
    }

    /// Tells whether exactly this load may still store its value.
    #[cfg(feature = "remote")]
    pub(super) fn has(&self, hash: u64, landing: &Arc<Landing<V>>) -> bool {
        self.slots.find(hash, |slot| Arc::ptr_eq(&slot.lead.landing, landing)).is_some()
    }

    fn add(&mut self, slot: Slot<K, V>) {
        self.slots.insert_unique(slot.hash, slot, |slot| slot.hash);
    }

    /// Takes exactly this load out at its end. Tells whether it may store its value: it was not detached
    /// before. Whoever asks holds its key, or the user's `Drop` would run here.
    pub(super) fn take(&mut self, hash: u64, landing: &Arc<Landing<V>>) -> bool {
        if let Ok(slot) = self.slots.find_entry(hash, |slot| Arc::ptr_eq(&slot.lead.landing, landing)) {
            slot.remove();
            return true;
        }
        drop(self.take_detached(landing));
        false
    }

    /// As [`take`](Self::take), for who does not hold the key any more.
    #[must_use = "the slot is to be dropped after the lock"]
    pub(super) fn take_slot(&mut self, hash: u64, landing: &Arc<Landing<V>>) -> Option<Slot<K, V>> {
        match self.slots.find_entry(hash, |slot| Arc::ptr_eq(&slot.lead.landing, landing)) {
            Ok(slot) => Some(slot.remove().0),
            Err(_) => self.take_detached(landing),
        }
    }

    fn take_detached(&mut self, landing: &Arc<Landing<V>>) -> Option<Slot<K, V>> {
        let at = self.detached.iter().position(|slot| Arc::ptr_eq(&slot.lead.landing, landing))?;
        Some(self.detached.swap_remove(at))
    }
}

/// What is held, as it is given to a caller.
#[derive(Clone)]
pub(crate) struct Served<V> {
    pub(super) value: Option<Held<V>>,
    pub(super) source: Source,
    pub(super) age: Option<Duration>,
}

/// What a call met.
pub(crate) enum Entered<K: Eq, V>
where
    K: Hash + Send + Sync + 'static,
    V: Clone + Send + Sync + 'static,
{
    /// There is something to serve; and maybe this call is to see to its refresh.
    Hit { served: Served<V>, refresh: Option<Flight<K, V>> },
    /// Somebody loads it: wait.
    Join(Joined<K, V>),
    /// Nobody does: load.
    Lead(Flight<K, V>),
}

pub(crate) struct Joined<K, V> {
    pub(super) landing: Arc<Landing<V>>,
    /// The generation in which the call came.
    pub(super) came: u64,
    pub(super) key: K,
}

/// Serves what is fresh and asks for nothing more: that shares the lock.
#[inline]
pub(crate) fn glance<K, V>(inner: &Inner<K, V>, hash: u64, key: &K) -> Option<(Held<V>, Option<Duration>)>
where
    K: Hash + Eq + Send + Sync + 'static,
    V: Clone + Send + Sync + 'static,
{
    inner.asked(hash);
    let moment = inner.moment();
    let glance = inner.shard(hash).glance(&Lookup::new(hash, key), |key, entry| {
        let now = moment.for_entry(entry.hot);
        let serves = entry.is_live(&inner.judge(now), key) && !entry.eager(inner.rules()).has_passed(now);
        let held = if serves { entry.held() } else { None }?;
        entry.touch(now);
        inner.count_hit();
        Some((held, entry.age(now)))
    });
    match glance {
        Glance::Took(served) => {
            inner.emit_quietly(CacheEvent::Hit);
            Some(served)
        }
        Glance::Absent | Glance::Unsure => None,
    }
}

/// Looks a key up and joins or opens its load, all under one lock; a plain hit shares it.
pub(crate) fn enter<K, V>(
    inner: &Arc<Inner<K, V>>,
    hash: u64,
    key: K,
    wants: Wants,
    can_refresh: fn() -> bool,
) -> Entered<K, V>
where
    K: Hash + Eq + Send + Sync + 'static,
    V: Clone + Send + Sync + 'static,
{
    match glance(inner, hash, &key) {
        Some((held, age)) => {
            let served = Served { value: Some(held), source: Source::Fresh, age };
            Entered::Hit { served, refresh: None }
        }
        None => enter_alone(inner, hash, key, wants, can_refresh),
    }
}

/// As [`enter`], for who has had a [`glance`].
pub(crate) fn enter_alone<K, V>(
    inner: &Arc<Inner<K, V>>,
    hash: u64,
    key: K,
    wants: Wants,
    can_refresh: fn() -> bool,
) -> Entered<K, V>
where
    K: Hash + Eq + Send + Sync + 'static,
    V: Clone + Send + Sync + 'static,
{
    let (rules, generations) = (inner.rules(), inner.generations());
    let lookup = Lookup::new(hash, &key);
    let now = inner.now();
    let judge = inner.judge(now);
    let mut shard = inner.shard(hash).lock();
    // Most that come here find nothing, and search once.
    let is_held = shard.core.entries.hit(&lookup).is_some();
    let buried = if is_held { shard.bury(inner.budget(), &judge, &lookup) } else { None };
    let core = &mut *shard.core;
    let entry = if is_held && buried.is_none() { core.entries.peek(&lookup) } else { None };
    if let Some(entry) = entry {
        entry.touch(now);
    }
    let state = entry.map_or(State::Nothing, |entry| entry.state(rules));
    let step = match on_call(now, state, wants, core.flights.find(hash, &key).is_some()) {
        Step::ServeAndRefresh(source) if !can_refresh() => Step::Serve(source),
        step => step,
    };
    let serve = |source| {
        let (value, age) = entry.map_or((None, None), |entry| (entry.held(), entry.age(now)));
        Served { value, source, age }
    };
    let missed = buried.as_ref().map_or_else(|| cause(state), |buried| buried.0.cause());
    let entered = match step {
        Step::Serve(source) => {
            core.counts.hit(source);
            Entered::Hit { served: serve(source), refresh: None }
        }
        Step::ServeAndRefresh(source) => {
            let served = serve(source);
            core.counts.hit(source);
            core.counts.refreshes += 1;
            let flight = open(inner, &mut core.flights, hash, key, Some(wants));
            core.counts.loads += 1;
            Entered::Hit { served, refresh: Some(flight) }
        }
        Step::Join => match core.flights.find(hash, &key) {
            Some(slot) => {
                core.counts.miss(missed);
                core.counts.coalesced += 1;
                let landing = Arc::clone(&slot.lead.landing);
                Entered::Join(Joined { landing, came: generations.current(), key })
            }
            None => lead(inner, core, hash, key, wants, missed),
        },
        Step::Load => lead(inner, core, hash, key, wants, missed),
    };
    drop(shard);
    if let Some(buried) = &buried {
        inner.tell_buried(buried);
    }
    tell(inner, entered, missed)
}

fn lead<K, V>(
    inner: &Arc<Inner<K, V>>,
    core: &mut Core<K, V>,
    hash: u64,
    key: K,
    wants: Wants,
    missed: MissCause,
) -> Entered<K, V>
where
    K: Hash + Eq + Send + Sync + 'static,
    V: Clone + Send + Sync + 'static,
{
    core.counts.miss(missed);
    core.counts.loads += 1;
    Entered::Lead(open(inner, &mut core.flights, hash, key, Some(wants)))
}

/// Opens the load of a key.
fn open<K, V>(
    inner: &Arc<Inner<K, V>>,
    flights: &mut FlightTable<K, V>,
    hash: u64,
    key: K,
    tier_may: Option<Wants>,
) -> Flight<K, V>
where
    K: Hash + Eq + Send + Sync + 'static,
    V: Clone + Send + Sync + 'static,
{
    // Read under the lock, so that a sweep which has seen this shard has seen every older load.
    let seq = inner.generations().current();
    let lead = Arc::new(Lead { key, landing: Arc::new(Landing::new()) });
    flights.add(Slot { hash, seq, lead: Arc::clone(&lead) });
    Flight::new(Arc::clone(inner), hash, seq, lead, tier_may)
}

/// Opens a load of a key whatever is held or under way: who waits for an older load is still served
/// by it, but it is not stored.
pub(crate) fn open_anew<K, V>(inner: &Arc<Inner<K, V>>, hash: u64, key: K) -> Flight<K, V>
where
    K: Hash + Eq + Send + Sync + 'static,
    V: Clone + Send + Sync + 'static,
{
    let mut shard = inner.shard(hash).lock();
    let core = &mut *shard.core;
    core.flights.detach(hash, &key);
    core.counts.loads += 1;
    let mut flight = open(inner, &mut core.flights, hash, key, None);
    drop(shard);
    flight.begin();
    inner.emit(CacheEvent::LoadStarted);
    flight
}

/// Tells of what a call met, after the lock.
fn tell<K, V>(inner: &Inner<K, V>, mut entered: Entered<K, V>, missed: MissCause) -> Entered<K, V>
where
    K: Hash + Eq + Send + Sync + 'static,
    V: Clone + Send + Sync + 'static,
{
    match &mut entered {
        Entered::Hit { served, refresh } => {
            inner.emit_quietly(hit_event(served.source));
            if let Some(flight) = refresh {
                flight.begin();
                inner.emit(CacheEvent::RefreshStarted);
            }
        }
        Entered::Join(_) => {
            inner.emit_quietly(CacheEvent::Miss { cause: missed });
            inner.emit(CacheEvent::Coalesced);
        }
        Entered::Lead(flight) => {
            inner.emit_quietly(CacheEvent::Miss { cause: missed });
            flight.begin();
            inner.emit(CacheEvent::LoadStarted);
        }
    }
    entered
}

pub(crate) const fn hit_event(source: Source) -> CacheEvent {
    match source {
        Source::Negative => CacheEvent::HitNegative,
        source if source.is_stale() => CacheEvent::HitStale { source },
        _ => CacheEvent::Hit,
    }
}

/// Returns why an entry that is still there does not serve.
const fn cause(state: State) -> MissCause {
    match state {
        State::Nothing | State::Absence(_) => MissCause::Absent,
        State::Value(_) => MissCause::Expired,
    }
}

/// Returns what a caller that has waited long enough for this load is given instead, if anything.
pub(crate) fn instead<K, V>(inner: &Inner<K, V>, hash: u64, landing: &Arc<Landing<V>>) -> Option<Served<V>>
where
    K: Hash + Eq + Send + Sync + 'static,
    V: Clone + Send + Sync + 'static,
{
    let now = inner.now();
    let core = inner.shard(hash).read();
    let key = core.flights.key_of(hash, landing)?;
    core.entries.examine(&Lookup::new(hash, key), |key, entry| {
        if entry.end(&inner.judge(now), key).is_some() {
            return None;
        }
        let source = on_wait(now, entry.state(inner.rules()))?;
        Some(Served { value: entry.held(), source, age: entry.age(now) })
    })?
}

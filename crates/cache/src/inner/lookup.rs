//! Lookups: the straight way of most, and the general one.

use std::borrow::Borrow;
use std::hash::Hash;
use std::sync::Arc;

use super::Inner;
use crate::counters::Counter;
use crate::entry::Judge;
use crate::observer::{CacheEvent, MissCause};
use crate::policy::{Lookup, Policy as _};
use crate::shard::{Buried, Found, Glance, Shard};

impl<K, V> Inner<K, V>
where
    K: Hash + Eq + Send + Sync + 'static,
    V: Clone + Send + Sync + 'static,
{
    /// Looks a key up, straight on where only the entry is to be asked, which is nearly always. What is there and
    /// not served so (limited in its idle time, invalidated or doubtful, stale, without a value) is looked up again.
    ///
    /// Written for few instructions, since they are most of what a hit costs: the general way takes half as
    /// many again.
    #[inline]
    pub(crate) fn get<Q>(&self, key: &Q) -> Option<V>
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        let lookup = Lookup::new(self.hash(key), key);
        let Some(clock) = &self.plain else { return self.look_up(&lookup) };
        let core = self.shard(lookup.hash()).read();
        let Some(hot) = core.entries.find(&lookup) else {
            drop(core);
            self.counters.add(Counter::Absent);
            return None;
        };
        let serves = || hot.serve(self.generations.newest(), || clock.tick());
        if let Some(value) = hot.in_place() {
            if serves() {
                let value = value.clone();
                drop(core);
                self.count_hit();
                return Some(value);
            }
        } else if let Some(shared) = hot.shared()
            && serves()
        {
            let shared = Arc::clone(shared);
            drop(core);
            self.count_hit();
            return Some(Arc::unwrap_or_clone(shared));
        }
        drop(core);
        self.look_up(&lookup)
    }

    /// Looks a key up in any cache, whatever is to be done for it.
    #[inline(never)]
    fn look_up<Q>(&self, lookup: &Lookup<'_, Q>) -> Option<V>
    where
        K: Borrow<Q>,
        Q: Eq + ?Sized,
    {
        self.asked(lookup.hash());
        let moment = self.moment();
        let shard = self.shard(lookup.hash());
        let glance = shard.glance(lookup, |key, entry| {
            let judge = self.judge(moment.for_entry(entry.hot));
            let held = if entry.is_live(&judge, key) { entry.held() } else { None }?;
            entry.touch(judge.now);
            self.count_hit();
            Some(held)
        });
        match glance {
            Glance::Took(held) => {
                self.emit_quietly(CacheEvent::Hit);
                Some(held.into_value())
            }
            Glance::Absent => {
                self.tell_miss(Found::Absent);
                None
            }
            Glance::Unsure => self.look_up_alone(shard, lookup, &self.judge(self.now())),
        }
    }

    /// Looks a key up where that moves its entry or takes it out.
    fn look_up_alone<Q>(&self, shard: &Shard<K, V>, lookup: &Lookup<'_, Q>, judge: &Judge<'_, K>) -> Option<V>
    where
        K: Borrow<Q>,
        Q: Eq + ?Sized,
    {
        let found = shard.lock().look_up(&self.budget, judge, lookup);
        match found {
            Found::Live(held) => {
                self.count_hit();
                self.emit_quietly(CacheEvent::Hit);
                Some(held.into_value())
            }
            missing => {
                self.tell_miss(missing);
                None
            }
        }
    }

    #[inline]
    pub(crate) fn count_hit(&self) {
        self.counters.add(Counter::Hits);
    }

    /// Tells of a lookup that was not served, counts it if nothing was there, and drops what it found
    /// at its end.
    fn tell_miss(&self, found: Found<K, V>) {
        let cause = match found {
            Found::Gone(buried) => self.tell_buried(&buried),
            Found::Stale => MissCause::Expired,
            Found::Absent | Found::Live(_) => {
                self.counters.add(Counter::Absent);
                MissCause::Absent
            }
        };
        self.emit_quietly(CacheEvent::Miss { cause });
    }

    /// Tells of an entry that a lookup took out, and returns what the lookup counts as.
    pub(crate) fn tell_buried(&self, buried: &Buried<K, V>) -> MissCause {
        let (why, (_, entry)) = &**buried;
        self.emit(why.event(entry.weight()));
        why.cause()
    }

    pub(crate) fn contains<Q>(&self, key: &Q) -> bool
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        let hash = self.hash(key);
        let judge = self.judge(self.now());
        let core = self.shard(hash).read();
        core.entries.examine(&Lookup::new(hash, key), |key, entry| entry.is_live(&judge, key)).unwrap_or(false)
    }
}

#[cfg(all(test, not(miri)))]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::{Cache, CacheBuilder, CacheEvent, EvictionPolicy, ManualClock, Observer};

    #[derive(Debug)]
    struct Listener;

    impl Observer for Listener {
        fn on_event(&self, _: &str, _: &CacheEvent) {}
    }

    #[test]
    fn lookups_go_straight_on_unless_there_is_more_to_do() {
        let new = || Cache::<u64, u64>::builder("straight");
        let is_plain = |builder: CacheBuilder<u64, u64>| builder.build().unwrap().inner.plain.is_some();
        assert!(is_plain(new()) && is_plain(new().ttl(Duration::from_secs(1)).seed(1)));
        assert!(!is_plain(new().policy(EvictionPolicy::Lru)) && !is_plain(new().clock(Arc::new(ManualClock::new()))));
        assert!(!is_plain(new().observer(Listener)) && !is_plain(new().time_to_idle(Duration::from_secs(1))));
        assert!(!is_plain(new().advisor(crate::AdvisorConfig::default())));
    }
}

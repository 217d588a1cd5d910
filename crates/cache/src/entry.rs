//! What is stored.

use std::sync::Arc;
use std::time::Duration;

use crate::engine::{Rules, State, Times};
use crate::expiry::{Deadline, Idle, Life, Mark, Tick};
use crate::held::Held;
use crate::invalidation::{Generations, Tag};
use crate::outgoing::Why;
use crate::sync::{AtomicU32, Ordering};

/// A stored value with what the cache must know of it.
///
/// In two parts, which a store may keep apart: what every hit reads, small, so that the entries which
/// are in use fit into the caches of the processor; and the rest.
#[derive(Debug)]
pub(crate) struct Entry<V> {
    pub(crate) hot: Hot<V>,
    pub(crate) cold: Cold,
}

/// What every hit reads. With a value of eight bytes it is three words.
#[derive(Debug)]
pub(crate) struct Hot<V> {
    slot: Slot<V>,
    /// Served as fresh before it.
    pub(crate) fresh: Deadline,
}

/// The value, with what fits into the padding before it: the policy's mark, and the generation up to
/// which the entry was found true, zero if it is beyond this count. Nobody needs to compare it before a
/// newer one is opened.
#[derive(Debug)]
enum Slot<V> {
    InPlace(Mark, AtomicU32, V),
    Shared(Mark, AtomicU32, Arc<V>),
    /// The key is known to be absent.
    Absent(Mark, AtomicU32),
}

/// What few lookups ask for.
#[derive(Debug, Default)]
pub(crate) struct Cold {
    /// The generation in which the value began to be true: for a load that of its start.
    seq: u64,
    /// What few entries have.
    extra: Option<Box<Extra>>,
    weight: u32,
    pub(crate) life: Life,
    idle: Idle,
}

/// What is left of an entry that gave way: only to be told of and dropped.
#[derive(Debug)]
pub(crate) struct Remains<V> {
    weight: u32,
    #[cfg_attr(not(test), expect(dead_code, reason = "kept to be dropped"))]
    held: Option<Held<V>>,
    _extra: Option<Box<Extra>>,
}

/// An entry where it lies.
#[derive(Debug)]
pub(crate) struct View<'a, V> {
    pub(crate) hot: &'a Hot<V>,
    pub(crate) cold: &'a Cold,
}

/// An entry where it lies, to be changed.
#[derive(Debug)]
pub(crate) struct ViewMut<'a, V> {
    pub(crate) hot: &'a mut Hot<V>,
    pub(crate) cold: &'a mut Cold,
}

#[derive(Debug, Default)]
pub(crate) struct Extra {
    pub(crate) tags: Box<[Tag]>,
    /// The end of stale-while-revalidate, where it is not the cache's.
    pub(crate) revalidate: Option<Deadline>,
    /// The end of all stale use, where it is not the cache's.
    pub(crate) keep: Option<Deadline>,
    /// For how long it is given after its end when loads fail, where that is not the cache's to say.
    pub(crate) on_error: Option<Duration>,
    /// No refresh begins before it, since the last one failed.
    pub(crate) retry: Option<Deadline>,
    /// When it began to be true, in the order of all nodes.
    #[cfg(feature = "remote")]
    pub(crate) stamp: Option<crate::remote::Stamp>,
}

/// By what an entry is judged at one moment.
#[derive(Debug)]
pub(crate) struct Judge<'a, K> {
    pub(crate) generations: &'a Generations<K>,
    pub(crate) rules: &'a Rules,
    pub(crate) now: Tick,
}

impl<V> Entry<V> {
    /// Makes an entry. None is heavier than 4 GiB: the settings see to it.
    #[inline]
    pub(crate) fn new(
        held: Option<Held<V>>,
        weight: u64,
        fresh: Deadline,
        idle: Idle,
        life: Life,
        extra: Option<Box<Extra>>,
    ) -> Self {
        let weight = u32::try_from(weight).unwrap_or(u32::MAX);
        let (mark, true_up_to) = (Mark::of(&idle), AtomicU32::new(0));
        let slot = match held {
            Some(Held::InPlace(value)) => Slot::InPlace(mark, true_up_to, value),
            Some(Held::Shared(value)) => Slot::Shared(mark, true_up_to, value),
            None => Slot::Absent(mark, true_up_to),
        };
        Self { hot: Hot { slot, fresh }, cold: Cold { seq: 0, extra, weight, life, idle } }
    }

    #[inline]
    pub(crate) const fn view(&self) -> View<'_, V> {
        View { hot: &self.hot, cold: &self.cold }
    }

    #[inline]
    pub(crate) const fn view_mut(&mut self) -> ViewMut<'_, V> {
        ViewMut { hot: &mut self.hot, cold: &mut self.cold }
    }

    #[inline]
    pub(crate) const fn weight(&self) -> u64 {
        self.cold.weight()
    }

    pub(crate) fn tags(&self) -> &[Tag] {
        self.cold.tags()
    }

    /// Sets the generation in which it began to be true.
    #[inline]
    pub(crate) fn begin_in(&mut self, seq: u64) {
        self.view_mut().begin_in(seq);
    }

    #[inline]
    pub(crate) fn into_held(self) -> Option<Held<V>> {
        self.hot.into_held()
    }

    /// Returns the value where it lies.
    #[cfg(test)]
    pub(crate) fn value(&self) -> &V {
        self.view().value()
    }
}

impl<V> Hot<V> {
    #[inline]
    fn into_held(self) -> Option<Held<V>> {
        match self.slot {
            Slot::InPlace(_, _, value) => Some(Held::InPlace(value)),
            Slot::Shared(_, _, value) => Some(Held::Shared(value)),
            Slot::Absent(..) => None,
        }
    }

    #[inline]
    pub(crate) const fn mark(&self) -> &Mark {
        match &self.slot {
            Slot::InPlace(mark, ..) | Slot::Shared(mark, ..) | Slot::Absent(mark, _) => mark,
        }
    }

    #[inline]
    const fn true_up_to(&self) -> &AtomicU32 {
        match &self.slot {
            Slot::InPlace(_, up_to, _) | Slot::Shared(_, up_to, _) | Slot::Absent(_, up_to) => up_to,
        }
    }

    /// Notes up to which generation it is true; one that does not fit is none.
    #[inline]
    fn is_true_up_to(&self, generation: u64) {
        self.true_up_to().store(u32::try_from(generation).unwrap_or(0), Ordering::Relaxed);
    }

    #[inline]
    pub(crate) const fn has_value(&self) -> bool {
        !matches!(self.slot, Slot::Absent(..))
    }

    /// Returns the value where it lies.
    #[cfg(test)]
    pub(crate) fn value(&self) -> &V {
        match &self.slot {
            Slot::InPlace(_, _, value) => value,
            Slot::Shared(_, _, value) => value,
            Slot::Absent(..) => panic!("no value"),
        }
    }

    /// Tells of one with a value whether that can be served as fresh, and counts the hit if so. What is limited in its
    /// idle time or older than the newest generation is for a closer look: then it says no.
    #[inline]
    pub(crate) fn serve(&self, newest: u64, now: impl FnOnce() -> Tick) -> bool {
        debug_assert!(self.has_value());
        let serves = !self.mark().is_limited()
            && u64::from(self.true_up_to().load(Ordering::Relaxed)) >= newest
            && (self.fresh == Deadline::NEVER || !self.fresh.has_passed(now()));
        if serves {
            self.mark().hit();
        }
        serves
    }

    /// Returns the value, if it lies here.
    #[inline]
    pub(crate) const fn in_place(&self) -> Option<&V> {
        match &self.slot {
            Slot::InPlace(_, _, value) => Some(value),
            Slot::Shared(..) | Slot::Absent(..) => None,
        }
    }

    /// Returns the handle of the value, if that is kept so.
    #[inline]
    pub(crate) const fn shared(&self) -> Option<&Arc<V>> {
        match &self.slot {
            Slot::Shared(_, _, value) => Some(value),
            Slot::InPlace(..) | Slot::Absent(..) => None,
        }
    }

    /// Tells whether it has a time to live or to idle.
    #[inline]
    pub(crate) fn can_end(&self) -> bool {
        self.fresh != Deadline::NEVER || self.mark().is_limited()
    }
}

impl<V> Remains<V> {
    #[inline]
    pub(crate) fn new(hot: Hot<V>, cold: &mut Cold) -> Self {
        Self { weight: cold.weight, held: hot.into_held(), _extra: cold.extra.take() }
    }

    #[inline]
    pub(crate) const fn weight(&self) -> u64 {
        self.weight as u64
    }

    #[cfg(test)]
    pub(crate) fn value(&self) -> &V {
        self.held.as_ref().expect("a value").value()
    }
}

impl<V> From<Entry<V>> for Remains<V> {
    #[inline]
    fn from(entry: Entry<V>) -> Self {
        let Entry { hot, mut cold } = entry;
        Self::new(hot, &mut cold)
    }
}

impl Cold {
    #[inline]
    pub(crate) const fn weight(&self) -> u64 {
        self.weight as u64
    }

    pub(crate) fn tags(&self) -> &[Tag] {
        self.extra.as_ref().map_or(&[], |extra| &*extra.tags)
    }

    pub(crate) fn extra_mut(&mut self) -> &mut Extra {
        self.extra.get_or_insert_default()
    }
}

impl<V> Clone for View<'_, V> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<V> Copy for View<'_, V> {}

impl<V> View<'_, V> {
    /// Returns when it began to be true, in the order of all nodes.
    #[cfg(feature = "remote")]
    pub(crate) fn stamp(self) -> Option<crate::remote::Stamp> {
        self.cold.extra.as_ref().and_then(|extra| extra.stamp)
    }

    /// Takes the value along, if there is one: a copy that runs none of the user's code.
    #[inline]
    pub(crate) fn held(self) -> Option<Held<V>>
    where
        V: Clone,
    {
        match &self.hot.slot {
            Slot::InPlace(_, _, value) => Some(Held::InPlace(value.clone())),
            Slot::Shared(_, _, value) => Some(Held::Shared(Arc::clone(value))),
            Slot::Absent(..) => None,
        }
    }

    /// Tells whether its time to idle is over.
    #[inline]
    fn is_idle(self, now: Tick) -> bool {
        self.hot.mark().is_limited() && self.cold.idle.has_passed(now)
    }

    /// Starts its idle time anew.
    #[inline]
    pub(crate) fn touch(self, now: Tick) {
        if self.hot.mark().is_limited() {
            self.cold.idle.touch(now);
        }
    }

    /// Tells whether neither its time to live nor its time to idle is over.
    #[inline]
    pub(crate) fn is_fresh(self, now: Tick) -> bool {
        !self.hot.fresh.has_passed(now) && !self.is_idle(now)
    }

    /// Tells whether nothing has to be compared with it.
    #[inline]
    pub(crate) fn is_up_to_date<K>(self, generations: &Generations<K>) -> bool {
        u64::from(self.hot.true_up_to().load(Ordering::Relaxed)) >= generations.newest()
    }

    /// Tells whether an invalidation has made it untrue.
    #[inline]
    pub(crate) fn is_untrue<K>(self, generations: &Generations<K>, key: &K) -> bool {
        !self.is_up_to_date(generations) && self.compare(generations, key)
    }

    /// Compares with the tombstones, and notes up to which generation it was found true.
    #[cold]
    fn compare<K>(self, generations: &Generations<K>, key: &K) -> bool {
        if self.cold.seq >= generations.newest() {
            return false;
        }
        let (overtaken, up_to) = generations.compare(self.cold.seq, self.cold.tags(), key);
        // A doubt is no tombstone: what is older is looked at each time until it is stale. Asked after the
        // comparison, or one that comes in between would be passed over.
        if overtaken == 0 && self.cold.seq >= generations.suspected() {
            self.hot.is_true_up_to(up_to);
        }
        overtaken != 0
    }

    /// Tells whether and why it can never be served again.
    pub(crate) fn end<K>(self, judge: &Judge<'_, K>, key: &K) -> Option<Why> {
        if self.is_untrue(judge.generations, key) {
            Some(Why::Invalidated)
        } else {
            self.is_past_keeping(judge).then_some(Why::Expired)
        }
    }

    /// Tells whether it is not to be trusted any more, though it may be true.
    #[inline]
    pub(crate) fn is_doubtful<K>(self, generations: &Generations<K>) -> bool {
        !self.is_up_to_date(generations) && self.cold.seq < generations.suspected()
    }

    /// Tells whether it is not even kept for stale use any more. Nobody asks for what is idle.
    pub(crate) fn is_past_keeping<K>(self, judge: &Judge<'_, K>) -> bool {
        self.is_idle(judge.now) || self.keep(judge.rules).has_passed(judge.now)
    }

    /// Tells whether it can be served as fresh.
    #[inline]
    pub(crate) fn is_live<K>(self, judge: &Judge<'_, K>, key: &K) -> bool {
        self.hot.has_value() && self.is_fresh(judge.now) && self.is_trusted(judge.generations, key)
    }

    #[inline]
    fn is_trusted<K>(self, generations: &Generations<K>, key: &K) -> bool {
        self.is_up_to_date(generations) || !self.is_doubtful(generations) && !self.is_untrue(generations, key)
    }

    /// Returns what the engine decides from.
    pub(crate) fn state(self, rules: &Rules) -> State {
        let times = self.times(rules);
        if self.hot.has_value() { State::Value(times) } else { State::Absence(times) }
    }

    /// Returns when it was stored, where that is known.
    #[inline]
    pub(crate) fn born(self) -> Option<Tick> {
        if self.hot.fresh == Deadline::NEVER { None } else { self.cold.life.beginning(self.hot.fresh) }
    }

    /// Returns for how long it has been stored, where that is known.
    #[inline]
    pub(crate) fn age(self, now: Tick) -> Option<Duration> {
        self.born().map(|born| now.since(born))
    }

    /// Returns the points at which something changes for this entry.
    pub(crate) fn times(self, rules: &Rules) -> Times {
        let extra = self.cold.extra.as_ref();
        let (revalidate, retry) = extra.map_or((None, None), |extra| (extra.revalidate, extra.retry));
        let (fresh, keep) = (self.hot.fresh, self.keep(rules));
        let swr = || match rules.stale_while_revalidate {
            Some(window) if self.hot.has_value() => fresh.plus(window).min(keep),
            _ => fresh,
        };
        Times { eager: self.eager(rules), fresh, revalidate: revalidate.unwrap_or_else(swr), keep, retry }
    }

    /// Returns the point until which it is kept for stale use; the end of `fresh` if there is none.
    pub(crate) fn keep(self, rules: &Rules) -> Deadline {
        match self.cold.extra.as_ref().and_then(|extra| extra.keep) {
            Some(keep) => keep,
            None if self.hot.has_value() => self.hot.fresh.plus(rules.stale_use()),
            None => self.hot.fresh,
        }
    }

    /// Returns the point from which on a read refreshes the entry although it is fresh.
    #[inline]
    pub(crate) fn eager(self, rules: &Rules) -> Deadline {
        let fresh = self.hot.fresh;
        match rules.eager_refresh {
            Some(share) if self.hot.has_value() => self.born().map_or(fresh, |born| fresh.share_since(born, share)),
            _ => fresh,
        }
    }
}

#[cfg(feature = "snapshot")]
impl<'a, V> View<'a, V> {
    pub(crate) fn tags(self) -> &'a [Tag] {
        self.cold.tags()
    }
}

#[cfg(test)]
impl<'a, V> View<'a, V> {
    /// Returns the value where it lies.
    pub(crate) fn value(self) -> &'a V {
        self.hot.value()
    }
}

impl<V> ViewMut<'_, V> {
    pub(crate) const fn view(&self) -> View<'_, V> {
        View { hot: self.hot, cold: self.cold }
    }

    #[inline]
    fn begin_in(&mut self, seq: u64) {
        self.cold.seq = seq;
        self.hot.is_true_up_to(seq);
    }

    /// Makes it stale, in the generation of the doubt that it was compared with. Tells whether it is of any
    /// use yet.
    pub(crate) fn doubt<K>(&mut self, judge: &Judge<'_, K>, suspected: u64) -> bool {
        let is_kept = self.expire(judge.rules, judge.now);
        if is_kept {
            self.begin_in(self.cold.seq.max(suspected));
        }
        is_kept
    }

    /// Ends its time to live now; it is kept for the case of an error, and never longer than it was
    /// anyway. Tells whether it is of any use yet.
    pub(crate) fn expire(&mut self, rules: &Rules, now: Tick) -> bool {
        let own = self.cold.extra.as_ref().and_then(|extra| extra.on_error);
        let window = own.or(rules.stale_if_error).filter(|window| self.hot.has_value() && !window.is_zero());
        let Some(window) = window else { return false };
        let (end, keep) = (now.deadline(), self.view().keep(rules));
        if !self.hot.fresh.has_passed(now) {
            self.cold.life = self.view().born().map_or(Life::UNKNOWN, |born| Life::new(now.since(born)));
            self.hot.fresh = end;
        }
        let extra = self.cold.extra_mut();
        extra.keep = Some(keep.min(end.plus(window)));
        extra.revalidate = Some(end);
        extra.retry = None;
        true
    }
}

impl Extra {
    /// Returns what the box and its tags take, as part of an entry's weight.
    pub(crate) fn bytes(tags: &[Tag]) -> u64 {
        let tags = tags.iter().fold(0, |sum, tag| sum + size_of::<Tag>() + tag.as_str().len());
        u64::try_from(size_of::<Self>() + tags).unwrap_or(u64::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::held::Keeping;

    #[test]
    fn what_needs_a_closer_look_is_not_served_straight_on() {
        let second = Duration::from_secs(1);
        let entry = |fresh, idle, seq| {
            let held = Held::new(7, Keeping::InPlace);
            let mut entry = Entry::new(Some(held), 1, fresh, Idle::new(Tick::ORIGIN, idle), Life::UNKNOWN, None);
            entry.begin_in(seq);
            entry
        };
        let end = Deadline::after(Tick::ORIGIN, second);
        let (now, late) = (Tick::from_duration(second / 2), Tick::from_duration(second));
        let serves = |entry: &Entry<u64>, newest, now| (entry.hot.serve(newest, || now), entry.hot.mark().hits());
        assert_eq!(serves(&entry(Deadline::NEVER, None, 3), 3, late), (true, 1));
        assert_eq!(serves(&entry(end, None, 3), 3, now), (true, 1));
        assert_eq!(serves(&entry(end, None, 3), 3, late), (false, 0));
        assert_eq!(serves(&entry(end, None, 3), 4, now), (false, 0));
        assert_eq!(serves(&entry(end, Some(second), 3), 3, now), (false, 0));
    }
}

//! Open traces and what became of those that ended, in several parts, so that the end of a trace waits for nobody.
//!
//! Which part a trace belongs to stands in its id. A trace that begins here gets an id of its thread's own part, so that
//! threads meet only where they work on the same trace, and one lock serves for its end.

use std::cell::Cell;
use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

use foldhash::fast::RandomState;
use parking_lot::{Mutex, MutexGuard};

use crate::ids::TraceId;
use crate::trace::buffer::{Decided, TraceBuffer};
use crate::trace::decision::KeepReason;
use crate::trace::segment::Segment;

/// A part: traces that are open, counts, and the segment that is being filled.
#[derive(Debug, Default)]
pub(crate) struct Lane {
    /// Ids come also from outside, so nobody must know where they stand.
    pub(crate) open: HashMap<TraceId, Arc<TraceBuffer>, RandomState>,
    /// From how many open traces on those of all lanes are counted.
    pub(crate) look_at: usize,
    /// Why traces that are over were kept, for spans that come late; the oldest is forgotten first.
    kept_for: HashMap<TraceId, KeepReason, RandomState>,
    order: VecDeque<TraceId>,
    pub(crate) segment: Segment,
    pub(crate) spans: u64,
    pub(crate) dropped_spans: u64,
    pub(crate) kept: u64,
    pub(crate) not_kept: u64,
    pub(crate) forgotten: u64,
}

impl Lane {
    /// Counts what ended, and what had to go for it.
    pub(crate) const fn count(&mut self, spans: u64, dropped_spans: u64, forgotten: u64) {
        self.spans += spans;
        self.dropped_spans += dropped_spans;
        self.forgotten += forgotten;
    }

    /// What was decided of a trace that is over. What was kept stays whole. What was not is looked at again: the late
    /// part may hold the error.
    pub(crate) fn recall(&self, id: TraceId) -> Decided {
        self.kept_for.get(&id).map_or(Decided::Open, |reason| Decided::Kept(*reason))
    }

    pub(crate) fn remember(&mut self, id: TraceId, decided: Decided) {
        // What was not kept is decided on anew, so there is nothing to remember.
        let Decided::Kept(reason) = decided else { return };
        if self.kept_for.insert(id, reason).is_none() {
            self.order.push_back(id);
        }
        if self.order.len() > REMEMBERED
            && let Some(oldest) = self.order.pop_front()
        {
            self.kept_for.remove(&oldest);
        }
    }
}

#[derive(Debug, Default)]
pub(crate) struct Lanes {
    first: Mutex<Lane>,
    rest: [Mutex<Lane>; LANES as usize - 1],
}

impl Lanes {
    pub(crate) const COUNT: usize = LANES as usize;

    /// A new random id that belongs to the lane of this thread. Where there are more threads than lanes, some share one.
    pub(crate) fn new_id() -> TraceId {
        // A thread that ends has no number any more.
        let number = NUMBER.try_with(|number| {
            if number.get() == u8::MAX {
                number.set(NEXT.fetch_add(1, Ordering::Relaxed) % LANES);
            }
            number.get()
        });
        TraceId::random_with(number.unwrap_or(0), LANES)
    }

    /// The lane of a trace.
    #[inline]
    pub(crate) fn of(&self, id: TraceId) -> &Mutex<Lane> {
        self.rest.get(usize::from(id.mark(LANES))).unwrap_or(&self.first)
    }

    pub(crate) fn all(&self) -> impl Iterator<Item = &Mutex<Lane>> {
        std::iter::once(&self.first).chain(&self.rest)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = MutexGuard<'_, Lane>> {
        self.all().map(Mutex::lock)
    }
}

const LANES: u8 = 16;
/// Decisions of a lane that late spans find.
const REMEMBERED: usize = 512;
static NEXT: AtomicU8 = AtomicU8::new(0);

thread_local! {
    static NUMBER: Cell<u8> = const { Cell::new(u8::MAX) };
}

#[cfg(test)]
mod tests {
    use std::hash::BuildHasher as _;

    use super::*;

    #[test]
    fn a_new_id_belongs_to_the_lane_of_its_thread() {
        let lanes = Lanes::default();
        let own = lanes.of(Lanes::new_id());
        for _ in 0..100 {
            let id = Lanes::new_id();
            assert!(std::ptr::eq(lanes.of(id), own));
            // What others sample by is random still.
            assert_ne!(id.to_u128() << 72, Lanes::new_id().to_u128() << 72);
        }
        for number in 0..LANES {
            let lane = lanes.of(TraceId::random_with(number, LANES));
            assert!(lanes.all().any(|one| std::ptr::eq(one, lane)));
        }
    }

    #[test]
    fn every_lane_has_ids_of_its_own() {
        let lanes = Lanes::default();
        let ids: Vec<TraceId> = (0..LANES).map(|number| TraceId::random_with(number, LANES)).collect();
        for (at, id) in ids.iter().enumerate() {
            assert_eq!(ids.iter().filter(|one| std::ptr::eq(lanes.of(**one), lanes.of(*id))).count(), 1, "{at}");
        }
    }

    /// A caller chooses the ids of traces.
    #[test]
    fn where_an_id_stands_is_not_the_same_twice() {
        let (one, two) = (Lane::default(), Lane::default());
        let id = Lanes::new_id();
        assert_ne!(one.open.hasher().hash_one(id), two.open.hasher().hash_one(id));
        assert_ne!(one.kept_for.hasher().hash_one(id), two.kept_for.hasher().hash_one(id));
    }

    #[test]
    fn decisions_to_keep_are_remembered_up_to_a_bound() {
        let mut lane = Lane::default();
        let ids: Vec<TraceId> = (0..REMEMBERED * 2).map(|_| Lanes::new_id()).collect();
        for id in &ids {
            lane.remember(*id, Decided::Kept(KeepReason::Error));
        }
        lane.remember(ids[0], Decided::NotKept);
        let remembered = |id: &&TraceId| lane.recall(**id) != Decided::Open;
        assert_eq!(ids.iter().filter(remembered).count(), REMEMBERED);
        assert_eq!(lane.recall(ids[ids.len() - 1]), Decided::Kept(KeepReason::Error));
    }
}

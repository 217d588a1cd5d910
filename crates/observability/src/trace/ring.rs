//! Finished traces in bounded memory: the oldest that were not kept go first.
//!
//! Nearly all traces are not kept, and each would be written over memory that was last touched when the one it replaces
//! ended, which costs more than all the rest of a span. So they are copied one after another into segments, each lane
//! into its own, and the rows that they came in, which the cache still has, serve the next trace. A segment that is full
//! goes to the shelf that all share, and leaves it as a whole.

use std::collections::VecDeque;
use std::sync::Arc;

use parking_lot::Mutex;

use crate::trace::buffer::{Rows, give_back};
use crate::trace::lane::Lanes;
use crate::trace::segment::Segment;

/// The recorder: segments that threads fill, and a shelf of what is full or kept.
#[derive(Debug)]
pub(crate) struct Ring {
    shelf: Mutex<Shelf>,
    /// What a segment may hold before it goes to the shelf.
    segment: usize,
    most: usize,
}

#[derive(Debug)]
struct Shelf {
    kept: VecDeque<(Arc<Rows>, usize)>,
    others: VecDeque<(Arc<Segment>, usize)>,
    bytes: usize,
    room: usize,
}

/// All that is held at one moment.
#[derive(Debug)]
pub(crate) struct Held {
    pub(crate) kept: Vec<Arc<Rows>>,
    pub(crate) others: Vec<Arc<Segment>>,
}

impl Ring {
    /// A ring of at most so many bytes, beside which so many segments are being filled.
    pub(crate) fn new(most: usize, filling: usize) -> Self {
        // Vectors may have grown to twice of what they hold.
        let segment = SEGMENT.min(most / (filling.max(1) * 4));
        let room = most.saturating_sub(segment * filling * 2);
        let shelf = Shelf { kept: VecDeque::new(), others: VecDeque::new(), bytes: 0, room };
        Self { shelf: Mutex::new(shelf), segment, most }
    }

    /// Adds a kept trace. Returns how many had to go.
    pub(crate) fn push_kept(&self, rows: Arc<Rows>) -> u64 {
        let bytes = rows.bytes();
        if bytes > self.most {
            give_back(rows);
            return 1;
        }
        let mut shelf = self.shelf.lock();
        shelf.bytes += bytes;
        shelf.kept.push_back((rows, bytes));
        shelf.make_room(&mut None)
    }

    /// Adds a trace that was not kept to a segment. Returns how many had to go.
    pub(crate) fn push(&self, filling: &mut Segment, rows: &mut Rows) -> u64 {
        if rows.bytes() > self.most {
            return 1;
        }
        if filling.append(rows) < self.segment {
            return 0;
        }
        let mut again = None;
        let mut shelf = self.shelf.lock();
        let full = std::mem::take(filling);
        let bytes = full.bytes();
        shelf.bytes += bytes;
        shelf.others.push_back((Arc::new(full), bytes));
        let gone = shelf.make_room(&mut again);
        drop(shelf);
        *filling = again.unwrap_or_default();
        gone
    }

    /// What is held, with the segments that are being filled; those who fill wait as long.
    pub(crate) fn held(&self, filling: &Lanes) -> Held {
        let lanes: Vec<_> = filling.iter().collect();
        let current: Vec<_> = lanes.iter().map(|lane| Arc::new(lane.segment.clone())).collect();
        let shelf = self.shelf.lock();
        let kept = shelf.kept.iter().map(|(rows, _)| Arc::clone(rows)).collect();
        let full = shelf.others.iter().map(|(segment, _)| Arc::clone(segment));
        Held { kept, others: full.chain(current).collect() }
    }

    /// What the shelf holds of memory.
    pub(crate) fn bytes(&self) -> usize {
        self.shelf.lock().bytes
    }
}

impl Shelf {
    /// Lets go of what is beyond the room, and hands a segment out to be used again. Returns how many traces went.
    fn make_room(&mut self, again: &mut Option<Segment>) -> u64 {
        let mut gone = 0;
        while self.bytes > self.room {
            if let Some((segment, bytes)) = self.others.pop_front() {
                self.bytes -= bytes;
                gone += segment.len() as u64;
                // Whoever looks at it at this moment has it for himself then.
                if let Ok(mut segment) = Arc::try_unwrap(segment)
                    && bytes <= 4 * SEGMENT
                {
                    segment.clear();
                    *again = Some(segment);
                }
            } else if let Some((rows, bytes)) = self.kept.pop_front() {
                self.bytes -= bytes;
                gone += 1;
                give_back(rows);
            } else {
                break;
            }
        }
        gone
    }
}

/// Large enough that the shelf is seldom touched, small enough that little goes at once.
const SEGMENT: usize = 64 * 1024;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::ids::TraceId;
    use crate::trace::decision::KeepReason;

    fn kept(id: u128) -> Arc<Rows> {
        Arc::new(Rows { trace_id: TraceId::new(id), kept: Some(KeepReason::Error), ..Rows::default() })
    }

    fn ids(ring: &Ring, filling: &Segment) -> (Vec<u128>, Vec<u128>) {
        let held = ring.held(&Lanes::default());
        let number = |id: Option<TraceId>| id.map_or(0, TraceId::to_u128);
        let kept = held.kept.iter().map(|rows| number(rows.trace_id)).collect();
        let mut others = Vec::new();
        let mut note = |rows: &Rows| others.push(number(rows.trace_id));
        for segment in &held.others {
            segment.each(|_| true, &mut note);
        }
        filling.each(|_| true, &mut note);
        (kept, others)
    }

    proptest! {
        #[test]
        fn the_oldest_that_were_not_kept_go_first(which in prop::collection::vec(any::<bool>(), 1..400), most in 4_000_usize..40_000) {
            let ring = Ring::new(most, 1);
            let mut filling = Segment::default();
            let (mut pushed, mut gone) = ((Vec::new(), Vec::new()), 0);
            for (id, keep) in (1..).zip(which) {
                if keep {
                    gone += ring.push_kept(kept(id));
                    pushed.0.push(id);
                } else {
                    let mut rows = Rows { trace_id: TraceId::new(id), ..Rows::default() };
                    gone += ring.push(&mut filling, &mut rows);
                    pushed.1.push(id);
                }
                let (kept, others) = ids(&ring, &filling);
                // What is held are the latest of each kind, and none is lost that is not counted.
                prop_assert!(pushed.0.ends_with(&kept) && pushed.1.ends_with(&others));
                let held = kept.len() + others.len();
                prop_assert_eq!(held as u64 + gone, (pushed.0.len() + pushed.1.len()) as u64);
                prop_assert!(ring.bytes() + filling.bytes() <= most);
                // A kept one goes only when no full segment is left.
                let full = ring.shelf.lock().others.len();
                prop_assert!(kept.len() == pushed.0.len() || full == 0 || others.len() < pushed.1.len());
            }
        }
    }

    #[test]
    fn a_trace_larger_than_the_ring_is_not_taken() {
        let ring = Ring::new(8, 1);
        assert_eq!((ring.push_kept(kept(1)), ring.bytes()), (1, 0));
        let mut filling = Segment::default();
        assert_eq!((ring.push(&mut filling, &mut Rows::default()), filling.len()), (1, 0));
    }
}

//! Finished traces in bounded memory: the oldest that was not kept goes first.

use std::collections::VecDeque;
use std::sync::Arc;

use crate::trace::buffer::{Rows, give_back};

/// One part of the recorder; there are several, so that threads do not wait for one another.
#[derive(Debug)]
pub(crate) struct Ring {
    kept: VecDeque<(Arc<Rows>, usize)>,
    others: VecDeque<(Arc<Rows>, usize)>,
    bytes: usize,
    most: usize,
}

impl Ring {
    pub(crate) const fn new(most: usize) -> Self {
        Self { kept: VecDeque::new(), others: VecDeque::new(), bytes: 0, most }
    }

    /// Adds a trace. Returns how many had to go.
    pub(crate) fn push(&mut self, rows: Arc<Rows>) -> u64 {
        let bytes = rows.bytes();
        if bytes > self.most {
            give_back(rows);
            return 1;
        }
        self.bytes += bytes;
        let list = if rows.kept.is_some() { &mut self.kept } else { &mut self.others };
        list.push_back((rows, bytes));
        let mut gone = 0;
        while self.bytes > self.most
            && let Some((rows, bytes)) = self.others.pop_front().or_else(|| self.kept.pop_front())
        {
            self.bytes -= bytes;
            gone += 1;
            give_back(rows);
        }
        gone
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &Arc<Rows>> {
        self.kept.iter().chain(&self.others).map(|(rows, _)| rows)
    }

    pub(crate) const fn bytes(&self) -> usize {
        self.bytes
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::ids::TraceId;
    use crate::trace::decision::KeepReason;

    fn rows(id: u128, kept: bool) -> Arc<Rows> {
        let kept = kept.then_some(KeepReason::Error);
        Arc::new(Rows { trace_id: TraceId::new(id), kept, ..Rows::default() })
    }

    proptest! {
        #[test]
        fn the_oldest_that_was_not_kept_goes_first(kept in prop::collection::vec(any::<bool>(), 1..60), room in 1_usize..20) {
            let each = rows(1, true).bytes();
            let mut ring = Ring::new(each * room);
            let mut model: Vec<(u128, bool)> = Vec::new();
            for (id, kept) in (1..).zip(kept) {
                ring.push(rows(id, kept));
                model.push((id, kept));
                if model.len() > room {
                    let oldest = model.iter().position(|(_, kept)| !kept).unwrap_or(0);
                    model.remove(oldest);
                }
                let mut held: Vec<u128> = ring.iter().filter_map(|rows| rows.trace_id).map(TraceId::to_u128).collect();
                held.sort_unstable();
                prop_assert_eq!(held, model.iter().map(|(id, _)| *id).collect::<Vec<_>>());
                prop_assert!(ring.bytes() <= each * room);
            }
        }
    }

    #[test]
    fn a_trace_larger_than_the_ring_is_not_taken() {
        let mut ring = Ring::new(8);
        assert_eq!((ring.push(rows(1, true)), ring.iter().count(), ring.bytes()), (1, 0, 0));
    }
}

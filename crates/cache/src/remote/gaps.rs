//! Whether a notification went missing.

use std::collections::HashMap;

use super::NodeId;

/// Follows the sequences of the nodes that were heard.
///
/// It remembers as many nodes as it is told to and forgets the one it has not heard for longest. The
/// first word of a node cannot be missed: what it said before concerned a time before the
/// subscription, which ends with a suspicion anyway.
#[derive(Debug)]
pub struct GapDetector {
    heard: HashMap<NodeId, Heard>,
    capacity: usize,
    ticks: u64,
}

#[derive(Debug)]
struct Heard {
    sequence: u64,
    tick: u64,
}

/// How a notification follows on the one before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Sequence {
    /// It is the next one, or the first one of its node.
    InOrder,
    /// It, or a later one, was heard already.
    Repeated,
    /// So many before it were not heard.
    Missed(u64),
}

impl GapDetector {
    /// Makes a detector for at most so many nodes.
    pub fn new(capacity: usize) -> Self {
        Self { heard: HashMap::new(), capacity: capacity.max(1), ticks: 0 }
    }

    /// Takes note of a notification.
    pub fn hear(&mut self, node: NodeId, sequence: u64) -> Sequence {
        self.ticks += 1;
        let tick = self.ticks;
        if let Some(heard) = self.heard.get_mut(&node) {
            heard.tick = tick;
            if sequence <= heard.sequence {
                return Sequence::Repeated;
            }
            let missed = sequence - heard.sequence - 1;
            heard.sequence = sequence;
            return if missed == 0 { Sequence::InOrder } else { Sequence::Missed(missed) };
        }
        if self.heard.len() >= self.capacity {
            let oldest = self.heard.iter().min_by_key(|(_, heard)| heard.tick).map(|(node, _)| *node);
            if let Some(oldest) = oldest {
                self.heard.remove(&oldest);
            }
        }
        self.heard.insert(node, Heard { sequence, tick });
        Sequence::InOrder
    }

    /// Forgets all, after a gap that was dealt with.
    pub fn reset(&mut self) {
        self.heard.clear();
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_missing_one_is_told_once() {
        use Sequence::{InOrder, Missed, Repeated};

        let mut gaps = GapDetector::new(4);
        let node = NodeId::new(1);
        let verdicts = [5, 6, 9, 10, 8, 10, 11].map(|sequence| gaps.hear(node, sequence));
        assert_eq!(verdicts, [InOrder, InOrder, Missed(2), InOrder, Repeated, Repeated, InOrder]);
    }

    proptest! {
        #[test]
        fn the_missed_are_counted_per_node(words in prop::collection::vec((0_u64..3, any::<bool>()), 0..80)) {
            let mut gaps = GapDetector::new(3);
            let mut sent = [0_u64; 3];
            let mut pending = [0_u64; 3];
            for (node, arrives) in words {
                let at = usize::try_from(node).unwrap();
                sent[at] += 1;
                if !arrives {
                    // The first word of a node sets the count.
                    pending[at] += u64::from(gaps.heard.contains_key(&NodeId::new(node)));
                    continue;
                }
                let expected = if pending[at] == 0 { Sequence::InOrder } else { Sequence::Missed(pending[at]) };
                prop_assert_eq!(gaps.hear(NodeId::new(node), sent[at]), expected);
                pending[at] = 0;
            }
        }

        #[test]
        fn the_memory_is_bounded(nodes in prop::collection::vec(any::<u64>(), 0..100)) {
            let mut gaps = GapDetector::new(5);
            for node in nodes {
                gaps.hear(NodeId::new(node), 1);
                prop_assert!(gaps.heard.len() <= 5);
            }
        }
    }
}

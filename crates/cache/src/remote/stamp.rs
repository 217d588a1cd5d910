//! When something began to be true, comparable between nodes.
//!
//! A hybrid logical clock (Kulkarni et al., "Logical Physical Clocks", OPODIS 2014): wall-clock
//! milliseconds, a counter for what happens within one of them or while the wall clock runs backwards,
//! and the node as the last word, so that two stamps are never equal unless they are the same one. What
//! a node has seen, its next stamp exceeds, so cause comes before effect even between clocks that
//! disagree. A stamp from too far in the future is not believed: one node with a calendar of next year
//! would otherwise win every comparison until next year.

use std::fmt;
use std::time::Duration;

/// Names a node, for as long as its process lives.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NodeId(u64);

impl NodeId {
    /// Makes a name that no other node bears, by chance of one in 2⁶⁴.
    pub fn random() -> Self {
        Self(fastrand::u64(1..))
    }

    /// Takes a name that the caller vouches for.
    pub const fn new(id: u64) -> Self {
        Self(id)
    }

    /// Returns the number.
    pub const fn get(self) -> u64 {
        self.0
    }
}

impl fmt::Display for NodeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

/// A point in the order of all writes and invalidations of all nodes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Stamp {
    millis: u64,
    counter: u32,
    node: NodeId,
}

impl Stamp {
    /// How many bytes [`to_bytes`](Self::to_bytes) returns.
    pub const BYTES: usize = 20;

    /// Puts a stamp together; what a [`StampClock`] does for you.
    pub const fn new(millis: u64, counter: u32, node: NodeId) -> Self {
        Self { millis, counter, node }
    }

    /// Returns the wall-clock time in milliseconds since 1970.
    pub const fn millis(&self) -> u64 {
        self.millis
    }

    /// Returns the count within the millisecond.
    pub const fn counter(&self) -> u32 {
        self.counter
    }

    /// Returns the node it was made on.
    pub const fn node(&self) -> NodeId {
        self.node
    }

    /// Returns it as bytes, whose lexicographic order is the order of stamps.
    pub fn to_bytes(self) -> [u8; Self::BYTES] {
        let mut bytes = [0; Self::BYTES];
        let (millis, rest) = bytes.split_at_mut(8);
        let (counter, node) = rest.split_at_mut(4);
        millis.copy_from_slice(&self.millis.to_be_bytes());
        counter.copy_from_slice(&self.counter.to_be_bytes());
        node.copy_from_slice(&self.node.0.to_be_bytes());
        bytes
    }

    /// Reads what [`to_bytes`](Self::to_bytes) wrote.
    pub fn from_bytes(bytes: [u8; Self::BYTES]) -> Self {
        let number = |range: &[u8]| range.iter().fold(0_u64, |sum, byte| (sum << 8) | u64::from(*byte));
        let (millis, rest) = bytes.split_at(8);
        let (counter, node) = rest.split_at(4);
        let counter = u32::try_from(number(counter)).unwrap_or(u32::MAX);
        Self { millis: number(millis), counter, node: NodeId(number(node)) }
    }
}

/// A stamp from a future that this node does not believe in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("stamp is {ahead:?} ahead of this node's clock, {tolerated:?} is tolerated")]
#[non_exhaustive]
pub struct Skewed {
    /// How far ahead it is.
    pub ahead: Duration,
    /// How far ahead it may be.
    pub tolerated: Duration,
}

/// Makes stamps, each above all that this node made or saw.
#[derive(Debug)]
pub struct StampClock {
    node: NodeId,
    tolerated: u64,
    millis: u64,
    counter: u32,
}

impl StampClock {
    /// Makes the clock of a node that tolerates others to be so far ahead.
    pub fn new(node: NodeId, max_skew: Duration) -> Self {
        let tolerated = u64::try_from(max_skew.as_millis()).unwrap_or(u64::MAX);
        Self { node, tolerated, millis: 0, counter: 0 }
    }

    /// Returns the node's name.
    pub const fn node(&self) -> NodeId {
        self.node
    }

    /// Returns the latest time of a stamp that is believed now.
    pub const fn trusted_until(&self, wall: u64) -> u64 {
        let own = if self.millis > wall { self.millis } else { wall };
        own.saturating_add(self.tolerated)
    }

    /// Makes the next stamp.
    pub fn next(&mut self, wall: u64) -> Stamp {
        if wall > self.millis {
            (self.millis, self.counter) = (wall, 0);
        } else {
            self.step();
        }
        Stamp::new(self.millis, self.counter, self.node)
    }

    /// Takes note of a stamp made elsewhere.
    ///
    /// # Errors
    ///
    /// [`Skewed`] if it is from further in the future than is tolerated; it is not taken note of.
    pub fn observe(&mut self, stamp: Stamp, wall: u64) -> Result<(), Skewed> {
        // Against the wall alone: a chain of nodes, each a little ahead of the next, must not drag
        // this one along for ever.
        let ahead = stamp.millis.saturating_sub(wall);
        if ahead > self.tolerated {
            return Err(Skewed {
                ahead: Duration::from_millis(ahead),
                tolerated: Duration::from_millis(self.tolerated),
            });
        }
        if (stamp.millis, stamp.counter) > (self.millis, self.counter) {
            (self.millis, self.counter) = (stamp.millis, stamp.counter);
        }
        Ok(())
    }

    fn step(&mut self) {
        let (counter, carries) = self.counter.overflowing_add(1);
        self.counter = counter;
        self.millis = self.millis.saturating_add(u64::from(carries));
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn clock(node: u64) -> StampClock {
        StampClock::new(NodeId::new(node), Duration::from_secs(5))
    }

    #[test]
    fn stamps_rise_while_the_wall_clock_runs_backwards() {
        let mut clock = clock(1);
        let first = clock.next(1_000);
        let second = clock.next(10);
        let third = clock.next(1_001);
        assert!(first < second && second < third);
        assert_eq!(second.millis(), 1_000);
    }

    #[test]
    fn what_was_seen_is_exceeded_although_this_clock_is_behind() {
        let (mut ahead, mut behind) = (clock(9), clock(1));
        let seen = ahead.next(14_000);
        behind.observe(seen, 10_000).unwrap();
        assert!(behind.next(10_000) > seen);
    }

    #[test]
    fn the_far_future_is_not_believed() {
        let mut clock = clock(1);
        let mad = Stamp::new(u64::MAX, 0, NodeId::new(2));
        assert!(clock.observe(mad, 10_000).unwrap_err().ahead > Duration::from_secs(5));
        assert_eq!(clock.next(10_000).millis(), 10_000);
        assert_eq!(clock.trusted_until(10_000), 15_000);
    }

    #[test]
    fn an_exhausted_counter_carries() {
        let mut clock = clock(1);
        clock.observe(Stamp::new(7, u32::MAX, NodeId::new(2)), 7).unwrap();
        assert_eq!(clock.next(7), Stamp::new(8, 0, NodeId::new(1)));
    }

    proptest! {
        #[test]
        fn bytes_order_as_stamps_do(a: (u64, u32, u64), b: (u64, u32, u64)) {
            let [a, b] = [a, b].map(|(millis, counter, node)| Stamp::new(millis, counter, NodeId::new(node)));
            prop_assert_eq!(a.cmp(&b), a.to_bytes().cmp(&b.to_bytes()));
            prop_assert_eq!(Stamp::from_bytes(a.to_bytes()), a);
        }

        #[test]
        fn every_stamp_of_a_node_exceeds_all_it_made_and_saw(
            steps in prop::collection::vec((any::<bool>(), 0_u64..20_000, 0_u32..3), 1..60),
        ) {
            let mut clock = clock(5);
            let mut newest = None;
            for (sees, wall, counter) in steps {
                if sees {
                    let stamp = Stamp::new(wall + 3_000, counter, NodeId::new(6));
                    if clock.observe(stamp, wall).is_ok() {
                        newest = newest.max(Some((stamp.millis(), stamp.counter())));
                    }
                } else {
                    let stamp = clock.next(wall);
                    prop_assert!(newest < Some((stamp.millis(), stamp.counter())));
                    newest = Some((stamp.millis(), stamp.counter()));
                }
            }
        }
    }
}

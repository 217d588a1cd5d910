//! A discrete-event clock and the randomness of a simulated service.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::time::{Duration, Instant};

/// What is to happen, in the order of its time.
pub struct Events<E> {
    heap: BinaryHeap<Reverse<(Duration, u64, Slot<E>)>>,
    next: u64,
    origin: Instant,
    at: Duration,
}

/// An event that takes no part in the order.
struct Slot<E>(E);

impl<E> PartialEq for Slot<E> {
    fn eq(&self, _other: &Self) -> bool {
        true
    }
}
impl<E> Eq for Slot<E> {}
impl<E> PartialOrd for Slot<E> {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}
impl<E> Ord for Slot<E> {
    fn cmp(&self, _other: &Self) -> std::cmp::Ordering {
        std::cmp::Ordering::Equal
    }
}

impl<E> Events<E> {
    pub fn new() -> Self {
        let origin = tokio::time::Instant::now().into_std();
        Self { heap: BinaryHeap::new(), next: 0, origin, at: Duration::ZERO }
    }

    /// Plans `event` for `after` from now.
    pub fn after(&mut self, after: Duration, event: E) {
        self.next += 1;
        self.heap.push(Reverse((self.at + after, self.next, Slot(event))));
    }

    /// Moves on to the next event before `end`.
    pub fn pop(&mut self, end: Duration) -> Option<E> {
        let Reverse((at, _, Slot(event))) = self.heap.pop()?;
        if at >= end {
            return None;
        }
        self.at = at;
        Some(event)
    }

    /// The time since the start.
    pub fn at(&self) -> Duration {
        self.at
    }

    /// The same as an instant, for the decisions under test.
    pub fn now(&self) -> Instant {
        self.origin + self.at
    }
}

/// Draws a duration of an exponential distribution with this mean.
pub fn exponential(random: &mut fastrand::Rng, mean: Duration) -> Duration {
    mean.mul_f64(-(1.0 - random.f64()).ln())
}

/// Returns the value below which the share `quantile` of the values lies.
pub fn quantile(values: &mut [Duration], quantile: f64) -> Duration {
    values.sort_unstable();
    let rank = (values.len() as f64 * quantile).ceil() as usize;
    values[rank.clamp(1, values.len()) - 1]
}

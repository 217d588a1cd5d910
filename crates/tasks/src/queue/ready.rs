use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

/// How soon a task gets a worker, compared with the others.
///
/// Among equals the one that came first goes first. Waiting raises a task by one level per
/// [`age_after`](crate::PoolConfig::age_after), so that nothing starves.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Priority {
    /// When nothing else is to be done.
    Low,
    /// The usual.
    #[default]
    Normal,
    /// Somebody waits.
    High,
    /// Before everything else.
    Critical,
}

/// What waits for a worker, in order; pure, so that time is an argument.
///
/// One ordered map per priority rather than a heap: removing from the middle, which a cancel needs, is as cheap
/// as taking from the front, and the oldest of each priority is at hand for ageing.
#[derive(Debug, Clone)]
pub struct ReadyQueue<P> {
    lanes: [BTreeMap<u64, Waiting<P>>; LANES],
    next: u64,
    len: usize,
    age_after: Duration,
}

#[derive(Debug, Clone)]
struct Waiting<P> {
    since: Instant,
    item: P,
}

/// The place of one item in a [`ReadyQueue`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Ticket {
    lane: u8,
    number: u64,
}

const LANES: usize = 4;

impl<P> ReadyQueue<P> {
    /// Creates an empty queue in which waiting for `age_after` raises an item by one priority; zero means that it
    /// never does.
    #[must_use]
    pub const fn new(age_after: Duration) -> Self {
        Self { lanes: [const { BTreeMap::new() }; LANES], next: 0, len: 0, age_after }
    }

    /// Puts `item` behind its equals.
    pub fn push(&mut self, now: Instant, priority: Priority, item: P) -> Ticket {
        let number = self.next;
        self.next += 1;
        let lane = priority as u8;
        if let Some(waiting) = self.lanes.get_mut(usize::from(lane)) {
            waiting.insert(number, Waiting { since: now, item });
            self.len += 1;
        }
        Ticket { lane, number }
    }

    /// Takes the next item and how long it waited.
    pub fn pop(&mut self, now: Instant) -> Option<(P, Duration)> {
        let lane = self.next_lane(now)?;
        let (_, first) = self.lanes.get_mut(lane)?.pop_first()?;
        self.len -= 1;
        let waited = now.saturating_duration_since(first.since);
        Some((first.item, waited))
    }

    /// Takes one item out of its place, if it still waits.
    pub fn remove(&mut self, ticket: Ticket) -> Option<P> {
        let lane = self.lanes.get_mut(usize::from(ticket.lane))?;
        let waiting = lane.remove(&ticket.number)?;
        self.len -= 1;
        Some(waiting.item)
    }

    /// Takes everything, the most urgent first.
    pub fn drain(&mut self) -> Vec<P> {
        self.len = 0;
        self.lanes.iter_mut().rev().flat_map(std::mem::take).map(|(_, waiting)| waiting.item).collect()
    }

    /// Returns how many items wait.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.len
    }

    /// Says whether nothing waits.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Returns how long the item that came first has waited.
    #[must_use]
    pub fn oldest(&self, now: Instant) -> Option<Duration> {
        self.heads().map(|(_, _, first)| now.saturating_duration_since(first.since)).max()
    }

    /// The lane whose first item has the highest level by now; of equal levels the one that came first.
    fn next_lane(&self, now: Instant) -> Option<usize> {
        self.heads()
            .max_by_key(|(lane, number, first)| {
                let waited = now.saturating_duration_since(first.since).as_nanos();
                let raised = waited.checked_div(self.age_after.as_nanos()).unwrap_or_default();
                let level = raised.saturating_add(u128::from(u8::try_from(*lane).unwrap_or(0)));
                (level, std::cmp::Reverse(*number))
            })
            .map(|(lane, ..)| lane)
    }

    fn heads(&self) -> impl Iterator<Item = (usize, u64, &Waiting<P>)> {
        self.lanes
            .iter()
            .enumerate()
            .filter_map(|(lane, waiting)| waiting.first_key_value().map(|(number, first)| (lane, *number, first)))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const AGE: u64 = 50;

    #[derive(Debug, Clone)]
    enum Step {
        Push(Priority),
        Pop,
        Remove(usize),
        Advance(u64),
    }

    fn steps() -> impl Strategy<Value = Vec<Step>> {
        let priority =
            prop_oneof![Just(Priority::Low), Just(Priority::Normal), Just(Priority::High), Just(Priority::Critical),];
        let step = prop_oneof![
            4 => priority.prop_map(Step::Push),
            3 => Just(Step::Pop),
            1 => any::<usize>().prop_map(Step::Remove),
            2 => (0..60_u64).prop_map(Step::Advance),
        ];
        prop::collection::vec(step, 0..200)
    }

    proptest! {
        /// The model is a list that is sorted anew for each pop.
        #[test]
        fn order_agrees_with_a_sorted_list(ageing: bool, script in steps()) {
            let age = if ageing { AGE } else { 0 };
            let mut queue = ReadyQueue::new(Duration::from_millis(age));
            let mut list: Vec<(u32, Priority, u64, Ticket)> = Vec::new();
            let start = tokio::time::Instant::now().into_std();
            let (mut at, mut made) = (0_u64, 0);
            for step in script {
                let now = start + Duration::from_millis(at);
                match step {
                    Step::Push(priority) => {
                        list.push((made, priority, at, queue.push(now, priority, made)));
                        made += 1;
                    }
                    Step::Pop => {
                        let level = |p: Priority, since: u64| {
                            p as u64 + (at - since).checked_div(age).unwrap_or(0)
                        };
                        list.sort_by_key(|(n, p, since, _)| (std::cmp::Reverse(level(*p, *since)), *n));
                        let expected = (!list.is_empty()).then(|| list.remove(0));
                        let expected = expected.map(|(n, _, since, _)| (n, Duration::from_millis(at - since)));
                        prop_assert_eq!(queue.pop(now), expected);
                    }
                    Step::Remove(which) if !list.is_empty() => {
                        let (n, _, _, ticket) = list.remove(which % list.len());
                        prop_assert_eq!(queue.remove(ticket), Some(n));
                        prop_assert_eq!(queue.remove(ticket), None);
                    }
                    Step::Advance(by) => at += by,
                    Step::Remove(_) => {}
                }
                prop_assert_eq!(queue.len(), list.len());
                let oldest = list.iter().map(|(_, _, since, _)| at - since).max();
                let now = start + Duration::from_millis(at);
                prop_assert_eq!(queue.oldest(now), oldest.map(Duration::from_millis));
            }
        }
    }
}

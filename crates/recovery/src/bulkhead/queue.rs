use std::collections::VecDeque;
use std::time::Instant;

use super::config::Discipline;
use crate::policy::Priority;

/// The line of those who wait, pure: who comes in, who is next, who is sent away.
#[derive(Debug)]
pub(super) struct WaitQueue<W> {
    /// One line for each priority, the highest first.
    lines: [VecDeque<Waiting<W>>; Priority::ALL.len()],
    length: usize,
    most: usize,
    discipline: Discipline,
    next_id: u64,
    /// Since when the line has not been empty.
    busy_since: Option<Instant>,
}

#[derive(Debug)]
struct Waiting<W> {
    id: u64,
    since: Instant,
    waiter: W,
}

/// Names one who waits, to leave the line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Place {
    id: u64,
    priority: Priority,
}

impl<W> WaitQueue<W> {
    pub(super) fn new(most: u32, discipline: Discipline) -> Self {
        let most = usize::try_from(most).unwrap_or(usize::MAX);
        Self {
            lines: std::array::from_fn(|_| VecDeque::new()),
            length: 0,
            most,
            discipline,
            next_id: 0,
            busy_since: None,
        }
    }

    pub(super) fn reconfigure(&mut self, most: u32, discipline: Discipline) {
        self.most = usize::try_from(most).unwrap_or(usize::MAX);
        self.discipline = discipline;
    }

    pub(super) const fn len(&self) -> usize {
        self.length
    }

    /// Lets one more wait. In a full line, who has the lowest priority and came last gives way to a higher one, and is
    /// returned; if there is none lower, the newcomer is.
    pub(super) fn push(&mut self, now: Instant, priority: Priority, waiter: W) -> Result<(Place, Option<W>), W> {
        let shed = if self.length < self.most {
            None
        } else {
            match self.lowest_below(priority) {
                Some(lowest) => Some(lowest),
                None => return Err(waiter),
            }
        };
        self.busy_since.get_or_insert(now);
        let id = self.next_id;
        self.next_id = self.next_id.wrapping_add(1);
        self.line(priority).push_back(Waiting { id, since: now, waiter });
        self.length += 1;
        Ok((Place { id, priority }, shed))
    }

    /// Takes out who is next; those who have waited too long for an overload go to `expired`.
    pub(super) fn pop(&mut self, now: Instant, expired: &mut Vec<W>) -> Option<W> {
        let overload = match (self.discipline, self.busy_since) {
            (Discipline::AdaptiveLifo { target, interval }, Some(since))
                if now.saturating_duration_since(since) >= interval =>
            {
                Some(target)
            }
            _ => None,
        };
        let mut next = None;
        for line in &mut self.lines {
            if let Some(target) = overload {
                while line.front().is_some_and(|first| now.saturating_duration_since(first.since) > target) {
                    expired.extend(line.pop_front().map(|waiting| waiting.waiter));
                    self.length -= 1;
                }
            }
            if next.is_none() {
                next = if overload.is_some() { line.pop_back() } else { line.pop_front() };
            }
        }
        self.length -= usize::from(next.is_some());
        self.note_empty();
        next.map(|waiting| waiting.waiter)
    }

    /// Takes one out who gave up; `None` if he was taken out before.
    pub(super) fn remove(&mut self, place: Place) -> Option<W> {
        let line = self.line(place.priority);
        let at = line.iter().position(|waiting| waiting.id == place.id)?;
        let gone = line.remove(at)?;
        self.length -= 1;
        self.note_empty();
        Some(gone.waiter)
    }

    fn lowest_below(&mut self, priority: Priority) -> Option<W> {
        let lower = Priority::ALL.iter().rev().copied().filter(|lower| *lower < priority);
        for lower in lower {
            if let Some(gone) = self.line(lower).pop_back() {
                self.length -= 1;
                return Some(gone.waiter);
            }
        }
        None
    }

    fn line(&mut self, priority: Priority) -> &mut VecDeque<Waiting<W>> {
        #[expect(clippy::indexing_slicing, reason = "there is a line for each priority")]
        &mut self.lines[priority.rank()]
    }

    const fn note_empty(&mut self) {
        if self.length == 0 {
            self.busy_since = None;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use proptest::prelude::*;

    use super::*;

    fn start() -> Instant {
        tokio::time::Instant::now().into_std()
    }

    fn drain(queue: &mut WaitQueue<u32>, now: Instant) -> Vec<u32> {
        let mut expired = Vec::new();
        std::iter::from_fn(|| queue.pop(now, &mut expired)).collect()
    }

    #[test]
    fn higher_priorities_come_first_and_push_the_lowest_out() {
        let mut queue = WaitQueue::new(3, Discipline::Fifo);
        let now = start();
        for (priority, name) in [(Priority::Low, 1), (Priority::Low, 2), (Priority::Normal, 3)] {
            assert!(queue.push(now, priority, name).is_ok());
        }
        assert_eq!(queue.push(now, Priority::Critical, 4).unwrap().1, Some(2));
        assert_eq!(queue.push(now, Priority::Low, 5), Err(5));
        assert_eq!(drain(&mut queue, now), [4, 3, 1]);
    }

    #[test]
    fn a_lasting_line_turns_round_and_sends_the_oldest_away() {
        let mut queue = WaitQueue::new(10, Discipline::adaptive_lifo());
        let begin = start();
        for ms in [0, 90, 103, 104] {
            let at = begin + Duration::from_millis(u64::from(ms));
            assert!(queue.push(at, Priority::Normal, ms).is_ok());
        }
        let mut gone = Vec::new();
        assert_eq!(queue.pop(begin + Duration::from_millis(105), &mut gone), Some(104));
        assert_eq!(gone, [0, 90]);
        assert_eq!(drain(&mut queue, begin), [103]);
    }

    proptest! {
        /// Nobody is lost and nobody served twice, whatever happens, and within a priority the order is kept.
        #[test]
        fn everybody_ends_exactly_once(
            most in 0..6_u32, steps in prop::collection::vec((0..4_u8, 0..4_usize), 0..80),
        ) {
            let mut queue = WaitQueue::new(most, Discipline::Fifo);
            let now = start();
            let mut waiting: Vec<(Place, u32)> = Vec::new();
            let mut name = 0;
            for (act, pick) in steps {
                match act {
                    0 | 1 => {
                        name += 1;
                        let priority = Priority::ALL[pick % Priority::ALL.len()];
                        if let Ok((place, shed)) = queue.push(now, priority, name) {
                            if let Some(shed) = shed {
                                prop_assert!(waiting.iter().any(|(p, n)| *n == shed && p.priority < priority));
                                waiting.retain(|(_, n)| *n != shed);
                            }
                            waiting.push((place, name));
                        }
                    }
                    2 => {
                        let first = waiting.iter().max_by_key(|(p, n)| (p.priority, std::cmp::Reverse(*n))).copied();
                        let popped = queue.pop(now, &mut Vec::new());
                        prop_assert_eq!(popped, first.map(|(_, n)| n));
                        waiting.retain(|(_, n)| Some(*n) != popped);
                    }
                    _ if !waiting.is_empty() => {
                        let (place, name) = waiting.remove(pick % waiting.len());
                        prop_assert_eq!(queue.remove(place), Some(name));
                        prop_assert_eq!(queue.remove(place), None);
                    }
                    _ => {}
                }
                prop_assert_eq!(queue.len(), waiting.len());
                prop_assert!(queue.len() <= most as usize);
            }
        }
    }
}

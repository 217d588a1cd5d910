use std::collections::HashMap;

use crate::store::limits::Rate;
use crate::store::memory::entry::Age;

/// What runs and what started of each name that is limited: a queue or a key.
#[derive(Debug, Default)]
pub(super) struct Limiter {
    names: HashMap<String, Use>,
}

#[derive(Debug, Default)]
struct Use {
    running: u32,
    window: Option<Window>,
}

#[derive(Debug, Clone, Copy)]
struct Window {
    ends: Age,
    starts: u32,
}

/// Why one more must not start.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Refusal {
    /// Until one that runs has ended.
    Busy,
    /// Until this time.
    Until(Age),
}

impl Limiter {
    /// Says whether one more of this name may start.
    pub(super) fn check(
        &self,
        now: Age,
        name: &str,
        concurrency: Option<u32>,
        rate: Option<Rate>,
    ) -> Result<(), Refusal> {
        let Some(used) = self.names.get(name) else { return Ok(()) };
        if concurrency.is_some_and(|most| used.running >= most) {
            return Err(Refusal::Busy);
        }
        match (rate, used.window) {
            (Some(rate), Some(window)) if window.ends > now && window.starts >= rate.starts => {
                Err(Refusal::Until(window.ends))
            }
            _ => Ok(()),
        }
    }

    /// Counts a start, also of those that are not limited: the limit may come with the next request.
    pub(super) fn start(&mut self, now: Age, name: &str, rate: Option<Rate>) {
        if !self.names.contains_key(name) {
            self.names.insert(name.to_owned(), Use::default());
        }
        let Some(used) = self.names.get_mut(name) else { return };
        used.running = used.running.saturating_add(1);
        if let Some(rate) = rate {
            match &mut used.window {
                Some(window) if window.ends > now => window.starts = window.starts.saturating_add(1),
                window => *window = Some(Window { ends: now.saturating_add(rate.per), starts: 1 }),
            }
        }
    }

    /// Counts an end.
    pub(super) fn end(&mut self, name: &str) {
        if let Some(used) = self.names.get_mut(name) {
            used.running = used.running.saturating_sub(1);
        }
    }

    /// Forgets the names of which nothing runs and whose window is over.
    pub(super) fn sweep(&mut self, now: Age) {
        self.names.retain(|_, used| used.running > 0 || used.window.is_some_and(|window| window.ends > now));
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_window_begins_with_a_start_and_ends_by_itself() {
        let mut limiter = Limiter::default();
        let (rate, at) = (Rate::new(2, Duration::from_secs(1)), Duration::from_millis);
        for now in [0, 900] {
            assert_eq!(limiter.check(at(now), "k", Some(1), Some(rate)), Ok(()));
            limiter.start(at(now), "k", Some(rate));
            assert_eq!(limiter.check(at(now), "k", Some(1), Some(rate)), Err(Refusal::Busy));
            limiter.end("k");
        }
        assert_eq!(limiter.check(at(999), "k", None, Some(rate)), Err(Refusal::Until(at(1_000))));
        limiter.sweep(at(999));
        assert_eq!(limiter.check(at(1_000), "k", None, Some(rate)), Ok(()));
        limiter.sweep(at(1_000));
        assert!(limiter.names.is_empty());
    }
}

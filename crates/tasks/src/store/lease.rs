use std::time::{Duration, Instant};

/// The right to work on one claimed job, fenced: once it was given to somebody else, ended or expired, whatever
/// the old holder says is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Lease {
    slot: usize,
    token: u64,
}

impl Lease {
    /// Returns the fencing token, which rises with each claim.
    #[must_use]
    pub const fn token(self) -> u64 {
        self.token
    }
}

/// The claims that are out: a table of reused slots, so that giving one out costs no search and no allocation.
#[derive(Debug, Clone)]
pub(crate) struct Leases<H> {
    slots: Vec<Option<Held<H>>>,
    free: Vec<usize>,
    next: u64,
}

#[derive(Debug, Clone)]
struct Held<H> {
    token: u64,
    expires: Option<Instant>,
    holder: H,
}

impl<H> Leases<H> {
    pub(crate) const fn new() -> Self {
        Self { slots: Vec::new(), free: Vec::new(), next: 1 }
    }

    /// Gives a lease out; without a term it holds until it is taken back.
    pub(crate) fn grant(&mut self, now: Instant, term: Option<Duration>, holder: H) -> Lease {
        let token = self.next;
        self.next += 1;
        let held = Some(Held { token, expires: term.and_then(|term| now.checked_add(term)), holder });
        let slot = self.free.pop().unwrap_or(self.slots.len());
        match self.slots.get_mut(slot) {
            Some(place) => *place = held,
            None => self.slots.push(held),
        }
        Lease { slot, token }
    }

    /// Prolongs a lease; false if it is no longer held.
    pub(crate) fn extend(&mut self, lease: Lease, now: Instant, term: Duration) -> bool {
        match self.held_mut(lease) {
            Some(held) => {
                held.expires = now.checked_add(term);
                true
            }
            None => false,
        }
    }

    /// Returns when the next lease is over.
    pub(crate) fn next_expiry(&self) -> Option<Instant> {
        self.slots.iter().flatten().filter_map(|held| held.expires).min()
    }

    /// Takes a lease back; `None` if it is no longer held.
    pub(crate) fn end(&mut self, lease: Lease) -> Option<H> {
        let place = self.slots.get_mut(lease.slot)?;
        if place.as_ref()?.token != lease.token {
            return None;
        }
        let held = place.take()?;
        self.free.push(lease.slot);
        Some(held.holder)
    }

    /// Takes back every lease that is over at `now`.
    pub(crate) fn expire(&mut self, now: Instant) -> Vec<H> {
        let mut over = Vec::new();
        for (slot, place) in self.slots.iter_mut().enumerate() {
            let expired = place.as_ref().is_some_and(|held| held.expires.is_some_and(|at| at <= now));
            if expired && let Some(held) = place.take() {
                self.free.push(slot);
                over.push(held.holder);
            }
        }
        over
    }

    pub(crate) fn len(&self) -> usize {
        self.slots.len() - self.free.len()
    }

    fn held_mut(&mut self, lease: Lease) -> Option<&mut Held<H>> {
        self.slots.get_mut(lease.slot)?.as_mut().filter(|held| held.token == lease.token)
    }
}

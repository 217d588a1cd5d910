//! What a value brings along from where it comes.

use std::hash::Hash;
use std::time::Duration;

use crate::entry::Entry;
use crate::expiry::{Deadline, Life, Tick};
use crate::held::Held;
use crate::inner::Inner;
use crate::options::EntryOptions;
use crate::remote::Stamp;

/// Where and when a value that is stored now began to be true.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Arrival {
    pub(crate) stamp: Option<Stamp>,
    /// Where it does not begin its life here.
    pub(crate) remaining: Option<Remaining>,
    /// How old it is, if it comes from the remote tier.
    pub(crate) remote_age: Option<Duration>,
}

/// How long it lives on, `None` without end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Remaining {
    pub(crate) fresh: Option<Duration>,
    pub(crate) keep: Option<Duration>,
}

impl Arrival {
    /// Of a value that begins to be true here.
    pub(crate) fn stamped(stamp: Stamp) -> Self {
        Self { stamp: Some(stamp), ..Self::default() }
    }
}

impl<K, V> Inner<K, V>
where
    K: Hash + Eq + Send + Sync + 'static,
    V: Clone + Send + Sync + 'static,
{
    /// Gives an entry what its value brought along.
    pub(crate) fn arrive(&self, entry: &mut Entry<V>, now: Tick, arrival: Option<Arrival>) -> Tick {
        let Some(Arrival { stamp, remaining, .. }) = arrival else { return now };
        if stamp.is_some() {
            entry.cold.extra_mut().stamp = stamp;
        }
        let Some(Remaining { fresh, keep }) = remaining else { return now };
        let now = self.read_clock_for_end();
        let end = |left: Option<Duration>| left.map_or(Deadline::NEVER, |left| Deadline::after(now, left));
        entry.hot.fresh = end(fresh);
        entry.cold.life = fresh.map_or(Life::UNKNOWN, Life::new);
        if self.attached().stamps() {
            let fresh = entry.hot.fresh;
            entry.cold.extra_mut().keep = Some(end(keep).max(fresh));
        }
        now
    }

    /// As [`entry`](Self::entry), with what the value brought along.
    #[inline]
    pub(crate) fn entry_of(
        &self,
        hash: u64,
        held: Option<Held<V>>,
        weight: u64,
        options: &mut EntryOptions,
    ) -> (Entry<V>, Tick) {
        let arrival = options.arrival;
        let (mut entry, now) = self.entry(hash, held, weight, options);
        let now = self.arrive(&mut entry, now, arrival);
        (entry, now)
    }
}

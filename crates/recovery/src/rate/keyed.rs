use std::borrow::Borrow;
use std::collections::HashMap;
use std::fmt;
use std::hash::{BuildHasher as _, Hash, RandomState};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use parking_lot::{Mutex, RwLock};
use serde::Serialize;

use super::quota::{Quota, RateLimited, RateMachine};
use crate::config::{ConfigError, count};

/// A rate limit for each key, in bounded memory.
///
/// A key that has not called for so long that its limit is as new is forgotten when room is needed, which nobody can
/// notice. If every remembered key is in use, a new one is refused rather than an old one let off: a flood of new keys
/// (forged addresses, say) cannot wash out the limits of others, nor fill the memory.
///
/// # Examples
/// ```
/// use bedplate_recovery::{Clock, KeyedRateLimiter, Quota, TokioClock};
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let limits = KeyedRateLimiter::<String>::new(Quota::per_minute(60).burst(2), 10_000)?;
/// let now = TokioClock.now();
/// limits.try_acquire("alice", now)?;
/// limits.try_acquire("alice", now)?;
/// assert!(limits.try_acquire("alice", now).is_err());
/// assert!(limits.try_acquire("bob", now).is_ok());
/// # Ok(()) }
/// ```
pub struct KeyedRateLimiter<K> {
    quota: RwLock<Quota>,
    shards: Box<[Mutex<Shard<K>>]>,
    hasher: RandomState,
    most_per_shard: usize,
    admitted: AtomicU64,
    refused: AtomicU64,
    full: AtomicU64,
    forgotten: AtomicU64,
}

struct Shard<K> {
    keys: HashMap<K, RateMachine>,
    /// A look at every key found few to forget; the next one is not before this.
    not_before: Option<Instant>,
}

impl<K> Default for Shard<K> {
    fn default() -> Self {
        Self { keys: HashMap::new(), not_before: None }
    }
}

impl<K: Hash + Eq> Shard<K> {
    /// Forgets the keys whose limit is as new, but does not look at all of them for every forged key of a flood.
    fn make_room(&mut self, quota: &Quota, now: Instant) -> usize {
        if self.not_before.is_some_and(|at| now < at) {
            return 0;
        }
        let before = self.keys.len();
        self.keys.retain(|_, machine| !machine.is_idle(quota, now));
        let gone = before - self.keys.len();
        let pause = Duration::from_nanos(quota.interval()).clamp(LEAST_PAUSE, MOST_PAUSE);
        // Where a look frees little, the next one waits as well: a flood must not make each call look at every key.
        self.not_before = if gone < before.div_ceil(16) { now.checked_add(pause) } else { None };
        gone
    }
}

const LEAST_PAUSE: Duration = Duration::from_millis(10);
const MOST_PAUSE: Duration = Duration::from_secs(1);

/// What a keyed limiter decided so far.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
#[non_exhaustive]
pub struct KeyedRateStats {
    /// Keys remembered now.
    pub keys: usize,
    /// Calls that were in time.
    pub admitted: u64,
    /// Calls that were refused.
    pub refused: u64,
    /// Those of the refused for whose key there was no room.
    pub refused_for_room: u64,
    /// Keys that were forgotten since their limit was as new.
    pub forgotten: u64,
}

const SHARDS: usize = 16;

impl<K: Hash + Eq> KeyedRateLimiter<K> {
    /// Creates a limiter for up to `max_keys` keys in use at once.
    ///
    /// Keys are spread over sixteen parts, each with room for a sixteenth; few keys share one part.
    ///
    /// # Errors
    /// Returns a [`ConfigError`] naming the setting that cannot be used; `max_keys` is 1 to 100,000,000.
    pub fn new(quota: Quota, max_keys: u32) -> Result<Self, ConfigError> {
        quota.check()?;
        count("rate.max_keys", max_keys, 100_000_000, "1 to 100,000,000")?;
        let most = usize::try_from(max_keys).unwrap_or(usize::MAX);
        // An uneven spread over many small parts would refuse keys long before there are too many.
        let shards = if most < 64 * SHARDS { 1 } else { SHARDS };
        Ok(Self {
            quota: RwLock::new(quota),
            shards: std::iter::repeat_with(Mutex::default).take(shards).collect(),
            hasher: RandomState::new(),
            most_per_shard: most.div_ceil(shards),
            admitted: AtomicU64::new(0),
            refused: AtomicU64::new(0),
            full: AtomicU64::new(0),
            forgotten: AtomicU64::new(0),
        })
    }

    /// Admits one call of `key` if it is in time.
    ///
    /// # Errors
    /// Returns [`RateLimited`] with the time after which it would be; without one if there is no room for the key.
    pub fn try_acquire<Q>(&self, key: &Q, now: Instant) -> Result<(), RateLimited>
    where
        K: Borrow<Q> + for<'a> From<&'a Q>,
        Q: Hash + Eq + ?Sized,
    {
        self.reserve(key, now, 1, Duration::ZERO).map(drop)
    }

    /// Takes `permits` of `key` and returns how long to wait until the last of them is in time.
    ///
    /// # Errors
    /// Takes nothing and returns [`RateLimited`] if that is longer than `patience`, or if there is no room for the key.
    pub fn reserve<Q>(&self, key: &Q, now: Instant, permits: u32, patience: Duration) -> Result<Duration, RateLimited>
    where
        K: Borrow<Q> + for<'a> From<&'a Q>,
        Q: Hash + Eq + ?Sized,
    {
        let quota = *self.quota.read();
        let decided = self.decide(&quota, key, now, permits, patience);
        let counter = if decided.is_ok() { &self.admitted } else { &self.refused };
        counter.fetch_add(1, Ordering::Relaxed);
        decided
    }

    fn decide<Q>(
        &self,
        quota: &Quota,
        key: &Q,
        now: Instant,
        permits: u32,
        patience: Duration,
    ) -> Result<Duration, RateLimited>
    where
        K: Borrow<Q> + for<'a> From<&'a Q>,
        Q: Hash + Eq + ?Sized,
    {
        let mut shard = self.shard(key).lock();
        if let Some(machine) = shard.keys.get_mut(key) {
            return machine.reserve(quota, now, permits, patience);
        }
        let mut machine = RateMachine::new(quota, now);
        let wait = machine.reserve(quota, now, permits, patience)?;
        if shard.keys.len() >= self.most_per_shard {
            let gone = shard.make_room(quota, now);
            self.forgotten.fetch_add(u64::try_from(gone).unwrap_or(0), Ordering::Relaxed);
            if gone == 0 {
                self.full.fetch_add(1, Ordering::Relaxed);
                return Err(RateLimited { retry_after: None });
            }
        }
        shard.keys.insert(K::from(key), machine);
        Ok(wait)
    }

    /// Returns the quota in effect.
    #[must_use]
    pub fn quota(&self) -> Quota {
        *self.quota.read()
    }

    /// Takes another quota for all keys; what was taken under the old one stays taken.
    ///
    /// # Errors
    /// Returns a [`ConfigError`] and keeps the old quota if the new one cannot be used.
    pub fn set_quota(&self, quota: Quota) -> Result<(), ConfigError> {
        quota.check()?;
        *self.quota.write() = quota;
        Ok(())
    }

    /// Returns what was decided so far.
    #[must_use]
    pub fn stats(&self) -> KeyedRateStats {
        KeyedRateStats {
            keys: self.shards.iter().map(|shard| shard.lock().keys.len()).sum(),
            admitted: self.admitted.load(Ordering::Relaxed),
            refused: self.refused.load(Ordering::Relaxed),
            refused_for_room: self.full.load(Ordering::Relaxed),
            forgotten: self.forgotten.load(Ordering::Relaxed),
        }
    }

    fn shard<Q: Hash + ?Sized>(&self, key: &Q) -> &Mutex<Shard<K>> {
        let index = usize::try_from(self.hasher.hash_one(key) >> 32).unwrap_or(0) % self.shards.len();
        #[expect(clippy::indexing_slicing, reason = "the remainder is below the number of shards, which is not zero")]
        &self.shards[index]
    }
}

impl<K> fmt::Debug for KeyedRateLimiter<K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KeyedRateLimiter").field("quota", &*self.quota.read()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn start() -> Instant {
        tokio::time::Instant::now().into_std()
    }

    #[test]
    fn a_flood_of_keys_neither_grows_nor_lets_anyone_off() {
        let limits = KeyedRateLimiter::<String>::new(Quota::per_second(1), 100).unwrap();
        let now = start();
        limits.try_acquire("victim", now).unwrap();
        for n in 0..1_000 {
            let _decided = limits.try_acquire(format!("forged {n}").as_str(), now);
        }
        assert!(limits.try_acquire("victim", now).is_err());
        let stats = limits.stats();
        assert_eq!((stats.keys, stats.admitted, stats.refused_for_room), (100, 100, 901));
        // A second later all are as new, and room is made.
        limits.try_acquire("late", now + Duration::from_secs(1)).unwrap();
        assert_eq!((limits.stats().keys, limits.stats().forgotten), (1, 100));
    }

    #[test]
    fn a_live_quota_holds_for_known_keys() {
        let limits = KeyedRateLimiter::<String>::new(Quota::per_second(1), 10).unwrap();
        let now = start();
        limits.try_acquire("a", now).unwrap();
        assert!(limits.try_acquire("a", now + Duration::from_millis(500)).is_err());
        limits.set_quota(Quota::per_second(10).burst(1)).unwrap();
        assert!(limits.set_quota(Quota::per_second(0)).is_err());
        assert!(limits.try_acquire("a", now + Duration::from_secs(1)).is_ok());
        assert!(limits.try_acquire("a", now + Duration::from_millis(1_100)).is_ok());
    }
}

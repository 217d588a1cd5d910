//! The knobs of a cache as plain data.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::error::ConfigError;
use crate::expiry::LONGEST_IDLE;
use crate::policy::EvictionPolicy;
use crate::shard::NODE_BYTES;

/// How a cache is set up; the defaults are right for production.
///
/// Changed through [`CacheBuilder`](crate::CacheBuilder), or read from a file:
///
/// ```
/// use bedplate_cache::CacheConfig;
///
/// let config: CacheConfig = serde_json::from_str(r#"{ "max_bytes": 1048576 }"#)?;
/// assert_eq!(config.max_bytes, 1 << 20);
/// # Ok::<(), serde_json::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct CacheConfig {
    /// What all entries together may weigh, in bytes, with keys, values and the overhead of each
    /// node.
    ///
    /// Default 500 MiB (524 288 000); at least 136. Memory is taken as entries come, not at the
    /// start. Too small, and entries are evicted before they are asked for again; too large, and
    /// the process competes for memory with what it serves.
    pub max_bytes: u64,
    /// What one entry may weigh, in bytes; a heavier one is refused and counted.
    ///
    /// Default an eighth of `max_bytes`, or 1 MiB (at most `max_bytes`) if that is more; from 136
    /// to `max_bytes`, and below 4 GiB. It holds whatever the number of shards. Too small, and large values are
    /// never cached; too large, and one value can push out everything else.
    pub max_entry_bytes: Option<u64>,
    /// Into how many independently locked parts the entries are split; rounded up to a power of
    /// two.
    ///
    /// Default 16 per core, and no more than one per 256 KiB of budget; from 1 to 1024. Recency is
    /// kept per shard: with one, it is exact. Each costs about 300 bytes. Too few, and threads wait
    /// for one another; too many, and a small cache evicts unevenly.
    pub shards: Option<usize>,
    /// How long a value is served after it was stored; an entry can say otherwise.
    ///
    /// Default none: values stay until evicted or removed. More than zero. A lookup reads the clock
    /// (some 5 ns) as soon as one entry can expire. Too short, and the origin is asked too often;
    /// too long, and callers see what is out of date.
    pub ttl: Option<Duration>,
    /// How long a value is served while nobody asks for it; an entry can say otherwise.
    ///
    /// Default none. More than zero, at most 90 days; kept in steps of 4 ms and rather a step late
    /// than early. Each hit then writes a stamp into its entry. It bounds memory by use, not
    /// staleness: an entry in use lives on, so set `ttl` too where values change. Too short, and
    /// what is asked for now and then is loaded each time; too long, and it does nothing that the
    /// budget does not.
    pub time_to_idle: Option<Duration>,
    /// By how many percent at most a time to live of more than 10 s is shortened, by chance.
    ///
    /// Default 5; from 0 (exact) to 50. Entries that were stored together then do not expire, and
    /// load, together. What is reckoned from the time to live, as `eager_refresh` and the stale
    /// windows, is reckoned from the shortened one. Too small, and the origin sees them all at once; too large, and values are
    /// loaded more often than their time to live says.
    pub jitter_percent: u8,
    /// How often a task of the cache's own drops what has expired.
    ///
    /// Default none: expired entries are never served, give way first when room is needed, and are
    /// dropped by [`maintain`](crate::Cache::maintain). From 1 ms. Set, the cache must be built
    /// inside a tokio runtime; the task ends with the last handle of the cache or the runtime. Each
    /// round looks at every entry, in parts of a thousand with the lock released between. Too
    /// short, and that is what the process does; too long, and memory is freed late.
    pub sweep_every: Option<Duration>,
    /// By what rule entries give way.
    ///
    /// Default [`EvictionPolicy::S3Fifo`].
    pub policy: EvictionPolicy,
    /// From which share of its time to live on a read refreshes a value in the background, so that
    /// what is in use never goes stale.
    ///
    /// Default none; above 0 and below 1, and only with a `ttl`. Costs a load per entry and `ttl`
    /// for what is read. Too small, and the origin is asked too often; too large, and the refresh
    /// comes too late.
    pub eager_refresh: Option<f64>,
    /// For how long after its time to live a value is served while one load refreshes it.
    ///
    /// Default none; more than zero, and only with a `ttl`. The entry stays in the budget for so
    /// much longer. Too short, and callers wait for the origin; too long, and they see what is out
    /// of date.
    pub stale_while_revalidate: Option<Duration>,
    /// For how long after its time to live a value is served if a load fails or takes too long.
    ///
    /// Default none; more than zero, and only with a `ttl`. The entry stays in the budget for so
    /// much longer. Too short, and an outage of the origin is one of yours; too long, and callers
    /// are told what is long untrue.
    pub stale_if_error: Option<Duration>,
    /// For how long no other load is tried after one failed, while there is a stale value.
    ///
    /// Default 5 s; zero tries with every call. Too short, and an origin that is down is asked all
    /// the time; too long, and its return is noticed late.
    pub error_backoff: Duration,
    /// How long a caller waits before a stale value is given, if there is one; the load goes on.
    ///
    /// Default none; more than zero, below `hard_timeout`, and only with a stale window. Needs a
    /// runtime with timers. Too short, and a healthy origin is taken for slow; too long, and
    /// callers wait for nothing.
    pub soft_timeout: Option<Duration>,
    /// How long a caller waits at all; the load goes on and fills the cache.
    ///
    /// Default none; more than zero. Needs a runtime with timers. Too short, and callers are
    /// refused what would have come; too long, and a slow origin holds them all.
    pub hard_timeout: Option<Duration>,
    /// For how long it is remembered that the origin has no value for a key.
    ///
    /// Default none, which asks again each time; more than zero. Such an entry weighs what its key
    /// and node take. Too short, and the origin is asked for what it does not have; too long, and
    /// what was just made is not found.
    pub negative_ttl: Option<Duration>,
}

impl Default for CacheConfig {
    fn default() -> Self {
        Self {
            max_bytes: DEFAULT_MAX_BYTES,
            max_entry_bytes: None,
            shards: None,
            ttl: None,
            time_to_idle: None,
            jitter_percent: DEFAULT_JITTER_PERCENT,
            sweep_every: None,
            policy: EvictionPolicy::default(),
            eager_refresh: None,
            stale_while_revalidate: None,
            stale_if_error: None,
            error_backoff: DEFAULT_BACKOFF,
            soft_timeout: None,
            hard_timeout: None,
            negative_ttl: None,
        }
    }
}

impl CacheConfig {
    /// Returns what one entry may weigh: as set, or the default for this budget.
    pub fn effective_max_entry_bytes(&self) -> u64 {
        self.max_entry_bytes.unwrap_or_else(|| (self.max_bytes / 8).max(MIB.min(self.max_bytes)).min(MAX_ENTRY_BYTES))
    }

    /// Returns the number of shards: as set and rounded up, or the default for this budget and
    /// machine.
    pub fn effective_shards(&self) -> usize {
        let wanted = self.shards.unwrap_or_else(|| {
            let by_cores = std::thread::available_parallelism().map_or(16, |cores| cores.get().saturating_mul(16));
            let by_budget = usize::try_from(self.max_bytes / LEAST_SHARE).unwrap_or(usize::MAX);
            by_cores.min(by_budget)
        });
        wanted.clamp(1, MAX_SHARDS).next_power_of_two()
    }

    pub(crate) fn validate(&self) -> Result<(), ConfigError> {
        if self.max_bytes < MIN_BYTES {
            return Err(ConfigError::new(
                "max_bytes",
                self.max_bytes,
                format!("at least {MIN_BYTES} bytes, so that one entry fits"),
            ));
        }
        if self.max_bytes > MAX_BYTES {
            return Err(ConfigError::new("max_bytes", self.max_bytes, format!("at most {MAX_BYTES} bytes")));
        }
        if let Some(bytes) = self.max_entry_bytes
            && !(MIN_BYTES..=self.max_bytes.min(MAX_ENTRY_BYTES)).contains(&bytes)
        {
            return Err(ConfigError::new(
                "max_entry_bytes",
                bytes,
                if self.max_bytes > MAX_ENTRY_BYTES {
                    format!("from {MIN_BYTES} to {MAX_ENTRY_BYTES} bytes")
                } else {
                    format!("from {MIN_BYTES} bytes to max_bytes ({})", self.max_bytes)
                },
            ));
        }
        if let Some(shards) = self.shards
            && !(1..=MAX_SHARDS).contains(&shards)
        {
            return Err(ConfigError::new("shards", shards, format!("from 1 to {MAX_SHARDS}")));
        }
        if self.ttl == Some(Duration::ZERO) {
            return Err(ConfigError::new("ttl", "0s", "more than zero; leave it out for values that do not expire"));
        }
        if let Some(limit) = self.time_to_idle
            && (limit.is_zero() || limit > LONGEST_IDLE)
        {
            return Err(ConfigError::new("time_to_idle", format!("{limit:?}"), "more than zero and at most 90 days"));
        }
        if self.jitter_percent > MOST_JITTER_PERCENT {
            return Err(ConfigError::new(
                "jitter_percent",
                self.jitter_percent,
                format!("from 0 to {MOST_JITTER_PERCENT}"),
            ));
        }
        if let Some(every) = self.sweep_every
            && every < LEAST_SWEEP
        {
            return Err(ConfigError::new("sweep_every", format!("{every:?}"), "at least 1ms"));
        }
        self.validate_engine()
    }

    fn validate_engine(&self) -> Result<(), ConfigError> {
        let durations = [
            ("stale_while_revalidate", self.stale_while_revalidate),
            ("stale_if_error", self.stale_if_error),
            ("soft_timeout", self.soft_timeout),
            ("hard_timeout", self.hard_timeout),
            ("negative_ttl", self.negative_ttl),
        ];
        if let Some((field, _)) = durations.iter().find(|(_, value)| *value == Some(Duration::ZERO)) {
            return Err(ConfigError::new(field, "0s", "more than zero; leave it out to do without"));
        }
        if let Some(share) = self.eager_refresh
            && !(share > 0.0 && share < 1.0)
        {
            return Err(ConfigError::new("eager_refresh", share, "a share above 0 and below 1"));
        }
        if self.ttl.is_none() {
            if let Some(share) = self.eager_refresh {
                return Err(ConfigError::new("eager_refresh", share, "a ttl that it is a share of"));
            }
            let windows =
                [("stale_while_revalidate", self.stale_while_revalidate), ("stale_if_error", self.stale_if_error)];
            if let Some((field, window)) = windows.iter().find_map(|(field, window)| window.map(|w| (*field, w))) {
                let expected = "a ttl, without which nothing goes stale";
                return Err(ConfigError::new(field, format_args!("{window:?}"), expected));
            }
        }
        if let Some(soft) = self.soft_timeout {
            let soft_text = format!("{soft:?}");
            if let Some(hard) = self.hard_timeout
                && soft >= hard
            {
                return Err(ConfigError::new("soft_timeout", soft_text, format!("less than hard_timeout ({hard:?})")));
            }
            if self.stale_while_revalidate.is_none() && self.stale_if_error.is_none() {
                let expected = "stale_if_error or stale_while_revalidate, without which there is nothing to give";
                return Err(ConfigError::new("soft_timeout", soft_text, expected));
            }
        }
        Ok(())
    }
}

const MIB: u64 = 1 << 20;
/// Some thousand small entries: with fewer, shards that are unevenly full cost hits.
const LEAST_SHARE: u64 = MIB / 4;
const DEFAULT_MAX_BYTES: u64 = 500 * MIB;
/// Room for a node and a small key and value.
const MIN_BYTES: u64 = NODE_BYTES + 48;
/// Far above any memory, and low enough that sums of weights cannot overflow.
const MAX_BYTES: u64 = 1 << 56;
/// Every entry carries its weight, in four bytes.
const MAX_ENTRY_BYTES: u64 = u32::MAX as u64;
const MAX_SHARDS: usize = 1024;
const DEFAULT_JITTER_PERCENT: u8 = 5;
const MOST_JITTER_PERCENT: u8 = 50;
const LEAST_SWEEP: Duration = Duration::from_millis(1);
const DEFAULT_BACKOFF: Duration = Duration::from_secs(5);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_least_budget_is_as_documented() {
        assert_eq!(MIN_BYTES, 136);
        assert_eq!(CacheConfig::default().max_bytes, 524_288_000);
    }

    #[test]
    fn small_budgets_get_one_shard_and_room_for_any_entry() {
        let config = CacheConfig { max_bytes: 1000, ..CacheConfig::default() };
        assert_eq!((config.effective_shards(), config.effective_max_entry_bytes()), (1, 1000));
        let config = CacheConfig { shards: Some(5), ..CacheConfig::default() };
        assert_eq!((config.effective_shards(), config.effective_max_entry_bytes()), (8, DEFAULT_MAX_BYTES / 8));
    }

    #[test]
    fn no_entry_is_heavier_than_its_weight_can_say() {
        let large = CacheConfig { max_bytes: 1 << 40, ..CacheConfig::default() };
        assert_eq!(large.effective_max_entry_bytes(), (4 << 30) - 1, "an eighth would be 128 GiB");
        let most = CacheConfig { max_entry_bytes: Some((4 << 30) - 1), ..large };
        assert!(most.validate().is_ok());
        let error = CacheConfig { max_entry_bytes: Some(4 << 30), ..large }.validate().unwrap_err();
        assert_eq!((error.field(), error.expected()), ("max_entry_bytes", "from 136 to 4294967295 bytes"));
    }

    #[test]
    fn contradictions_are_named() {
        let second = Some(Duration::from_secs(1));
        let base = CacheConfig { ttl: second, ..CacheConfig::default() };
        let cases = [
            (CacheConfig { eager_refresh: Some(0.0), ..base }, "eager_refresh"),
            (CacheConfig { eager_refresh: Some(1.0), ..base }, "eager_refresh"),
            (CacheConfig { eager_refresh: Some(f64::NAN), ..base }, "eager_refresh"),
            (CacheConfig { eager_refresh: Some(0.5), ttl: None, ..base }, "eager_refresh"),
            (CacheConfig { stale_while_revalidate: second, ttl: None, ..base }, "stale_while_revalidate"),
            (CacheConfig { stale_if_error: second, ttl: None, ..base }, "stale_if_error"),
            (CacheConfig { stale_if_error: Some(Duration::ZERO), ..base }, "stale_if_error"),
            (CacheConfig { soft_timeout: second, ..base }, "soft_timeout"),
            (
                CacheConfig { soft_timeout: second, hard_timeout: second, stale_if_error: second, ..base },
                "soft_timeout",
            ),
            (CacheConfig { hard_timeout: Some(Duration::ZERO), ..CacheConfig::default() }, "hard_timeout"),
            (CacheConfig { negative_ttl: Some(Duration::ZERO), ..CacheConfig::default() }, "negative_ttl"),
        ];
        for (config, field) in cases {
            let error = config.validate().expect_err(field);
            assert_eq!(error.field(), field, "{error}");
        }
        let all = CacheConfig {
            eager_refresh: Some(0.8),
            stale_while_revalidate: second,
            stale_if_error: second,
            soft_timeout: Some(Duration::from_millis(999)),
            hard_timeout: second,
            negative_ttl: second,
            ..base
        };
        assert!(all.validate().is_ok());
    }

    #[test]
    fn each_bound_is_checked_and_named() {
        let cases = [
            (CacheConfig { max_bytes: 0, ..CacheConfig::default() }, "max_bytes"),
            (CacheConfig { max_bytes: u64::MAX, ..CacheConfig::default() }, "max_bytes"),
            (CacheConfig { max_entry_bytes: Some(0), ..CacheConfig::default() }, "max_entry_bytes"),
            (CacheConfig { max_entry_bytes: Some(u64::MAX), ..CacheConfig::default() }, "max_entry_bytes"),
            (CacheConfig { shards: Some(0), ..CacheConfig::default() }, "shards"),
            (CacheConfig { shards: Some(1025), ..CacheConfig::default() }, "shards"),
            (CacheConfig { ttl: Some(Duration::ZERO), ..CacheConfig::default() }, "ttl"),
            (CacheConfig { time_to_idle: Some(Duration::ZERO), ..CacheConfig::default() }, "time_to_idle"),
            (CacheConfig { time_to_idle: Some(Duration::MAX), ..CacheConfig::default() }, "time_to_idle"),
            (CacheConfig { jitter_percent: 51, ..CacheConfig::default() }, "jitter_percent"),
            (CacheConfig { sweep_every: Some(Duration::ZERO), ..CacheConfig::default() }, "sweep_every"),
        ];
        for (config, field) in cases {
            let error = config.validate().expect_err(field);
            assert_eq!(error.field(), field);
            assert!(error.to_string().contains(field), "{error}");
        }
        assert!(CacheConfig::default().validate().is_ok());
    }
}

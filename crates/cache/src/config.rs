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
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct CacheConfig {
    /// What all entries together may weigh, in bytes, with keys, values and the overhead of each
    /// node.
    ///
    /// Default 500 MiB (524 288 000); at least 128. Memory is taken as entries come, not at the
    /// start. Too small, and entries are evicted before they are asked for again; too large, and
    /// the process competes for memory with what it serves.
    pub max_bytes: u64,
    /// What one entry may weigh, in bytes; a heavier one is refused and counted.
    ///
    /// Default an eighth of `max_bytes`, or 1 MiB (at most `max_bytes`) if that is more; from 128
    /// to `max_bytes`. It holds whatever the number of shards. Too small, and large values are
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
    /// load, together. Too small, and the origin sees them all at once; too large, and values are
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
        }
    }
}

impl CacheConfig {
    /// Returns what one entry may weigh: as set, or the default for this budget.
    pub fn effective_max_entry_bytes(&self) -> u64 {
        self.max_entry_bytes.unwrap_or_else(|| (self.max_bytes / 8).max(MIB.min(self.max_bytes)))
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
            && !(MIN_BYTES..=self.max_bytes).contains(&bytes)
        {
            return Err(ConfigError::new(
                "max_entry_bytes",
                bytes,
                format!("from {MIN_BYTES} bytes to max_bytes ({})", self.max_bytes),
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
const MAX_SHARDS: usize = 1024;
const DEFAULT_JITTER_PERCENT: u8 = 5;
const MOST_JITTER_PERCENT: u8 = 50;
const LEAST_SWEEP: Duration = Duration::from_millis(1);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_least_budget_is_as_documented() {
        assert_eq!(MIN_BYTES, 128);
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

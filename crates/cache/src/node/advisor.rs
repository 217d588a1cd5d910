//! Watches what is asked for, in a sample of the keys.

use std::hash::Hash;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::Mutex;

use crate::ConfigError;
use crate::advise::{Advice, AlertConfig, HitRatioCurve, RatioAlert, RatioChange, Shadow, ShadowConfig, SharedShadow};
use crate::cache::Cache;
use crate::inner::Inner;
use crate::observer::CacheEvent;

/// What an advisor follows and when it speaks up.
#[derive(Debug, Clone, Copy, Default)]
#[non_exhaustive]
pub struct AdvisorConfig {
    /// How much is followed.
    pub shadow: ShadowConfig,
    /// When a fallen hit ratio is told, as
    /// [`CacheEvent::HitRatioFell`](crate::CacheEvent::HitRatioFell); default never.
    pub alert: Option<AlertConfig>,
}

impl AdvisorConfig {
    /// Sets how much is followed.
    #[must_use]
    pub const fn shadow(mut self, shadow: ShadowConfig) -> Self {
        self.shadow = shadow;
        self
    }

    /// Sets when a fallen hit ratio is told.
    #[must_use]
    pub const fn alert(mut self, alert: AlertConfig) -> Self {
        self.alert = Some(alert);
        self
    }
}

#[derive(Debug)]
pub(crate) struct Advisor {
    shadow: SharedShadow,
    alert: Option<Mutex<RatioAlert>>,
    /// Requests of keys that are followed: a clock for the alert that others need not touch.
    followed: AtomicU64,
}

impl Advisor {
    pub(crate) fn new(config: AdvisorConfig) -> Result<Self, ConfigError> {
        let shadow = SharedShadow::new(Shadow::new(config.shadow)?);
        let alert = config.alert.map(RatioAlert::new).transpose()?.map(Mutex::new);
        Ok(Self { shadow, alert, followed: AtomicU64::new(0) })
    }

    /// Takes note of a request. Its weight is known from when it was stored.
    #[inline]
    pub(super) fn asked<K, V>(&self, hash: u64, inner: &Inner<K, V>)
    where
        K: Hash + Eq + Send + Sync + 'static,
        V: Clone + Send + Sync + 'static,
    {
        if self.shadow.follows(hash) {
            self.follow(hash, inner);
        }
    }

    #[cold]
    fn follow<K, V>(&self, hash: u64, inner: &Inner<K, V>)
    where
        K: Hash + Eq + Send + Sync + 'static,
        V: Clone + Send + Sync + 'static,
    {
        self.shadow.record_absent(hash);
        let Some(alert) = &self.alert else { return };
        if !(self.followed.fetch_add(1, Ordering::Relaxed) + 1).is_multiple_of(ALERT_EVERY) {
            return;
        }
        let stats = inner.stats();
        let change = alert.lock().observe(stats.all_hits(), stats.all_hits() + stats.misses());
        match change {
            Some(RatioChange::Fell { hit_ratio, .. }) => {
                tracing::warn!(target: "bedplate_cache", cache = inner.name(), hit_ratio, "the hit ratio fell");
                inner.emit(CacheEvent::HitRatioFell { permille: permille(hit_ratio) });
            }
            Some(RatioChange::Recovered { hit_ratio, .. }) => {
                inner.emit(CacheEvent::HitRatioRecovered { permille: permille(hit_ratio) });
            }
            None => {}
        }
    }

    pub(super) fn weighed(&self, hash: u64, weight: u64) {
        self.shadow.weigh(hash, weight);
    }
}

impl<K, V> Cache<K, V>
where
    K: Hash + Eq + Send + Sync + 'static,
    V: Clone + Send + Sync + 'static,
{
    /// Says what budget a hit ratio needs, or that no budget reaches it; `None` without an
    /// [`advisor`](crate::CacheBuilder::advisor).
    ///
    /// # Examples
    ///
    /// ```
    /// use bedplate_cache::{AdvisorConfig, Cache};
    ///
    /// let cache: Cache<u64, u64> = Cache::builder("n").advisor(AdvisorConfig::default()).build()?;
    /// for n in 0..200_000 {
    ///     if cache.get(&(n % 20_000)).is_none() {
    ///         cache.insert(n % 20_000, n);
    ///     }
    /// }
    /// let advice = cache.advise(0.95).ok_or("there is an advisor")?;
    /// assert!(advice.to_string().contains("is the ceiling at any size"), "{advice}");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn advise(&self, hit_ratio: f64) -> Option<Advice> {
        self.hit_ratio_curve().map(|curve| curve.advise(hit_ratio))
    }

    /// Returns what hit ratio which budget would give; `None` without an
    /// [`advisor`](crate::CacheBuilder::advisor).
    pub fn hit_ratio_curve(&self) -> Option<HitRatioCurve> {
        let advisor = self.inner.attached().advisor.as_ref()?;
        let stats = self.stats();
        Some(advisor.shadow.curve(stats.all_hits() + stats.misses()))
    }
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a ratio is between 0 and 1")]
fn permille(ratio: f64) -> u16 {
    (ratio * 1000.0).round() as u16
}

/// Requests of followed keys between two looks at the ratio: of all keys, about 64 times as many.
const ALERT_EVERY: u64 = 16;

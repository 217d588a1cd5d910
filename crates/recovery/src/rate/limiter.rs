use std::fmt;
use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use parking_lot::{Mutex, RwLock};
use serde::Serialize;

use super::quota::{Pace, Quota, RateLimited, RateMachine, nanos, paced};
use crate::clock::Clock;
use crate::config::ConfigError;
use crate::failure::{Failure, Rejection};
use crate::lint::PolicyKind;
use crate::observer::{Observer, RecoveryEvent};
use crate::policy::{Cx, Env, Policy};
use crate::stripes::Counter;
use crate::timeout::outdate;

/// A shared rate limit; clones are handles to the same one.
///
/// As a policy it refuses a call that is not in time, or lets it wait if the limiter has patience. A decision is one
/// exchange on one number, without a lock ([`Pace::Window`] takes a short one).
///
/// # Examples
/// ```
/// use std::time::Duration;
/// use bedplate_recovery::{Pipeline, Quota, RateLimiter};
///
/// # fn main() -> Result<(), bedplate_recovery::ConfigError> {
/// let limiter = RateLimiter::new("search", Quota::per_second(100).burst(10))?.patience(Duration::from_millis(50));
/// let search = Pipeline::builder("search").rate_limit(limiter).build()?;
/// # drop(search); Ok(()) }
/// ```
#[derive(Clone)]
pub struct RateLimiter {
    shared: Arc<Shared>,
    patience: Duration,
}

struct Shared {
    name: Arc<str>,
    origin: Instant,
    quota: RwLock<Quota>,
    /// Nanoseconds since the origin at which the next call is in time.
    next: AtomicU64,
    window: Mutex<RateMachine>,
    admitted: Counter,
    refused: Counter,
}

/// What a limiter decided so far.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
#[non_exhaustive]
pub struct RateStats {
    /// Calls that were in time, or waited until they were.
    pub admitted: u64,
    /// Calls that were refused.
    pub refused: u64,
}

impl RateLimiter {
    /// Creates a limiter; the name appears in failures and events.
    ///
    /// # Errors
    /// Returns a [`ConfigError`] naming the setting that cannot be used.
    pub fn new(name: impl Into<Arc<str>>, quota: Quota) -> Result<Self, ConfigError> {
        quota.check()?;
        // Only differences of instants matter, so any clock of the process will do for the origin.
        let origin = tokio::time::Instant::now().into_std();
        let shared = Shared {
            name: name.into(),
            origin,
            quota: RwLock::new(quota),
            next: AtomicU64::new(0),
            window: Mutex::new(RateMachine::new(&quota, origin)),
            admitted: Counter::default(),
            refused: Counter::default(),
        };
        Ok(Self { shared: Arc::new(shared), patience: Duration::ZERO })
    }

    /// Lets a call wait for up to this long until it is in time; default not at all.
    #[must_use]
    pub const fn patience(mut self, patience: Duration) -> Self {
        self.patience = patience;
        self
    }

    /// Returns the limiter's name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.shared.name
    }

    /// Returns the quota in effect.
    #[must_use]
    pub fn quota(&self) -> Quota {
        *self.shared.quota.read()
    }

    /// Takes another quota; what was taken under the old one stays taken.
    ///
    /// # Errors
    /// Returns a [`ConfigError`] and keeps the old quota if the new one cannot be used.
    pub fn set_quota(&self, quota: Quota) -> Result<(), ConfigError> {
        quota.check()?;
        *self.shared.quota.write() = quota;
        Ok(())
    }

    /// Admits one call if it is in time.
    ///
    /// # Errors
    /// Returns [`RateLimited`] with the time after which it would be.
    pub fn try_acquire(&self, now: Instant) -> Result<(), RateLimited> {
        self.reserve(now, 1, Duration::ZERO).map(drop)
    }

    /// Takes `permits` and returns how long to wait until the last of them is in time.
    ///
    /// # Errors
    /// Takes nothing and returns [`RateLimited`] if that is longer than `patience`.
    pub fn reserve(&self, now: Instant, permits: u32, patience: Duration) -> Result<Duration, RateLimited> {
        let shared = &*self.shared;
        let quota = *shared.quota.read();
        let decided = if quota.pace == Pace::Window {
            shared.window.lock().reserve(&quota, now, permits, patience)
        } else {
            shared.exchange(&quota, now, permits, patience)
        };
        let counter = if decided.is_ok() { &shared.admitted } else { &shared.refused };
        counter.add(1);
        decided
    }

    /// Returns what was decided so far.
    #[must_use]
    pub fn stats(&self) -> RateStats {
        RateStats { admitted: self.shared.admitted.get(), refused: self.shared.refused.get() }
    }
}

impl Shared {
    fn exchange(&self, quota: &Quota, now: Instant, permits: u32, patience: Duration) -> Result<Duration, RateLimited> {
        let (interval, patience) = (quota.interval(), nanos(patience));
        let at = nanos(now.saturating_duration_since(self.origin));
        let mut next = self.next.load(Ordering::Relaxed);
        loop {
            let (end, wait) = paced(quota, interval, next, at, permits);
            if wait > patience {
                return Err(RateLimited { retry_after: Some(Duration::from_nanos(wait)) });
            }
            match self.next.compare_exchange_weak(next, end, Ordering::Relaxed, Ordering::Relaxed) {
                Ok(_) => return Ok(Duration::from_nanos(wait)),
                Err(seen) => next = seen,
            }
        }
    }
}

impl Policy for RateLimiter {
    fn outline(&self, outline: &mut Vec<PolicyKind>) {
        outline.push(PolicyKind::RateLimit);
    }

    async fn run<C, O, T, E, Op, Fut>(&self, env: Env<'_, C, O>, cx: Cx, op: Op) -> Result<T, Failure<E>>
    where
        C: Clock,
        O: Observer,
        T: Send,
        E: Send,
        Op: Fn(Cx) -> Fut + Send + Sync,
        Fut: Future<Output = Result<T, Failure<E>>> + Send,
    {
        let now = env.clock().now();
        // A wait that ends after the deadline is none.
        let patience = cx.remaining(now).map_or(self.patience, |left| left.min(self.patience));
        match self.reserve(now, 1, patience) {
            Ok(wait) => {
                if !wait.is_zero() {
                    env.clock().sleep_until(now + wait).await;
                    outdate();
                }
                op(cx).await
            }
            Err(RateLimited { retry_after }) => {
                let by = &self.shared.name;
                env.observer().observe(&RecoveryEvent::Rejected { by, reason: Rejection::RateLimited, retry_after });
                Err(Failure::Rejected { by: Arc::clone(by), reason: Rejection::RateLimited, retry_after })
            }
        }
    }
}

impl fmt::Debug for RateLimiter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RateLimiter")
            .field("name", &self.shared.name)
            .field("quota", &self.quota())
            .field("stats", &self.stats())
            .finish_non_exhaustive()
    }
}

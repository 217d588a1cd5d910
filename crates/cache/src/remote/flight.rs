//! Of many nodes that miss the same key, one loads.
//!
//! An option for loads that are dear: it costs a round trip per load. Whoever takes the lease leads;
//! the others ask the tier again, at growing pauses, and take the lease over when its holder gave it
//! back or vanished. A remote that does not answer makes everybody a leader: the option may save work,
//! never prevent it.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::time::{Instant, timeout};

use super::{LockToken, RemoteLock};
use crate::error::ConfigError;

/// How a distributed flight waits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct FlightConfig {
    /// How long a leader holds the lease; default 10 s. Below the time of a load, a second node begins;
    /// far above, the others wait that long for a leader that died.
    pub lease: Duration,
    /// The first pause of a follower; default 10 ms, doubling.
    pub first_pause: Duration,
    /// The longest pause of a follower; default 250 ms.
    pub max_pause: Duration,
    /// How long a follower waits before it loads for itself; default 15 s, above the lease.
    pub patience: Duration,
}

impl Default for FlightConfig {
    fn default() -> Self {
        Self {
            lease: Duration::from_secs(10),
            first_pause: Duration::from_millis(10),
            max_pause: Duration::from_millis(250),
            patience: Duration::from_secs(15),
        }
    }
}

impl FlightConfig {
    /// Refuses what would ask the lock without a pause, or wait for less than a leader may take.
    pub(crate) fn validate(&self) -> Result<(), ConfigError> {
        if self.lease.is_zero() {
            return Err(ConfigError::new("lease", "0", "more than zero: the time of a load, and some more"));
        }
        if self.first_pause.is_zero() {
            return Err(ConfigError::new("first_pause", "0", "more than zero, or followers never pause"));
        }
        if self.max_pause < self.first_pause {
            let expected = format!("at least first_pause ({:?})", self.first_pause);
            return Err(ConfigError::new("max_pause", format!("{:?}", self.max_pause), expected));
        }
        if self.patience < self.lease {
            let expected =
                format!("at least lease ({:?}), or followers give up while a leader may yet load", self.lease);
            return Err(ConfigError::new("patience", format!("{:?}", self.patience), expected));
        }
        Ok(())
    }
}

/// Takes turns between nodes.
#[derive(Debug, Clone)]
pub struct DistributedFlight {
    lock: Arc<dyn RemoteLock>,
    config: FlightConfig,
}

/// Whose turn it is.
#[derive(Debug)]
#[non_exhaustive]
pub enum Turn<T> {
    /// This node loads, and holds the lease until the guard goes.
    Lead(LeaseGuard),
    /// Another node loaded meanwhile, and this was found.
    Follow(T),
    /// This node loads without a lease: the remote does not answer, or patience is over.
    Alone,
}

impl DistributedFlight {
    pub(crate) const fn config(&self) -> &FlightConfig {
        &self.config
    }

    /// Makes turns by this lock.
    pub fn new(lock: impl RemoteLock, config: FlightConfig) -> Self {
        Self { lock: Arc::new(lock), config }
    }

    /// Waits for the turn to load a key; `look` asks the tier whether a value came meanwhile.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future may leave a lease that runs out by itself.
    pub async fn enter<T, F: Future<Output = Option<T>>>(&self, key: &[u8], mut look: impl FnMut() -> F) -> Turn<T> {
        let token = LockToken::random();
        let began = Instant::now();
        let left = || self.config.patience.saturating_sub(began.elapsed());
        let mut pause = self.config.first_pause;
        let mut waited = false;
        loop {
            // A lock that never answers is none.
            match timeout(left().max(self.config.max_pause), self.lock.acquire(key, token, self.config.lease)).await {
                Err(_) | Ok(Err(_)) => return Turn::Alone,
                Ok(Ok(true)) => {
                    let guard = LeaseGuard { lock: Some((Arc::clone(&self.lock), Bytes::copy_from_slice(key), token)) };
                    // The leader before may have written between the last look and its release.
                    let found = if waited { look().await } else { None };
                    return found.map_or(Turn::Lead(guard), Turn::Follow);
                }
                Ok(Ok(false)) => {}
            }
            if left().is_zero() {
                return Turn::Alone;
            }
            // Up to a quarter less, so that the nodes do not come back in step.
            tokio::time::sleep(pause.mul_f64(1.0 - 0.25 * fastrand::f64())).await;
            pause = pause.saturating_mul(2).min(self.config.max_pause);
            waited = true;
            if let Some(found) = look().await {
                return Turn::Follow(found);
            }
        }
    }
}

/// Holds a lease; dropping it gives it back in the background where there is a runtime, and lets it
/// run out where there is none.
pub struct LeaseGuard {
    lock: Option<(Arc<dyn RemoteLock>, Bytes, LockToken)>,
}

impl LeaseGuard {
    /// Gives the lease back; `false` if it had run out, or the remote did not answer.
    ///
    /// # Cancel safety
    ///
    /// After dropping the future the lease is given back or runs out.
    pub async fn release(mut self) -> bool {
        match self.lock.take() {
            Some((lock, key, token)) => lock.release(&key, token).await.unwrap_or(false),
            None => false,
        }
    }
}

impl Drop for LeaseGuard {
    fn drop(&mut self) {
        let Some((lock, key, token)) = self.lock.take() else { return };
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            // Bounded by the lock's own timeout, and of no consequence if it fails: the lease runs out.
            drop(runtime.spawn(async move { drop(lock.release(&key, token).await) }));
        }
    }
}

impl fmt::Debug for LeaseGuard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LeaseGuard").finish_non_exhaustive()
    }
}

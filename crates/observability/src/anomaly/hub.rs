use std::collections::VecDeque;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use serde::{Deserialize, Serialize};

use super::AnomalyConfig;
use super::detector::{Anomaly, AnomalyKind, Detector, DetectorStats};
use crate::{ConfigError, TraceId};

/// A [`Detector`] that many parts feed and listen to.
///
/// Clones share it. One that [`ObservabilityBuilder::anomalies`](crate::ObservabilityBuilder::anomalies) made is fed and
/// driven by the telemetry itself. One of your own has no task: whoever drives it calls [`tick`](Self::tick) about every
/// 10 s, as a scheduled job, a health check's interval, or a loop of the application does.
///
/// # Examples
/// ```
/// use bedplate_observability::anomaly::{Anomalies, AnomalyConfig};
/// use std::time::{Duration, Instant};
/// let anomalies = Anomalies::new(AnomalyConfig::default())?;
/// anomalies.subscribe(|anomaly| eprintln!("{} is not as usual: {:?}", anomaly.operation, anomaly.kind));
/// # #[expect(clippy::disallowed_methods, reason = "an example")]
/// let now = Instant::now();
/// anomalies.feed(now, "charge", Duration::from_millis(20), false, None);
/// anomalies.tick(now + Duration::from_secs(10));
/// assert!(anomalies.health().healthy);
/// # Ok::<(), bedplate_observability::ConfigError>(())
/// ```
#[derive(Clone)]
pub struct Anomalies {
    shared: Arc<Shared>,
}

struct Shared {
    detector: Mutex<Detector>,
    listeners: Mutex<Vec<Arc<Listener>>>,
    recent: Mutex<VecDeque<Anomaly>>,
}

type Listener = dyn Fn(&Anomaly) + Send + Sync;

/// The anomalies as a health check sees them.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct AnomalyHealth {
    /// Whether there are none.
    pub healthy: bool,
    /// The operations with what is wrong about them.
    pub active: Vec<(String, AnomalyKind)>,
}

impl Anomalies {
    /// Returns a detector to share.
    ///
    /// # Errors
    /// [`ConfigError`] names a setting that cannot be.
    pub fn new(config: AnomalyConfig) -> Result<Self, ConfigError> {
        let (listeners, recent) = (Mutex::default(), Mutex::default());
        Ok(Self { shared: Arc::new(Shared { detector: Mutex::new(Detector::new(config)?), listeners, recent }) })
    }

    /// Notes a request that ended.
    pub fn feed(&self, now: Instant, operation: &str, took: Duration, failed: bool, trace_id: Option<TraceId>) {
        self.shared.detector.lock().feed(now, operation, took, failed, trace_id);
    }

    /// Closes the buckets that ended by now, and tells the listeners what began or ended by them.
    pub fn tick(&self, now: Instant) -> Vec<Anomaly> {
        let found = self.shared.detector.lock().tick(now);
        if found.is_empty() {
            return found;
        }
        let mut recent = self.shared.recent.lock();
        for anomaly in &found {
            if recent.len() == RECENT {
                recent.pop_front();
            }
            recent.push_back(anomaly.clone());
        }
        drop(recent);
        // Without the lock, so that a listener may subscribe another or ask for the state.
        let listeners = self.shared.listeners.lock().clone();
        for anomaly in &found {
            for listener in &listeners {
                // A listener's panic is its own; the others hear of it all.
                let _panicked = catch_unwind(AssertUnwindSafe(|| listener(anomaly)));
            }
        }
        found
    }

    /// Calls `listener` with each anomaly that begins or ends, on the thread that ticks; it must be quick, as sending to a
    /// bounded channel is. Returns whether it was taken: there may be 64.
    pub fn subscribe(&self, listener: impl Fn(&Anomaly) + Send + Sync + 'static) -> bool {
        let mut listeners = self.shared.listeners.lock();
        let fits = listeners.len() < MAX_LISTENERS;
        if fits {
            listeners.push(Arc::new(listener));
        }
        fits
    }

    /// Returns the last 256 anomalies that began or ended, the oldest first.
    #[must_use]
    pub fn recent(&self) -> Vec<Anomaly> {
        self.shared.recent.lock().iter().cloned().collect()
    }

    /// Returns what is anomalous now, for a health check.
    #[must_use]
    pub fn health(&self) -> AnomalyHealth {
        let detector = self.shared.detector.lock();
        let active: Vec<_> = detector.active().into_iter().map(|(name, kind)| (name.to_owned(), kind)).collect();
        AnomalyHealth { healthy: active.is_empty(), active }
    }

    /// Returns what the detector did so far.
    #[must_use]
    pub fn stats(&self) -> DetectorStats {
        self.shared.detector.lock().stats()
    }
}

impl fmt::Debug for Anomalies {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Anomalies").field("stats", &self.stats()).finish_non_exhaustive()
    }
}

const RECENT: usize = 256;
const MAX_LISTENERS: usize = 64;

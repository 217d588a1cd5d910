//! The link itself, and what its parts share.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use tokio::sync::Notify;

use crate::load::catch;
use crate::remote::stamp::StampClock;
use crate::remote::{
    Admission, Backplane, BreakerConfig, BreakerState, Change, GapDetector, GapReason, NodeId, Notification, OpenError,
    Opened, RecoveryConfig, RecoveryQueue, RemoteBreaker, RemoteError, RemoteTier, Stamp, StepId, SystemWallClock,
    WallClock,
};
use crate::{Clock, ConfigError, TokioClock};

/// How a link behaves.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct LinkConfig {
    /// The node's name; random by default. Two nodes of one name take each other's notifications for
    /// their own.
    pub node: NodeId,
    /// How long one call may take, the tier's own bound aside; default 1 s, more than zero. Too small, and a slow remote
    /// is no remote; too large, and a stuck one holds up a load that long, until the breaker opens.
    pub timeout: Duration,
    /// How far another node's clock may be ahead; default 5 s, less than `tombstone_ttl`. Too small refuses what honest nodes wrote,
    /// too large lets a wrong clock win for that long.
    pub max_skew: Duration,
    /// How long the markers of tags are believed without asking again; default 5 s, at most `tombstone_ttl`;
    /// zero asks each time. They also arrive by
    /// the backplane: this bounds how long a missed one hides.
    pub marker_ttl: Duration,
    /// How long tombstones and markers are kept in the tier, and any value at most, since a value that
    /// outlived the word that it is old would be served again; default 24 h, at least 1 ms. Short loses values early, long
    /// keeps a word per removed key for that time.
    pub tombstone_ttl: Duration,
    /// When the tier is left alone, and when the backplane is: each has a breaker of its own.
    pub breaker: BreakerConfig,
    /// What is queued while it is.
    pub recovery: RecoveryConfig,
    /// Makes of a pattern what tells whether it matches a key; by default `*` stands for any bytes and `?`
    /// for one. A cache sets it to its own prefixes and globs.
    pub compile: fn(pattern: &str) -> CompiledPattern,
}

impl LinkConfig {
    /// Checks every setting against the bounds that its documentation names.
    ///
    /// # Errors
    ///
    /// [`ConfigError`] for the first that is out of them.
    pub fn validate(&self) -> Result<(), ConfigError> {
        let Self { node: _, timeout, max_skew, marker_ttl, tombstone_ttl, breaker, recovery, compile: _ } = self;
        if timeout.is_zero() {
            return Err(ConfigError::new("timeout", "0s", "more than zero"));
        }
        if *tombstone_ttl < Duration::from_millis(1) {
            let expected = "at least 1ms, since no value is kept for longer";
            return Err(refused("tombstone_ttl", *tombstone_ttl, expected));
        }
        if *max_skew >= *tombstone_ttl {
            let expected =
                format!("less than tombstone_ttl ({tombstone_ttl:?}), or a word would run out before it counts");
            return Err(refused("max_skew", *max_skew, expected));
        }
        if *marker_ttl > *tombstone_ttl {
            return Err(refused("marker_ttl", *marker_ttl, format!("at most tombstone_ttl ({tombstone_ttl:?})")));
        }
        let BreakerConfig { failures, open_for, max_open_for, probe_timeout } = breaker;
        if *failures == 0 {
            return Err(ConfigError::new("breaker.failures", 0, "at least 1"));
        }
        if open_for.is_zero() {
            return Err(ConfigError::new("breaker.open_for", "0s", "more than zero"));
        }
        if max_open_for < open_for {
            let expected = format!("at least breaker.open_for ({open_for:?})");
            return Err(refused("breaker.max_open_for", *max_open_for, expected));
        }
        if probe_timeout <= timeout {
            let expected = format!("more than timeout ({timeout:?}), or a probe under way would be taken for lost");
            return Err(refused("breaker.probe_timeout", *probe_timeout, expected));
        }
        let RecoveryConfig { max_items, max_bytes } = recovery;
        if *max_items == 0 {
            return Err(ConfigError::new("recovery.max_items", 0, "at least 1"));
        }
        if *max_bytes < RecoveryConfig::LEAST_BYTES {
            let expected = format!("at least {} bytes", RecoveryConfig::LEAST_BYTES);
            return Err(ConfigError::new("recovery.max_bytes", max_bytes, expected));
        }
        Ok(())
    }
}

fn refused(field: &'static str, value: Duration, expected: impl Into<String>) -> ConfigError {
    ConfigError::new(field, format_args!("{value:?}"), expected)
}

impl Default for LinkConfig {
    fn default() -> Self {
        Self {
            node: NodeId::random(),
            timeout: Duration::from_secs(1),
            max_skew: Duration::from_secs(5),
            marker_ttl: Duration::from_secs(5),
            tombstone_ttl: Duration::from_hours(24),
            breaker: BreakerConfig::default(),
            recovery: RecoveryConfig::default(),
            compile: super::write::compile_glob,
        }
    }
}

/// Tells whether a pattern matches a key.
pub type CompiledPattern = Box<dyn Fn(&[u8]) -> bool + Send + Sync>;

/// What a load from the tier found.
#[derive(Debug)]
#[non_exhaustive]
pub enum Loaded<V> {
    /// A value, or the knowledge that there is none; see the times in its head.
    Found(Opened<V>),
    /// Nothing that may be served: absent, invalidated, or run out.
    Missing,
    /// What was there cannot be read: a counted miss.
    Unreadable(OpenError),
    /// The tier was not asked or did not answer: a counted miss.
    Failed(RemoteError),
}

/// What became of a write or an invalidation; whatever it was, the caller need not wait or try again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Written {
    /// It is in the tier, and the others were told.
    Stored,
    /// The tier holds something newer: what this node holds in memory is old.
    Outdated,
    /// It waits for the remote.
    Queued,
}

/// What a replay did.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Replay {
    /// Steps done.
    pub steps: u64,
    /// Keys of which the tier holds something newer: what this node holds in memory is old.
    pub outdated: Vec<Bytes>,
    /// Items that still wait.
    pub remaining: usize,
}

/// What another node's word means for this one.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum RemoteEvent {
    /// It changed something: what is held and older than its stamp is to go.
    Changed(Notification),
    /// Words may have been missed: nothing held is to be trusted as fresh. Expire it and keep it for the
    /// case that nothing better is to be had.
    Suspect(GapReason),
}

/// What a link did so far.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct LinkStats {
    /// Loads that found something to serve.
    pub hits: u64,
    /// Loads that found nothing.
    pub misses: u64,
    /// Loads whose find was older than an invalidation.
    pub invalidated: u64,
    /// Loads whose find could not be read.
    pub unreadable: u64,
    /// Calls that failed.
    pub failures: u64,
    /// Those of them in which the code of the tier or of the backplane panicked.
    #[serde(default)]
    pub panics: u64,
    /// Calls that were not made, as the breaker was open.
    pub refused: u64,
    /// Writes that found something newer.
    pub outdated: u64,
    /// Changes that were queued.
    pub queued: u64,
    /// Steps of the queue that were done.
    pub replayed: u64,
    /// Queued changes that had to go.
    pub lost: u64,
    /// Changes that wait now.
    pub waiting: u64,
    /// Times that notifications may have been missed.
    pub gaps: u64,
}

/// A cache's link to the other nodes: a tier, a backplane, or both.
#[derive(Debug)]
pub struct RemoteLink {
    pub(super) tier: Option<Arc<dyn RemoteTier>>,
    pub(super) backplane: Option<Arc<dyn Backplane>>,
    pub(super) config: LinkConfig,
    pub(super) wall: Arc<dyn WallClock>,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) state: Mutex<State>,
    /// Held while publishing, so that the notifications of a node arrive in the order of their numbers.
    pub(super) sequence: tokio::sync::Mutex<u64>,
    /// Held while replaying, so that no step is done twice at once.
    pub(super) replaying: tokio::sync::Mutex<()>,
    pub(super) wake: Notify,
}

#[derive(Debug)]
pub(super) struct State {
    pub(super) stamps: StampClock,
    pub(super) breaker: RemoteBreaker,
    /// Of the backplane: one that fails says nothing against the tier.
    pub(super) backplane_breaker: RemoteBreaker,
    pub(super) queue: RecoveryQueue,
    pub(super) gaps: GapDetector,
    /// Markers of tags with the time they were asked for.
    pub(super) markers: HashMap<String, (Option<Stamp>, Duration)>,
    /// How often markers were given up: an answer of the tier from before is not kept after.
    pub(super) doubts: u64,
    /// The newest word that all is old.
    pub(super) cleared: Option<Stamp>,
    /// Keys of the tier that are being written, with the newest of those words: what the tier holds of
    /// them is old already.
    pub(super) under_way: HashMap<Bytes, UnderWay>,
    /// Words that were prepared and neither sent nor queued yet.
    pub(super) promised: usize,
    /// The step of the queue in which the remote's code has panicked, and how often in a row.
    pub(super) panicked: Option<(StepId, u32)>,
    pub(super) stats: LinkStats,
}

#[derive(Debug)]
pub(super) struct UnderWay {
    pub(super) newest: Stamp,
    pub(super) words: usize,
}

impl RemoteLink {
    /// Makes a link without tier and backplane.
    ///
    /// # Errors
    ///
    /// [`ConfigError`] as of [`LinkConfig::validate`].
    pub fn new(config: LinkConfig) -> Result<Self, ConfigError> {
        config.validate()?;
        let state = State {
            stamps: StampClock::new(config.node, config.max_skew),
            breaker: RemoteBreaker::new(config.breaker),
            backplane_breaker: RemoteBreaker::new(config.breaker),
            queue: RecoveryQueue::new(config.recovery),
            gaps: GapDetector::new(MAX_NODES),
            markers: HashMap::new(),
            doubts: 0,
            cleared: None,
            under_way: HashMap::new(),
            promised: 0,
            panicked: None,
            stats: LinkStats::default(),
        };
        Ok(Self {
            tier: None,
            backplane: None,
            config,
            wall: Arc::new(SystemWallClock::new()),
            clock: Arc::new(TokioClock::new()),
            state: Mutex::new(state),
            sequence: tokio::sync::Mutex::new(0),
            replaying: tokio::sync::Mutex::new(()),
            wake: Notify::new(),
        })
    }

    /// Adds a tier.
    #[must_use]
    pub fn tier(mut self, tier: impl RemoteTier) -> Self {
        self.tier = Some(Arc::new(tier));
        self
    }

    /// Adds a backplane.
    #[must_use]
    pub fn backplane(mut self, backplane: impl Backplane) -> Self {
        self.backplane = Some(Arc::new(backplane));
        self
    }

    /// Takes the time from these clocks: the calendar, and the one that never jumps.
    #[must_use]
    pub fn clocks(mut self, wall: Arc<dyn WallClock>, clock: Arc<dyn Clock>) -> Self {
        (self.wall, self.clock) = (wall, clock);
        self
    }

    /// Tells whether there is a backplane.
    pub(crate) const fn has_backplane(&self) -> bool {
        self.backplane.is_some()
    }

    /// Returns how long a call may take.
    pub(crate) const fn timeout(&self) -> Duration {
        self.config.timeout
    }

    /// Returns the node's name.
    pub const fn node(&self) -> NodeId {
        self.config.node
    }

    /// Makes the stamp of something that begins to be true now: before a load, at a write.
    pub fn stamp(&self) -> Stamp {
        self.state.lock().stamps.next(self.wall.millis())
    }

    /// Returns the wall-clock time in milliseconds, as stamps and envelopes have it.
    pub fn millis(&self) -> u64 {
        self.wall.millis()
    }

    /// Returns what the breaker thinks of the tier.
    pub fn breaker_state(&self) -> BreakerState {
        self.state.lock().breaker.state()
    }

    /// Returns what was done so far.
    pub fn stats(&self) -> LinkStats {
        let state = self.state.lock();
        let waiting = u64::try_from(state.queue.len()).unwrap_or(u64::MAX);
        LinkStats { lost: state.queue.lost(), waiting, ..state.stats }
    }

    /// Makes a call to the tier, if its breaker lets it and in bounded time.
    pub(super) async fn call<T>(&self, call: impl Future<Output = Result<T, RemoteError>>) -> Result<T, RemoteError> {
        self.call_by(|state| &mut state.breaker, call).await
    }

    async fn call_by<T>(
        &self,
        breaker: fn(&mut State) -> &mut RemoteBreaker,
        call: impl Future<Output = Result<T, RemoteError>>,
    ) -> Result<T, RemoteError> {
        let admission = breaker(&mut self.state.lock()).admit(self.clock.now());
        if let Admission::Refuse { retry_after } = admission {
            self.state.lock().stats.refused += 1;
            return Err(RemoteError::breaker_open(retry_after));
        }
        // The code of a tier is anyone's: what panics in it fails the call, and not the task that made it.
        let outcome = match tokio::time::timeout(self.config.timeout, catch(call)).await {
            Ok(Ok(outcome)) => outcome,
            Ok(Err(message)) => Err(RemoteError::panicked(message)),
            Err(_) => Err(RemoteError::timed_out(self.config.timeout)),
        };
        let mut state = self.state.lock();
        state.stats.panics += u64::from(matches!(outcome, Err(RemoteError::Panicked { .. })));
        match &outcome {
            Err(error) if error.is_transient() => breaker(&mut state).failed(self.clock.now()),
            _ => breaker(&mut state).answered(),
        }
        state.stats.failures += u64::from(outcome.is_err());
        outcome
    }

    pub(super) async fn publish(&self, stamp: Stamp, change: Change) -> Result<(), RemoteError> {
        let Some(backplane) = &self.backplane else { return Ok(()) };
        let mut sequence = self.sequence.lock().await;
        // The number is spent even if the call fails: the others may have heard it, and if they did not,
        // a hole is what they should see.
        *sequence += 1;
        let notification = Notification::new(stamp, *sequence, change);
        let call = async { backplane.publish(&notification).await };
        self.call_by(|state| &mut state.backplane_breaker, call).await
    }
}

/// The key of the marker that says since when nothing older counts. Keys of values have another first
/// byte.
pub(super) const ALL_MARKER: &[u8] = b"!";
/// Nodes whose sequences are followed.
const MAX_NODES: usize = 1024;
/// Tags whose markers are remembered.
pub(super) const MAX_MARKERS: usize = 4096;

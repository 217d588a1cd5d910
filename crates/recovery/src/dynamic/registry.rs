use std::borrow::Borrow;
use std::collections::HashMap;
use std::fmt;
use std::hash::Hash;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use parking_lot::RwLock;
use serde::{Deserialize, Serialize};

use super::DynPipeline;
use super::config::PipelineConfig;
use crate::config::{ConfigError, count, positive};

/// The bounds of a [`Registry`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
#[non_exhaustive]
pub struct RegistryConfig {
    /// How many pipelines are kept; 1 to 1,000,000, default 1,000. With more keys than that in use, the sixteenth of them
    /// that was not asked for the longest is forgotten with its state.
    pub max_keys: u32,
    /// A pipeline that was not asked for this long is forgotten once room is needed, or by [`Registry::sweep`]; above zero,
    /// default 10 minutes.
    pub idle: Duration,
}

impl Default for RegistryConfig {
    fn default() -> Self {
        Self { max_keys: 1_000, idle: Duration::from_mins(10) }
    }
}

/// A pipeline for each key (a host, a tenant, a model), all of one configuration, in bounded memory.
///
/// # Examples
/// ```
/// use bedplate_recovery::{Clock, PipelineConfig, Registry, RegistryConfig, TokioClock};
///
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let config: PipelineConfig = serde_json::from_str(r#"{ "policies": [{ "breaker": {} }] }"#)?;
/// let hosts = Registry::<String>::new(config, RegistryConfig::default())?;
/// let one = hosts.get("one.example", TokioClock.now())?;
/// assert_eq!(one.run(|_| async { Ok::<_, std::io::Error>(7) }).await?, 7);
/// assert_eq!((one.name(), hosts.stats().keys), ("one.example", 1));
/// # Ok(()) }
/// ```
pub struct Registry<K> {
    bounds: RegistryConfig,
    origin: Instant,
    state: RwLock<State<K>>,
    created: AtomicU64,
    evicted_idle: AtomicU64,
    evicted_in_use: AtomicU64,
}

struct State<K> {
    config: PipelineConfig,
    entries: HashMap<K, Entry>,
}

struct Entry {
    pipeline: DynPipeline,
    /// Milliseconds since the origin at which it was asked for last.
    asked: AtomicU64,
}

/// What a registry holds and did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
#[non_exhaustive]
pub struct RegistryStats {
    /// Pipelines held now.
    pub keys: usize,
    /// Pipelines created.
    pub created: u64,
    /// Pipelines forgotten since nobody asked for them.
    pub evicted_idle: u64,
    /// Pipelines forgotten for want of room although they were not idle: raise `max_keys`.
    pub evicted_in_use: u64,
}

impl<K: Hash + Eq + Clone> Registry<K> {
    /// Creates an empty registry.
    ///
    /// # Errors
    /// Returns a [`ConfigError`] naming the first setting that cannot be used, of the bounds or of the pipelines.
    pub fn new(config: PipelineConfig, bounds: RegistryConfig) -> Result<Self, ConfigError> {
        count("registry.max_keys", bounds.max_keys, 1_000_000, "1 to 1,000,000")?;
        positive("registry.idle", bounds.idle)?;
        drop(config.build("registry")?);
        Ok(Self {
            bounds,
            origin: tokio::time::Instant::now().into_std(),
            state: RwLock::new(State { config, entries: HashMap::new() }),
            created: AtomicU64::new(0),
            evicted_idle: AtomicU64::new(0),
            evicted_in_use: AtomicU64::new(0),
        })
    }

    /// Returns the pipeline of `key`, which is created if there is none; its name is the key.
    ///
    /// A caller that holds on to it keeps it alive even if it is forgotten here.
    ///
    /// # Errors
    /// Returns a [`ConfigError`] if the pipeline cannot be built, which the check of the settings has ruled out.
    pub fn get<Q>(&self, key: &Q, now: Instant) -> Result<DynPipeline, ConfigError>
    where
        K: Borrow<Q> + for<'a> From<&'a Q>,
        Q: Hash + Eq + ToString + ?Sized,
    {
        let at = self.millis(now);
        if let Some(entry) = self.state.read().entries.get(key) {
            entry.asked.fetch_max(at, Ordering::Relaxed);
            return Ok(entry.pipeline.clone());
        }
        let mut state = self.state.write();
        if let Some(entry) = state.entries.get(key) {
            entry.asked.fetch_max(at, Ordering::Relaxed);
            return Ok(entry.pipeline.clone());
        }
        self.make_room(&mut state, at);
        let pipeline = state.config.build(key.to_string())?;
        self.created.fetch_add(1, Ordering::Relaxed);
        let entry = Entry { pipeline: pipeline.clone(), asked: AtomicU64::new(at) };
        state.entries.insert(K::from(key), entry);
        Ok(pipeline)
    }

    /// Gives other settings to all pipelines that it holds, and so to callers who hold one of them; counters, windows and
    /// tokens are kept. A pipeline that was forgotten here keeps its old settings, wherever it is still held: ask
    /// [`get`](Self::get) for each call.
    ///
    /// # Errors
    /// Returns a [`ConfigError`] naming the first setting that cannot be used; the old settings then stay everywhere.
    pub fn reload(&self, now: Instant, config: PipelineConfig) -> Result<(), ConfigError> {
        drop(config.build("registry")?);
        let mut state = self.state.write();
        for entry in state.entries.values() {
            entry.pipeline.policy().reload(now, &config)?;
        }
        state.config = config;
        Ok(())
    }

    /// Forgets what is idle at `now`; called by itself when room is needed. Returns how many there were.
    pub fn sweep(&self, now: Instant) -> usize {
        let at = self.millis(now);
        self.sweep_idle(&mut self.state.write(), at)
    }

    /// Returns what the registry holds and did.
    #[must_use]
    pub fn stats(&self) -> RegistryStats {
        RegistryStats {
            keys: self.state.read().entries.len(),
            created: self.created.load(Ordering::Relaxed),
            evicted_idle: self.evicted_idle.load(Ordering::Relaxed),
            evicted_in_use: self.evicted_in_use.load(Ordering::Relaxed),
        }
    }

    fn make_room(&self, state: &mut State<K>, at: u64) {
        let most = usize::try_from(self.bounds.max_keys).unwrap_or(usize::MAX);
        if state.entries.len() < most {
            return;
        }
        if self.sweep_idle(state, at) > 0 {
            return;
        }
        // A sixteenth at a time, so that a flood of keys does not look at all of them for each.
        let mut ages: Vec<u64> = state.entries.values().map(|entry| entry.asked.load(Ordering::Relaxed)).collect();
        let mut left = (ages.len() / 16).max(1);
        let (_, youngest, _) = ages.select_nth_unstable(left - 1);
        let youngest = *youngest;
        state.entries.retain(|_, entry| {
            let goes = left > 0 && entry.asked.load(Ordering::Relaxed) <= youngest;
            if goes {
                left -= 1;
                self.evicted_in_use.fetch_add(1, Ordering::Relaxed);
            }
            !goes
        });
    }

    fn sweep_idle(&self, state: &mut State<K>, at: u64) -> usize {
        let idle = u64::try_from(self.bounds.idle.as_millis()).unwrap_or(u64::MAX);
        let before = state.entries.len();
        state.entries.retain(|_, entry| at.saturating_sub(entry.asked.load(Ordering::Relaxed)) < idle);
        let gone = before - state.entries.len();
        self.evicted_idle.fetch_add(u64::try_from(gone).unwrap_or(0), Ordering::Relaxed);
        gone
    }

    fn millis(&self, now: Instant) -> u64 {
        u64::try_from(now.saturating_duration_since(self.origin).as_millis()).unwrap_or(u64::MAX)
    }
}

impl<K> fmt::Debug for Registry<K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Registry").field("bounds", &self.bounds).finish_non_exhaustive()
    }
}

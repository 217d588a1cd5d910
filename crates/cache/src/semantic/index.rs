//! Stores answers by what was asked, and finds them again.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::{Mutex, RwLock};
use serde::{Deserialize, Serialize};

use super::embedder::normalize;
use super::space::{Entry, Near, Space};
use super::{ContentGate, EmbedError, Embedder, Refusal, SemanticConfig, SemanticMode};
use crate::{Clock, ConfigError, TokioClock};

/// Who asks, and which model answers. The embedder is the third part: an index has one for its life, so
/// vectors of two never meet.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Namespace {
    tenant: Arc<str>,
    model: Arc<str>,
}

impl Namespace {
    /// Names a space: neither tenant nor model may be empty. What else changes the answer, such as the
    /// system prompt, belongs into the name of the model.
    ///
    /// # Errors
    ///
    /// [`ConfigError`] for an empty name.
    pub fn new(tenant: &str, model: &str) -> Result<Self, ConfigError> {
        for (field, value) in [("tenant", tenant), ("model", model)] {
            if value.is_empty() {
                return Err(ConfigError::new(field, value, "a name"));
            }
        }
        Ok(Self { tenant: tenant.into(), model: model.into() })
    }
}

/// Names an entry, to take it out again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct EntryId(u64);

/// Why an index could not store or look up.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SemanticError {
    /// The text has no vector.
    #[error("the text could not be embedded")]
    Embed(#[from] EmbedError),
    /// The text is longer than the index takes.
    #[error("text of {bytes} bytes, at most {limit} are taken")]
    #[non_exhaustive]
    TooLong {
        /// How long it is.
        bytes: usize,
        /// How long it may be.
        limit: usize,
    },
    /// The embedder returned what is no vector of its own kind, or one of length zero.
    #[error("the vector is not one of {expected} finite numbers that are not all zero")]
    #[non_exhaustive]
    BadVector {
        /// How many numbers it should have.
        expected: usize,
    },
}

impl SemanticError {
    /// Tells whether the same call may succeed later as it is: an embedder may be back.
    pub const fn is_transient(&self) -> bool {
        matches!(self, Self::Embed(_))
    }
}

/// What a look-up found.
#[derive(Debug)]
#[non_exhaustive]
pub enum Lookup<V> {
    /// This.
    Hit(Found<V>),
    /// Nothing is alike enough.
    Absent,
    /// Something is alike, and the content gate refused it.
    Refused(Refusal),
    /// Two entries of different answers are about as alike.
    Ambiguous,
    /// The caller's closure refused it.
    Unverified,
    /// It would have been a hit, and the index is only watching.
    Shadowed,
}

impl<V> Lookup<V> {
    /// Returns what was found, if it may be served.
    pub fn hit(self) -> Option<Found<V>> {
        if let Self::Hit(found) = self { Some(found) } else { None }
    }
}

/// An answer that was found.
#[non_exhaustive]
pub struct Found<V> {
    /// The answer.
    pub value: Arc<V>,
    /// The cosine of the two questions.
    pub score: f32,
    /// How much more alike it is than the best of another answer that also passed the gate; `None` if
    /// there is none.
    pub margin: Option<f32>,
    /// Which entry it is, to take it out if the answer is wrong.
    pub id: EntryId,
}

impl<V> fmt::Debug for Found<V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Found")
            .field("score", &self.score)
            .field("margin", &self.margin)
            .field("id", &self.id)
            .finish_non_exhaustive()
    }
}

/// What a caller's closure decides on.
#[non_exhaustive]
pub struct Candidate<'a, V> {
    /// What is asked.
    pub asked: &'a str,
    /// What was asked then.
    pub stored: &'a str,
    /// The answer of then.
    pub value: &'a V,
    /// The cosine of the two questions.
    pub score: f32,
}

impl<V> fmt::Debug for Candidate<'_, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Candidate").field("score", &self.score).finish_non_exhaustive()
    }
}

/// What an index did so far.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct SemanticStats {
    /// Hits that were served.
    pub hits: u64,
    /// Hits that would have been served, had the index not only watched.
    pub shadow_hits: u64,
    /// Look-ups that found nothing alike.
    pub absent: u64,
    /// Look-ups that the gate refused.
    pub refused: u64,
    /// Look-ups with two answers about as alike.
    pub ambiguous: u64,
    /// Look-ups that the caller's closure refused.
    pub unverified: u64,
    /// Entries that were reported as false hits and taken out.
    pub false_hits: u64,
    /// Entries that gave way to keep the bounds.
    pub evicted: u64,
    /// Entries now, those whose time is over and that were not swept yet included.
    pub entries: u64,
    /// Bytes of their vectors and texts.
    pub bytes: u64,
}

/// Answers by meaning, in bounded memory.
///
/// # Examples
///
/// ```
/// use bedplate_cache::semantic::{Namespace, NgramEmbedder, SemanticConfig, SemanticIndex};
///
/// # tokio::runtime::Builder::new_current_thread().build()?.block_on(async {
/// let index = SemanticIndex::new(NgramEmbedder::new(), SemanticConfig::serve(0.7))?;
/// let space = Namespace::new("acme", "gpt-x")?;
/// index.insert(&space, "How do I reset my password?", "Under Settings.").await?;
///
/// let found = index.lookup(&space, "How can I reset my password?", |_| true).await?;
/// assert_eq!(found.hit().map(|found| *found.value), Some("Under Settings."));
/// let other = index.lookup(&space, "How do I not reset my password?", |_| true).await?;
/// assert!(other.hit().is_none());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// # })?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct SemanticIndex<V> {
    embedder: Arc<dyn Embedder>,
    config: SemanticConfig,
    clock: Arc<dyn Clock>,
    gate: ContentGate,
    state: RwLock<State<V>>,
    ticks: AtomicU64,
    stats: Mutex<SemanticStats>,
}

struct State<V> {
    spaces: HashMap<Namespace, Space<V>>,
    entries: usize,
    bytes: usize,
}

impl<V> SemanticIndex<V> {
    /// Makes an empty index.
    ///
    /// # Errors
    ///
    /// [`ConfigError`] if a setting is out of its bounds.
    pub fn new(embedder: impl Embedder, config: SemanticConfig) -> Result<Self, ConfigError> {
        config.validate()?;
        if embedder.dimensions() == 0 {
            return Err(ConfigError::new("embedder", "0 dimensions", "at least 1"));
        }
        Ok(Self {
            embedder: Arc::new(embedder),
            config,
            clock: Arc::new(TokioClock::new()),
            gate: ContentGate::new(),
            state: RwLock::new(State { spaces: HashMap::new(), entries: 0, bytes: 0 }),
            ticks: AtomicU64::new(0),
            stats: Mutex::new(SemanticStats::default()),
        })
    }

    /// Takes the time from this clock.
    #[must_use]
    pub fn clock(mut self, clock: Arc<dyn Clock>) -> Self {
        self.clock = clock;
        self
    }

    /// Stores the answer to a question. Several questions may share an answer: give them the same `Arc`,
    /// and they are no rivals of each other.
    ///
    /// # Errors
    ///
    /// [`SemanticError`]; nothing is stored then.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future stores nothing.
    pub async fn insert(
        &self,
        space: &Namespace,
        text: &str,
        value: impl Into<Arc<V>>,
    ) -> Result<EntryId, SemanticError> {
        let vector = self.embed(text).await?;
        let id = self.ticks.fetch_add(1, Ordering::Relaxed);
        let now = self.clock.now();
        let until = now.saturating_add(self.config.ttl);
        let entry = Entry { id, text: text.into(), value: value.into(), until, used: AtomicU64::new(id) };
        let mut out = Vec::new();
        {
            let mut state = self.state.write();
            let known = state.spaces.entry(space.clone()).or_insert_with(|| Space::new(self.embedder.dimensions()));
            // The same question once more: the new answer counts.
            out.extend(known.take_out(|entry| *entry.text == *text));
            known.push(entry, &vector);
            state.entries += 1;
            state.bytes += self.cost(text);
            for entry in &out {
                state.entries -= 1;
                state.bytes -= self.cost(&entry.text);
            }
            self.keep_bounds(&mut state, now, &mut out);
        }
        // The values go here, outside of the lock: their `Drop` is foreign code.
        drop(out);
        Ok(EntryId(id))
    }

    /// Looks for an answer; `verify` has the last word and runs outside of all locks.
    ///
    /// # Errors
    ///
    /// [`SemanticError`] if the text cannot be looked up.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future has no effect.
    pub async fn lookup(
        &self,
        space: &Namespace,
        text: &str,
        verify: impl FnOnce(&Candidate<'_, V>) -> bool,
    ) -> Result<Lookup<V>, SemanticError> {
        let vector = self.embed(text).await?;
        let lookup = self.decide(space, text, &vector, verify);
        let mut stats = self.stats.lock();
        *match &lookup {
            Lookup::Hit(_) => &mut stats.hits,
            Lookup::Absent => &mut stats.absent,
            Lookup::Refused(_) => &mut stats.refused,
            Lookup::Ambiguous => &mut stats.ambiguous,
            Lookup::Unverified => &mut stats.unverified,
            Lookup::Shadowed => &mut stats.shadow_hits,
        } += 1;
        Ok(lookup)
    }

    /// Takes out an entry whose answer was reported to be wrong; `false` if it is not there any more.
    pub fn evict_false_hit(&self, space: &Namespace, id: EntryId) -> bool {
        let mut state = self.state.write();
        let out = state.spaces.get_mut(space).map(|known| known.take_out(|entry| entry.id == id.0)).unwrap_or_default();
        for entry in &out {
            state.entries -= 1;
            state.bytes -= self.cost(&entry.text);
        }
        drop(state);
        let found = !out.is_empty();
        self.stats.lock().false_hits += u64::from(found);
        found
    }

    /// Takes out a whole namespace, for a tenant that left or a model that changed, and returns how many
    /// entries it held.
    pub fn remove_namespace(&self, space: &Namespace) -> usize {
        let mut state = self.state.write();
        let Some(removed) = state.spaces.remove(space) else { return 0 };
        for entry in &removed.entries {
            state.entries -= 1;
            state.bytes -= self.cost(&entry.text);
        }
        drop(state);
        removed.entries.len()
    }

    /// Returns what was done so far.
    pub fn stats(&self) -> SemanticStats {
        let state = self.state.read();
        let [entries, bytes] = [state.entries, state.bytes].map(|count| u64::try_from(count).unwrap_or(u64::MAX));
        drop(state);
        SemanticStats { entries, bytes, ..*self.stats.lock() }
    }

    async fn embed(&self, text: &str) -> Result<Vec<f32>, SemanticError> {
        let (bytes, limit) = (text.len(), self.config.max_text);
        if bytes > limit {
            return Err(SemanticError::TooLong { bytes, limit });
        }
        let expected = self.embedder.dimensions();
        let mut vectors = self.embedder.embed(&[text]).await?;
        let bad = SemanticError::BadVector { expected };
        let last = vectors.pop().filter(|vector| vectors.is_empty() && vector.len() == expected);
        let Some(mut vector) = last else {
            return Err(bad);
        };
        if normalize(&mut vector) { Ok(vector) } else { Err(bad) }
    }

    fn decide(
        &self,
        space: &Namespace,
        text: &str,
        vector: &[f32],
        verify: impl FnOnce(&Candidate<'_, V>) -> bool,
    ) -> Lookup<V> {
        let now = self.clock.now();
        let near = self.state.read().spaces.get(space).map(|known| {
            // Whatever is within the margin of a hit is its rival, below the threshold too.
            known.nearest(vector, self.config.threshold - self.config.margin, now)
        });
        let near = near.unwrap_or_default();
        let mut refusal = None;
        let mut passed = near.iter().filter(|near| match self.refuses(text, near) {
            Some(reason) => {
                if near.score >= self.config.threshold {
                    refusal.get_or_insert(reason);
                }
                false
            }
            None => true,
        });
        let best = passed.next().filter(|best| best.score >= self.config.threshold);
        let Some(best) = best else { return refusal.map_or(Lookup::Absent, Lookup::Refused) };
        let rival = passed.find(|rival| !Arc::ptr_eq(&rival.value, &best.value));
        let margin = rival.map(|rival| best.score - rival.score);
        if margin.is_some_and(|margin| margin < self.config.margin) {
            return Lookup::Ambiguous;
        }
        if !verify(&Candidate { asked: text, stored: &best.text, value: &best.value, score: best.score }) {
            return Lookup::Unverified;
        }
        if self.config.mode == SemanticMode::Shadow {
            return Lookup::Shadowed;
        }
        let tick = self.ticks.fetch_add(1, Ordering::Relaxed);
        if let Some(known) = self.state.read().spaces.get(space) {
            known.touch(best.id, tick);
        }
        Lookup::Hit(Found { value: Arc::clone(&best.value), score: best.score, margin, id: EntryId(best.id) })
    }

    fn refuses(&self, text: &str, near: &Near<V>) -> Option<Refusal> {
        if self.config.gate { self.gate.check(text, &near.text).err() } else { None }
    }

    fn cost(&self, text: &str) -> usize {
        self.embedder.dimensions() * size_of::<f32>() + text.len() + size_of::<Entry<V>>()
    }

    /// Takes out what is over, then what was not used for longest, somewhat more than needed.
    fn keep_bounds(&self, state: &mut State<V>, now: std::time::Duration, out: &mut Vec<Entry<V>>) {
        let SemanticConfig { max_entries, max_bytes, .. } = self.config;
        if state.entries <= max_entries && state.bytes <= max_bytes {
            return;
        }
        let mut taken: Vec<Entry<V>> =
            state.spaces.values_mut().flat_map(|known| known.take_out(|entry| entry.until <= now)).collect();
        let freed: usize = taken.iter().map(|entry| self.cost(&entry.text)).sum();
        (state.entries, state.bytes) = (state.entries - taken.len(), state.bytes - freed);
        if state.entries > max_entries || state.bytes > max_bytes {
            let (entries, bytes) = (max_entries - max_entries / 16, max_bytes - max_bytes / 16);
            let mut by_use: Vec<(u64, usize)> = state
                .spaces
                .values()
                .flat_map(|known| &known.entries)
                .map(|entry| (entry.used.load(Ordering::Relaxed), self.cost(&entry.text)))
                .collect();
            by_use.sort_unstable();
            let mut up_to = 0;
            for (used, cost) in by_use {
                if state.entries <= entries && state.bytes <= bytes {
                    break;
                }
                (state.entries, state.bytes) = (state.entries - 1, state.bytes - cost);
                up_to = used + 1;
            }
            let old = |entry: &Entry<V>| entry.used.load(Ordering::Relaxed) < up_to;
            taken.extend(state.spaces.values_mut().flat_map(|known| known.take_out(old)));
        }
        state.spaces.retain(|_, known| !known.entries.is_empty());
        self.stats.lock().evicted += u64::try_from(taken.len()).unwrap_or(u64::MAX);
        out.append(&mut taken);
    }
}

impl<V> fmt::Debug for SemanticIndex<V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SemanticIndex")
            .field("embedder", &self.embedder.id())
            .field("config", &self.config)
            .finish_non_exhaustive()
    }
}

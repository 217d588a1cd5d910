use std::collections::{BTreeMap, HashMap, VecDeque};
use std::fmt;

use async_trait::async_trait;
use parking_lot::Mutex;

use crate::{
    CachedAnswer, Interaction, InteractionId, InteractionQuery, Interactions, ModelCache, Session, SessionId, Sessions,
    StatusCounts, StorageError, Store, Timestamp, User, UserId, Users,
};

/// A store in memory: needs nothing, forgets at the end of the process, and is bounded.
///
/// Interactions beyond the bound push out the oldest recorded; cached answers beyond it push out the oldest put.
/// Users and sessions are refused beyond it. What was pushed out is counted by [`dropped`](Self::dropped).
#[derive(Debug)]
pub struct MemoryStore {
    capacity: usize,
    tables: Mutex<Tables>,
}

#[derive(Debug, Default)]
struct Tables {
    closed: bool,
    users: HashMap<UserId, User>,
    sessions: HashMap<SessionId, Session>,
    interactions: HashMap<InteractionId, Interaction>,
    interaction_order: VecDeque<InteractionId>,
    answers: HashMap<String, CachedAnswer>,
    answer_order: VecDeque<String>,
    dropped: u64,
}

impl MemoryStore {
    /// The default bound of each table.
    pub const DEFAULT_CAPACITY: usize = 10_000;

    /// Returns an empty store that holds up to [`DEFAULT_CAPACITY`](Self::DEFAULT_CAPACITY) rows of each kind.
    #[must_use]
    pub fn new() -> Self {
        Self { capacity: Self::DEFAULT_CAPACITY, tables: Mutex::default() }
    }

    /// Returns an empty store that holds up to `capacity` rows of each kind.
    ///
    /// Too small a bound forgets interactions before anybody reads them; each interaction costs about 500 bytes.
    ///
    /// # Errors
    /// [`StorageError::Invalid`] if `capacity` is 0.
    pub fn with_capacity(capacity: usize) -> Result<Self, StorageError> {
        if capacity == 0 {
            return Err(StorageError::Invalid {
                field: "memory.capacity",
                value: "0".to_owned(),
                expected: "at least 1 row",
            });
        }
        Ok(Self { capacity, tables: Mutex::default() })
    }

    /// Returns how many interactions and answers were pushed out by newer ones.
    #[must_use]
    pub fn dropped(&self) -> u64 {
        self.tables.lock().dropped
    }

    fn with<T>(&self, work: impl FnOnce(&mut Tables) -> Result<T, StorageError>) -> Result<T, StorageError> {
        let mut tables = self.tables.lock();
        if tables.closed { Err(StorageError::Closed) } else { work(&mut tables) }
    }

    fn full(&self, field: &'static str) -> StorageError {
        StorageError::Invalid {
            field,
            value: format!("{} rows already", self.capacity),
            expected: "fewer rows than the memory store's capacity",
        }
    }
}

impl Default for MemoryStore {
    fn default() -> Self {
        Self::new()
    }
}

#[async_trait]
impl Users for MemoryStore {
    async fn add_user(&self, user: &User) -> Result<(), StorageError> {
        user.validate()?;
        self.with(|tables| {
            if tables.users.contains_key(&user.id) {
                return Err(conflict("user", "id", user.id));
            }
            if tables.users.values().any(|other| other.name == user.name) {
                return Err(conflict("user", "name", &user.name));
            }
            if tables.users.len() >= self.capacity {
                return Err(self.full("users"));
            }
            tables.users.insert(user.id, user.clone());
            Ok(())
        })
    }

    async fn user(&self, id: UserId) -> Result<Option<User>, StorageError> {
        self.with(|tables| Ok(tables.users.get(&id).cloned()))
    }

    async fn user_by_name(&self, name: &str) -> Result<Option<User>, StorageError> {
        self.with(|tables| Ok(tables.users.values().find(|user| user.name == name).cloned()))
    }

    async fn remove_user(&self, id: UserId) -> Result<bool, StorageError> {
        self.with(|tables| {
            tables.sessions.retain(|_, session| session.user != Some(id));
            Ok(tables.users.remove(&id).is_some())
        })
    }
}

#[async_trait]
impl Sessions for MemoryStore {
    async fn open_session(&self, session: &Session) -> Result<(), StorageError> {
        self.with(|tables| {
            if let Some(user) = session.user
                && !tables.users.contains_key(&user)
            {
                return Err(not_found("user", user));
            }
            if tables.sessions.contains_key(&session.id) {
                return Err(conflict("session", "id", session.id));
            }
            if tables.sessions.len() >= self.capacity {
                return Err(self.full("sessions"));
            }
            tables.sessions.insert(session.id, session.clone());
            Ok(())
        })
    }

    async fn session(&self, id: SessionId) -> Result<Option<Session>, StorageError> {
        self.with(|tables| Ok(tables.sessions.get(&id).cloned()))
    }

    async fn touch_session(&self, id: SessionId, at: Timestamp) -> Result<(), StorageError> {
        self.with(|tables| match tables.sessions.get_mut(&id) {
            Some(session) if session.ended_at.is_none() => {
                session.last_seen_at = session.last_seen_at.max(at);
                Ok(())
            }
            _ => Err(not_found("session", id)),
        })
    }

    async fn end_session(&self, id: SessionId, at: Timestamp) -> Result<(), StorageError> {
        self.with(|tables| match tables.sessions.get_mut(&id) {
            Some(session) => {
                session.ended_at.get_or_insert(at);
                Ok(())
            }
            None => Err(not_found("session", id)),
        })
    }

    async fn open_sessions(&self, user: UserId) -> Result<Vec<Session>, StorageError> {
        self.with(|tables| {
            let mut open: Vec<Session> = tables
                .sessions
                .values()
                .filter(|session| session.user == Some(user) && session.ended_at.is_none())
                .cloned()
                .collect();
            open.sort_by_key(|session| (session.started_at, session.id));
            Ok(open)
        })
    }
}

#[async_trait]
impl Interactions for MemoryStore {
    async fn record(&self, interactions: &[Interaction]) -> Result<(), StorageError> {
        interactions.iter().try_for_each(Interaction::validate)?;
        self.with(|tables| {
            for interaction in interactions {
                if tables.interactions.insert(interaction.id, interaction.clone()).is_none() {
                    tables.interaction_order.push_back(interaction.id);
                }
            }
            while tables.interaction_order.len() > self.capacity {
                if let Some(oldest) = tables.interaction_order.pop_front() {
                    tables.interactions.remove(&oldest);
                    tables.dropped += 1;
                }
            }
            Ok(())
        })
    }

    async fn interaction(&self, id: InteractionId) -> Result<Option<Interaction>, StorageError> {
        self.with(|tables| Ok(tables.interactions.get(&id).cloned()))
    }

    async fn interactions(&self, query: &InteractionQuery) -> Result<Vec<Interaction>, StorageError> {
        query.validate()?;
        self.with(|tables| {
            let mut found: Vec<&Interaction> = tables
                .interactions
                .values()
                .filter(|one| query.tenant.as_ref().is_none_or(|tenant| *tenant == one.tenant))
                .filter(|one| query.status.is_none_or(|status| status == one.status))
                .filter(|one| query.since.is_none_or(|since| one.started_at >= since))
                .collect();
            found.sort_by_key(|one| std::cmp::Reverse((one.started_at, one.id)));
            let limit = usize::try_from(query.limit).unwrap_or(usize::MAX);
            Ok(found.into_iter().take(limit).cloned().collect())
        })
    }

    async fn interaction_counts(&self) -> Result<StatusCounts, StorageError> {
        self.with(|tables| {
            let mut counts = StatusCounts::default();
            for interaction in tables.interactions.values() {
                counts.add(interaction.status, 1);
            }
            Ok(counts)
        })
    }

    async fn remove_interactions_before(&self, cutoff: Timestamp) -> Result<u64, StorageError> {
        self.with(|tables| {
            let before = tables.interactions.len();
            tables.interactions.retain(|_, one| one.started_at >= cutoff);
            let Tables { interactions, interaction_order, .. } = tables;
            interaction_order.retain(|id| interactions.contains_key(id));
            Ok((before - interactions.len()) as u64)
        })
    }
}

#[async_trait]
impl ModelCache for MemoryStore {
    async fn put_answer(&self, answer: &CachedAnswer) -> Result<(), StorageError> {
        self.with(|tables| {
            if tables.answers.insert(answer.key.clone(), answer.clone()).is_some() {
                tables.answer_order.retain(|key| *key != answer.key);
            }
            tables.answer_order.push_back(answer.key.clone());
            while tables.answer_order.len() > self.capacity {
                if let Some(oldest) = tables.answer_order.pop_front() {
                    tables.answers.remove(&oldest);
                    tables.dropped += 1;
                }
            }
            Ok(())
        })
    }

    async fn answer(&self, key: &str, now: Timestamp) -> Result<Option<CachedAnswer>, StorageError> {
        self.with(|tables| Ok(tables.answers.get(key).filter(|answer| !answer.is_expired(now)).cloned()))
    }

    async fn remove_expired_answers(&self, now: Timestamp) -> Result<u64, StorageError> {
        self.with(|tables| Ok(tables.remove_answers(|answer| answer.is_expired(now))))
    }

    async fn remove_answers_by(&self, producer: &str) -> Result<u64, StorageError> {
        self.with(|tables| Ok(tables.remove_answers(|answer| answer.producer == producer)))
    }

    async fn answer_counts(&self) -> Result<BTreeMap<String, u64>, StorageError> {
        self.with(|tables| {
            let mut counts = BTreeMap::new();
            for answer in tables.answers.values() {
                *counts.entry(answer.producer.clone()).or_default() += 1;
            }
            Ok(counts)
        })
    }
}

#[async_trait]
impl Store for MemoryStore {
    fn name(&self) -> &'static str {
        "memory"
    }

    async fn ping(&self) -> Result<(), StorageError> {
        self.with(|_| Ok(()))
    }

    async fn close(&self) {
        self.tables.lock().closed = true;
    }
}

impl Tables {
    fn remove_answers(&mut self, which: impl Fn(&CachedAnswer) -> bool) -> u64 {
        let before = self.answers.len();
        self.answers.retain(|_, answer| !which(answer));
        let Self { answers, answer_order, .. } = self;
        answer_order.retain(|key| answers.contains_key(key));
        (before - answers.len()) as u64
    }
}

fn not_found(entity: &'static str, id: impl fmt::Display) -> StorageError {
    StorageError::NotFound { entity, id: id.to_string() }
}

fn conflict(entity: &'static str, field: &'static str, value: impl fmt::Display) -> StorageError {
    StorageError::Conflict { entity, field, value: value.to_string() }
}

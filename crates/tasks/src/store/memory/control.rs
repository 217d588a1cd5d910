//! The operators' half of the board: sweeps, replays, lists and numbers.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use crate::id::TaskId;
use crate::store::control::{JobQuery, Maintained, QueueDepth, StoreStats, WorkerInfo};
use crate::store::memory::board::{Board, overdue};
use crate::store::memory::entry::{Age, Entry, Place};
use crate::store::record::{JobRecord, JobState};

impl Board {
    pub(super) fn maintain(&mut self, now: Age) -> Maintained {
        self.rescue(now);
        let mut did = std::mem::take(&mut self.swept);
        self.promote(now);
        let mut late: Vec<(Option<Age>, u64, TaskId)> = self
            .jobs
            .iter()
            .filter(|(_, entry)| entry.state == JobState::Pending && entry.is_overdue(now))
            .map(|(id, entry)| (entry.deadline, entry.number, *id))
            .collect();
        late.sort_unstable();
        for (.., id) in late {
            // The end of an earlier one may have ended it.
            if self.jobs.get(&id).is_none_or(|entry| entry.state != JobState::Pending) {
                continue;
            }
            self.unplace(id);
            self.finish(now, id, JobState::Failed, |entry| entry.failure = Some(overdue()));
            did.overdue += 1;
        }
        while let Some(&(expires, id)) = self.ended.first()
            && (expires <= now || self.ended.len() > self.remember)
        {
            self.ended.pop_first();
            self.forget(id);
            did.pruned += 1;
        }
        self.queues.sweep(now);
        self.keys.sweep(now);
        self.workers.retain(|_, (_, until)| *until > now);
        self.lanes.retain(|_, kinds| {
            kinds.retain(|_, lane| !lane.is_empty());
            !kinds.is_empty()
        });
        did
    }

    fn forget(&mut self, id: TaskId) {
        let Some(entry) = self.jobs.remove(&id) else { return };
        if let Some(unique) = &entry.job.unique
            && self.uniques.get(&unique.key) == Some(&id)
        {
            self.uniques.remove(&unique.key);
        }
    }

    pub(super) fn replay(&mut self, now: Age, ids: &[TaskId]) -> u64 {
        let mut replayed = 0;
        for &id in ids {
            let Some(entry) = self.jobs.get(&id) else { continue };
            if !matches!(entry.state, JobState::Failed | JobState::Cancelled) {
                continue;
            }
            // Another one may have taken its place meanwhile.
            let job = Arc::clone(&entry.job);
            if self.twin(now, &job).is_some_and(|twin| twin != id) {
                continue;
            }
            if let Some(unique) = &job.unique {
                self.uniques.insert(unique.key.clone(), id);
            }
            self.unplace(id);
            self.again(now, id, now, |entry| {
                (entry.attempts, entry.waiting_for) = (0, 0);
                (entry.cancel, entry.ended, entry.worker) = (None, None, None);
                // It is wanted again, whatever was said about its time.
                entry.deadline = None;
            });
            replayed += 1;
        }
        replayed
    }

    pub(super) fn job(&self, id: TaskId) -> Option<JobRecord> {
        self.jobs.get(&id).map(|entry| entry.record(self.epoch))
    }

    pub(super) fn find(&self, query: &JobQuery) -> Vec<JobRecord> {
        let mut found: Vec<&Entry> = self
            .jobs
            .values()
            .filter(|entry| query.state.is_none_or(|state| state == entry.state))
            .filter(|entry| query.kind.as_ref().is_none_or(|kind| *kind == entry.job.kind))
            .filter(|entry| query.queue.as_ref().is_none_or(|queue| *queue == entry.job.queue))
            .filter(|entry| query.batch.is_none_or(|batch| entry.job.batch == Some(batch)))
            .filter(|entry| query.after.is_none_or(|after| entry.job.id > after))
            .collect();
        found.sort_unstable_by_key(|entry| entry.job.id);
        found.into_iter().take(query.page()).map(|entry| entry.record(self.epoch)).collect()
    }

    pub(super) fn set_paused(&mut self, queue: &str, paused: bool) {
        if paused {
            self.paused.insert(queue.to_owned());
        } else {
            self.paused.remove(queue);
        }
    }

    pub(super) fn stats(&mut self, now: Age) -> StoreStats {
        self.rescue(now);
        self.promote(now);
        let mut queues: BTreeMap<&str, QueueDepth> = BTreeMap::new();
        let mut stats = StoreStats::default();
        for paused in &self.paused {
            queues.entry(paused).or_default().paused = true;
        }
        for entry in self.jobs.values() {
            match entry.state {
                JobState::Completed => stats.completed += 1,
                JobState::Failed => stats.failed += 1,
                JobState::Cancelled => stats.cancelled += 1,
                JobState::Running => queues.entry(&entry.job.queue).or_default().running += 1,
                JobState::Pending => {
                    let depth = queues.entry(&entry.job.queue).or_default();
                    if matches!(entry.place, Place::Ready(_)) {
                        depth.ready += 1;
                        depth.oldest = depth.oldest.max(Some(now.saturating_sub(entry.due)));
                    } else {
                        depth.scheduled += 1;
                    }
                }
            }
        }
        stats.queues =
            queues.into_iter().map(|(queue, depth)| QueueDepth { queue: queue.to_owned(), ..depth }).collect();
        stats
    }

    pub(super) fn see(&mut self, now: Age, worker: &WorkerInfo, term: Duration) {
        let seen = WorkerInfo { seen_at: self.epoch.checked_add(now), ..worker.clone() };
        self.workers.insert(Arc::clone(&worker.id), (seen, now.saturating_add(term)));
    }

    pub(super) fn workers(&self, now: Age) -> Vec<WorkerInfo> {
        let mut seen: Vec<WorkerInfo> =
            self.workers.values().filter(|(_, until)| *until > now).map(|(info, _)| info.clone()).collect();
        seen.sort_unstable_by(|a, b| a.id.cmp(&b.id));
        seen
    }

    /// Returns what ended since the last call.
    pub(super) fn news(&mut self) -> Vec<TaskId> {
        std::mem::take(&mut self.news)
    }
}

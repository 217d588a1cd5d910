use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::Notify;

use crate::id::TaskId;

/// Who waits for which job to change.
#[derive(Debug, Default)]
pub(crate) struct Waiters {
    jobs: Mutex<HashMap<TaskId, (Arc<Notify>, usize)>>,
}

/// A place among those that wait for one job; woken whenever it may have changed.
#[derive(Debug)]
pub(crate) struct Watch<'a> {
    waiters: &'a Waiters,
    id: TaskId,
    pub(crate) changed: Arc<Notify>,
}

impl Waiters {
    pub(crate) fn watch(&self, id: TaskId) -> Watch<'_> {
        let mut jobs = self.jobs.lock();
        let (changed, readers) = jobs.entry(id).or_default();
        *readers += 1;
        Watch { waiters: self, id, changed: Arc::clone(changed) }
    }

    pub(crate) fn wake(&self, id: TaskId) {
        let changed = self.jobs.lock().get(&id).map(|(changed, _)| Arc::clone(changed));
        if let Some(changed) = changed {
            changed.notify_waiters();
        }
    }

    pub(crate) fn wake_all(&self) {
        let all: Vec<Arc<Notify>> = self.jobs.lock().values().map(|(changed, _)| Arc::clone(changed)).collect();
        for changed in all {
            changed.notify_waiters();
        }
    }
}

impl Drop for Watch<'_> {
    fn drop(&mut self) {
        let mut jobs = self.waiters.jobs.lock();
        if let Some((_, readers)) = jobs.get_mut(&self.id) {
            *readers -= 1;
            if *readers == 0 {
                jobs.remove(&self.id);
            }
        }
    }
}

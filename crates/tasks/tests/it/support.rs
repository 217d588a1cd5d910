use std::convert::Infallible;
use std::future::pending;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bedplate_tasks::{Task, TaskPool};

pub(crate) const MS: Duration = Duration::from_millis(1);

pub(crate) type Fault = Box<dyn std::error::Error + Send + Sync>;

pub(crate) fn pool(workers: u32, queue: u32) -> TaskPool {
    TaskPool::builder("test").workers(workers).queue(queue).build().unwrap()
}

pub(crate) fn hang() -> Task<(), Infallible> {
    Task::infallible("hang", |_| pending())
}

/// Lets the workers do what they can do without time passing.
pub(crate) async fn settle() {
    for _ in 0..50 {
        tokio::task::yield_now().await;
    }
}

/// Counts how many are inside at a time.
#[derive(Clone, Default)]
pub(crate) struct Crowd {
    inside: Arc<AtomicUsize>,
    most: Arc<AtomicUsize>,
}

impl Crowd {
    pub(crate) fn enter(&self) -> Inside {
        let inside = self.inside.fetch_add(1, Ordering::SeqCst) + 1;
        self.most.fetch_max(inside, Ordering::SeqCst);
        Inside(self.clone())
    }

    pub(crate) fn most(&self) -> usize {
        self.most.load(Ordering::SeqCst)
    }

    pub(crate) fn inside(&self) -> usize {
        self.inside.load(Ordering::SeqCst)
    }
}

pub(crate) struct Inside(Crowd);

impl Drop for Inside {
    fn drop(&mut self) {
        self.0.inside.fetch_sub(1, Ordering::SeqCst);
    }
}

//! What a program does without a library: a channel, workers, a map of states, and a channel for each result.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use async_trait::async_trait;
use parking_lot::Mutex;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinSet;

use crate::Fail;
use crate::gauge::{Gauge, ran};

#[derive(Clone, Copy)]
enum State {
    Pending,
    Running,
    Done,
}

struct Item {
    id: u64,
    stamp: u64,
    result: oneshot::Sender<Result<(), String>>,
}

struct Channel {
    send: mpsc::UnboundedSender<Item>,
    receive: Arc<tokio::sync::Mutex<mpsc::UnboundedReceiver<Item>>>,
    states: Arc<Mutex<HashMap<u64, State>>>,
    next: AtomicU64,
    workers: Mutex<JoinSet<()>>,
}

#[async_trait]
impl Gauge for Channel {
    async fn put(&self, count: usize, stamp: u64) -> Result<(), Fail> {
        for _ in 0..count {
            let id = self.next.fetch_add(1, Ordering::Relaxed);
            let (result, handle) = oneshot::channel();
            self.states.lock().insert(id, State::Pending);
            self.send.send(Item { id, stamp, result })?;
            drop(handle);
        }
        Ok(())
    }

    async fn start(&self) -> Result<(), Fail> {
        let mut workers = self.workers.lock();
        for _ in 0..20 {
            let (receive, states) = (Arc::clone(&self.receive), Arc::clone(&self.states));
            workers.spawn(async move {
                loop {
                    let Some(item) = receive.lock().await.recv().await else { return };
                    states.lock().insert(item.id, State::Running);
                    let work = tokio::spawn(async move {
                        ran(item.stamp);
                        Ok(())
                    });
                    let result = work.await.unwrap_or_else(|error| Err(error.to_string()));
                    states.lock().insert(item.id, State::Done);
                    // Nobody waits here, as nobody does for ours.
                    drop(item.result.send(result));
                }
            });
        }
        Ok(())
    }

    async fn stop(&self) {
        self.workers.lock().abort_all();
    }
}

pub(crate) fn channel() -> Box<dyn Gauge> {
    let (send, receive) = mpsc::unbounded_channel();
    let receive = Arc::new(tokio::sync::Mutex::new(receive));
    Box::new(Channel { send, receive, states: Arc::default(), next: AtomicU64::new(0), workers: Mutex::default() })
}

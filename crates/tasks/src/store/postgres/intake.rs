//! Callers that bring plain jobs at the same time go to the server together: one transaction, one notification and one
//! wait for the disk for all of them, where a notification would let only one transaction end at a time.

use std::sync::Arc;

use tokio::sync::{Mutex, mpsc, oneshot};

use crate::store::error::StoreError;
use crate::store::new_job::Enqueued;
use crate::store::postgres::NAME;
use crate::store::postgres::enqueue::Columns;
use crate::store::postgres::io::Io;
use crate::store::postgres::link::Link;

/// At most so many calls in one transaction.
const CALLS: usize = 256;
/// A call with more jobs than this goes by itself.
pub(super) const FEW: usize = 64;
/// How many transactions are on their way: while the server works on one, the next gets together.
const LANES: usize = 2;

type Answer = Result<Vec<Enqueued>, StoreError>;

/// What one caller brought.
#[derive(Debug)]
struct Call {
    jobs: Columns,
    answer: oneshot::Sender<Answer>,
}

/// The way in.
#[derive(Debug)]
pub(super) struct Intake {
    /// Nothing once it is closed.
    calls: parking_lot::Mutex<Option<mpsc::UnboundedSender<Call>>>,
}

impl Intake {
    /// Begins to take in, until the thread ends or nobody can send any more.
    pub(super) fn start(io: &Io, link: &Link) -> Self {
        let (calls, inbox) = mpsc::unbounded_channel();
        let inbox = Arc::new(Mutex::new(inbox));
        for _ in 0..LANES {
            // What was asked for is still done when the store goes.
            drop(io.begin(lane(link.clone(), Arc::clone(&inbox))));
        }
        Self { calls: parking_lot::Mutex::new(Some(calls)) }
    }

    /// Lets nothing more in; what is on its way is still done.
    pub(super) fn close(&self) {
        drop(self.calls.lock().take());
    }

    pub(super) async fn take_in(&self, jobs: Columns) -> Answer {
        let (answer, heard) = oneshot::channel();
        let call = Call { jobs, answer };
        self.calls.lock().as_ref().ok_or(StoreError::Closed)?.send(call).map_err(|_| StoreError::Closed)?;
        heard.await.map_err(|_| StoreError::Closed)?
    }
}

async fn lane(link: Link, inbox: Arc<Mutex<mpsc::UnboundedReceiver<Call>>>) {
    let mut calls = Vec::new();
    while inbox.lock().await.recv_many(&mut calls, CALLS).await > 0 {
        together(&link, &mut calls).await;
    }
}

async fn together(link: &Link, calls: &mut Vec<Call>) {
    let answer = match &**calls {
        [one] => one.jobs.take_in(link).await,
        many => {
            let mut all = Columns::default();
            for call in many {
                all.append(&call.jobs);
            }
            all.take_in(link).await
        }
    };
    match answer {
        Ok(answers) => {
            let mut answers = answers.into_iter();
            for call in calls.drain(..) {
                let own = answers.by_ref().take(call.jobs.len()).collect();
                // Whoever asked may not wait any more; what was done stays done.
                drop(call.answer.send(Ok(own)));
            }
        }
        // One of them is not what the server can take: the others must not suffer for it.
        Err(error) if calls.len() > 1 && !error.is_transient() => {
            for call in calls.drain(..) {
                let answer = call.jobs.take_in(link).await;
                drop(call.answer.send(answer));
            }
        }
        Err(error) => {
            for call in calls.drain(..) {
                drop(call.answer.send(Err(again(&error))));
            }
        }
    }
}

/// The same failure for another caller.
fn again(error: &StoreError) -> StoreError {
    match error {
        StoreError::Closed => StoreError::Closed,
        StoreError::Backend { transient, source, .. } => StoreError::backend(NAME, *transient, source.to_string()),
        other => StoreError::backend(NAME, other.is_transient(), other.to_string()),
    }
}

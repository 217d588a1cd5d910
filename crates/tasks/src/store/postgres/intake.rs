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
const FEW: usize = 64;
/// And so does one of more bytes, or so many calls would be more than the server takes in one statement.
const LIGHT: usize = 64 << 10;
/// How many transactions are on their way: while the server works on one, the next gets together.
const LANES: usize = 2;

/// Whether a call is of plain jobs and small enough to go together with others.
pub(super) fn is_small(jobs: &Columns) -> bool {
    jobs.is_plain() && jobs.len() <= FEW && jobs.bytes() <= LIGHT
}

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
    loop {
        let behind = {
            let mut inbox = inbox.lock().await;
            if inbox.recv_many(&mut calls, CALLS).await == 0 {
                return;
            }
            inbox.len()
        };
        if let Err(error) = together(&link, &mut calls).await {
            turn_away(&inbox, behind, &error);
        }
    }
}

/// Those who stood behind a call for which there was no server share its fate, as if each had gone by itself: else whoever
/// is behind many others would wait for one time-out after another.
fn turn_away(inbox: &Mutex<mpsc::UnboundedReceiver<Call>>, most: usize, why: &StoreError) {
    // The other lane holds it while it waits for the next call, and then there is none.
    let Ok(mut inbox) = inbox.try_lock() else { return };
    for _ in 0..most {
        let Ok(call) = inbox.try_recv() else { return };
        drop(call.answer.send(Err(again(why))));
    }
}

/// Fails where the server was not there for any of them.
async fn together(link: &Link, calls: &mut Vec<Call>) -> Result<(), StoreError> {
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
            Ok(())
        }
        // One of them is not what the server can take: the others must not suffer for it.
        Err(error) if calls.len() > 1 && !error.is_transient() => {
            for call in calls.drain(..) {
                let answer = call.jobs.take_in(link).await;
                drop(call.answer.send(answer));
            }
            Ok(())
        }
        Err(error) => {
            for call in calls.drain(..) {
                drop(call.answer.send(Err(again(&error))));
            }
            if error.is_transient() { Err(error) } else { Ok(()) }
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::new_job::NewJob;

    #[test]
    fn many_jobs_and_heavy_ones_go_by_themselves() {
        let columns = |count: usize, bytes: usize| {
            let job = || NewJob::new("a.v1", vec![b'1'; bytes]);
            Columns::new((0..count).map(|_| job()).collect()).unwrap()
        };
        assert!(is_small(&columns(1, 1)) && is_small(&columns(FEW, LIGHT / FEW / 2)));
        assert!(!is_small(&columns(FEW + 1, 1)));
        assert!(!is_small(&columns(2, LIGHT / 2)));
        let unreadable = NewJob::new("a.v1", vec![0xff; LIGHT]);
        assert!(!is_small(&Columns::new(vec![unreadable]).unwrap()));
        let unique = NewJob::new("a.v1", b"1".to_vec()).unique(crate::store::Unique::key("one"));
        assert!(!is_small(&Columns::new(vec![unique]).unwrap()));
    }
}

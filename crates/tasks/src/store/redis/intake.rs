//! Callers that bring plain jobs at the same time go to the server together: one script for all of them costs it half of
//! what a script for each does, and the answers come at once.

use std::sync::Arc;

use redis::{RedisError, Script};
use tokio::sync::{Mutex, mpsc, oneshot};

use crate::store::error::StoreError;
use crate::store::redis::failure::{is_transient, of_redis};
use crate::store::redis::io::Shared;
use crate::store::redis::reply::bytes;

/// At most so many calls in one script.
const CALLS: usize = 256;
/// A call with more jobs than this goes by itself.
const FEW: usize = 64;
/// And so does one of more bytes, or a script of so many calls would hold the server up, or be more than it takes.
const LIGHT: usize = 64 << 10;
/// How many scripts are on their way: while the server works on one, the next gets together.
const LANES: usize = 2;

/// Jobs that differ in their ids and their data alone.
#[derive(Debug, Clone)]
pub(super) struct Alike {
    /// What the script takes before them.
    pub(super) head: Vec<Vec<u8>>,
    /// Ids and data in turn.
    pub(super) jobs: Vec<Vec<u8>>,
}

impl Alike {
    const fn count(&self) -> usize {
        self.jobs.len() / 2
    }

    fn bytes(&self) -> usize {
        self.head.iter().chain(&self.jobs).map(Vec::len).sum()
    }
}

/// Whether a call is small enough to go together with others.
pub(super) fn is_small(jobs: &[Alike]) -> bool {
    let sum = |part: fn(&Alike) -> usize| jobs.iter().map(part).sum::<usize>();
    sum(Alike::count) <= FEW && sum(Alike::bytes) <= LIGHT
}

type Answer = Result<Vec<u8>, RedisError>;

/// What one caller brought.
#[derive(Debug)]
pub(super) struct Call {
    jobs: Vec<Alike>,
    answer: oneshot::Sender<Answer>,
}

/// The way in.
#[derive(Debug)]
pub(super) struct Intake(mpsc::UnboundedSender<Call>);

impl Intake {
    pub(super) fn new() -> (Self, mpsc::UnboundedReceiver<Call>) {
        let (calls, inbox) = mpsc::unbounded_channel();
        (Self(calls), inbox)
    }

    /// Says per job `n` for new or `d` for one that was known.
    pub(super) async fn take_in(&self, jobs: Vec<Alike>) -> Result<Vec<u8>, StoreError> {
        let (answer, heard) = oneshot::channel();
        self.0.send(Call { jobs, answer }).map_err(|_| StoreError::Closed)?;
        heard.await.map_err(|_| StoreError::Closed)?.map_err(of_redis)
    }
}

/// Works as long as the store lives.
pub(super) async fn run(shared: Arc<Shared>, script: Arc<Script>, inbox: mpsc::UnboundedReceiver<Call>) {
    let inbox = Mutex::new(inbox);
    futures_util::future::join_all((0..LANES).map(|_| lane(&shared, &script, &inbox))).await;
}

async fn lane(shared: &Shared, script: &Script, inbox: &Mutex<mpsc::UnboundedReceiver<Call>>) {
    let mut calls = Vec::new();
    loop {
        let behind = {
            let mut inbox = inbox.lock().await;
            if inbox.recv_many(&mut calls, CALLS).await == 0 {
                return;
            }
            inbox.len()
        };
        let counts: Vec<usize> = calls.iter().map(|call| call.jobs.iter().map(Alike::count).sum()).collect();
        let jobs = calls.iter().flat_map(|call| call.jobs.iter().cloned());
        let answer = shared.run(script, &args_of(jobs)).await.map(bytes);
        if calls.len() > 1 && answer.as_ref().is_err_and(|error| !is_transient(error)) {
            // One of them is not what the server can take: the others must not suffer for it.
            for call in calls.drain(..) {
                let own = shared.run(script, &args_of(call.jobs)).await.map(bytes);
                drop(call.answer.send(own));
            }
            continue;
        }
        if let Err(error) = &answer
            && is_transient(error)
        {
            turn_away(inbox, behind, error);
        }
        let mut from = 0;
        for (call, count) in calls.drain(..).zip(counts) {
            let own = answer.clone().map(|all| all.get(from..from + count).unwrap_or_default().to_vec());
            from += count;
            // Whoever asked may not wait any more; what was done stays done.
            drop(call.answer.send(own));
        }
    }
}

/// Those who stood behind a call that the server did not answer share its fate, as if each had gone by itself: else whoever
/// is behind many others would wait for one time-out after another.
fn turn_away(inbox: &Mutex<mpsc::UnboundedReceiver<Call>>, most: usize, why: &RedisError) {
    // The other lane holds it while it waits for the next call, and then there is none.
    let Ok(mut inbox) = inbox.try_lock() else { return };
    for _ in 0..most {
        let Ok(call) = inbox.try_recv() else { return };
        drop(call.answer.send(Err(why.clone())));
    }
}

/// What the script takes, neighbors that are alike said once.
pub(super) fn args_of(jobs: impl IntoIterator<Item = Alike>) -> Vec<Vec<u8>> {
    let mut args: Vec<Vec<u8>> = Vec::new();
    let mut close = |last: Option<Alike>| {
        if let Some(last) = last {
            let count = last.count();
            args.extend(last.head);
            args.push(count.to_string().into_bytes());
            args.extend(last.jobs);
        }
    };
    let mut last: Option<Alike> = None;
    for next in jobs {
        match &mut last {
            Some(last) if last.head == next.head => last.jobs.extend(next.jobs),
            _ => close(last.replace(next)),
        }
    }
    close(last);
    args
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn neighbors_that_are_alike_are_said_once() {
        let alike = |head: &str, ids: &[&str]| Alike {
            head: vec![head.into()],
            jobs: ids.iter().flat_map(|id| [id.as_bytes().to_vec(), b"{}".to_vec()]).collect(),
        };
        let args = args_of([alike("a", &["1"]), alike("a", &["2", "3"]), alike("b", &["4"]), alike("a", &["5"])]);
        let shown: Vec<_> = args.iter().map(|arg| String::from_utf8_lossy(arg)).collect();
        assert_eq!(shown, ["a", "3", "1", "{}", "2", "{}", "3", "{}", "b", "1", "4", "{}", "a", "1", "5", "{}"]);
        assert!(args_of([]).is_empty());
    }
    #[test]
    fn many_jobs_and_heavy_ones_go_by_themselves() {
        let of = |count: usize, bytes: usize| Alike {
            head: Vec::new(),
            jobs: (0..count).flat_map(|_| [Vec::new(), vec![b'1'; bytes]]).collect(),
        };
        assert!(is_small(&[of(1, 1)]));
        assert!(is_small(&[of(FEW / 2, LIGHT / FEW), of(FEW / 2, LIGHT / FEW)]));
        assert!(!is_small(&[of(FEW / 2, 1), of(FEW / 2 + 1, 1)]));
        assert!(!is_small(&[of(1, LIGHT), of(1, 1)]));
    }
}

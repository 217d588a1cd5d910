//! Typed jobs over Redis, from two handles that share nothing but the server.

use std::time::Duration;

use bedplate_tasks::store::JobState;
use bedplate_tasks::{Drain, Job, JobContext, Jobs, Outcome};
use serde::{Deserialize, Serialize};
use tokio::time::{Instant, sleep, timeout};

use crate::redis_support::{prefix, store_at, url};

#[derive(Debug, Serialize, Deserialize)]
struct Double(u64);

#[derive(Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[error("never")]
struct Never;

impl Job for Double {
    const KIND: &'static str = "double.v1";
    type Output = u64;
    type Error = Never;
    type Progress = u32;
    type State = ();

    async fn run(self, cx: JobContext<Self>) -> Result<u64, Never> {
        if self.0 == 0 {
            cx.stopped().await;
            return Err(Never);
        }
        Ok(self.0 * 2)
    }
}

/// Submitted by one process, done by another, whose result and whose cancel come at once and not by a poll.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_result_and_a_cancel_reach_the_other_process() {
    let Some(url) = url() else { return };
    let prefix = prefix();
    let (here, there) = (store_at(&url, &prefix).await, store_at(&url, &prefix).await);
    let producer = Jobs::builder(here).start().unwrap();
    let worker = Jobs::builder(there).register::<Double>().start().unwrap();
    let soon = Duration::from_secs(10);
    for number in 1..=50 {
        let handle = producer.submit(Double(number)).await.unwrap();
        assert_eq!(handle.wait_timeout(soon).await.unwrap(), Outcome::Completed(number * 2));
    }
    let endless = producer.submit(Double(0)).await.unwrap();
    let running = async {
        while endless.status().await.unwrap().state != JobState::Running {
            sleep(Duration::from_millis(5)).await;
        }
    };
    timeout(soon, running).await.unwrap();
    let began = Instant::now();
    endless.cancel("not wanted").await.unwrap();
    let outcome = endless.wait_timeout(soon).await.unwrap();
    assert!(matches!(outcome, Outcome::Cancelled(reason) if reason == "not wanted"));
    assert!(began.elapsed() < Duration::from_secs(1), "it took {:?}", began.elapsed());
    worker.shutdown(Drain::soft(soon)).await;
    producer.shutdown(Drain::soft(soon)).await;
}

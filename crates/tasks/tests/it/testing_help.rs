use std::time::Duration;

use bedplate_tasks::store::{JobState, MemoryStore};
use bedplate_tasks::testing::submitted;
use bedplate_tasks::{Job, JobContext, JobOptions, Jobs, assert_submitted, refute_submitted};
use serde::{Deserialize, Serialize};
use tokio::time::advance;

/// Submits a smaller one of itself.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Countdown {
    from: u32,
}

impl Job for Countdown {
    const KIND: &'static str = "countdown.v1";
    type Output = u32;
    type Error = String;
    type Progress = ();
    type State = std::sync::Arc<std::sync::OnceLock<Jobs>>;

    fn options() -> JobOptions {
        JobOptions::new().max_attempts(2)
    }

    async fn run(self, cx: JobContext<Self>) -> Result<u32, String> {
        match (self.from, cx.state().get()) {
            (0, _) => Err("no more".to_owned()),
            (from, Some(jobs)) => {
                jobs.submit(Self { from: from - 1 }).await.map_err(|error| error.to_string())?;
                Ok(from)
            }
            (_, None) => Err("no jobs".to_owned()),
        }
    }
}

fn state() -> std::sync::Arc<std::sync::OnceLock<Jobs>> {
    std::sync::Arc::default()
}

#[tokio::test(start_paused = true)]
async fn inline_runs_each_job_while_it_is_submitted() {
    let shared = state();
    let jobs = Jobs::builder(MemoryStore::default())
        .state(std::sync::Arc::clone(&shared))
        .register::<Countdown>()
        .start_inline()
        .unwrap();
    shared.set(jobs.clone()).unwrap();
    let handle = jobs.submit(Countdown { from: 3 }).await.unwrap();
    assert_eq!(handle.status().await.unwrap().state, JobState::Completed);
    assert_eq!(handle.result().await.unwrap(), 3);
    let all: Vec<Countdown> = submitted(&jobs).await;
    assert_eq!(all, [3, 2, 1, 0].map(|from| Countdown { from }), "also those that jobs submit");
    let stats = jobs.stats().await.unwrap();
    assert_eq!((stats.completed, stats.retried, stats.failed), (3, 1, 0));
    advance(Duration::from_secs(2)).await;
    assert_eq!(jobs.run_due().await, 1);
    assert_eq!(jobs.stats().await.unwrap().failed, 1);
}

#[tokio::test(start_paused = true)]
async fn manual_runs_nothing_by_itself() {
    let jobs = Jobs::builder(MemoryStore::default()).state(state()).register::<Countdown>().start_manual().unwrap();
    refute_submitted!(jobs, Countdown);
    let handle = jobs.submit(Countdown { from: 0 }).await.unwrap();
    assert_submitted!(jobs, Countdown, |job| job.from == 0);
    refute_submitted!(jobs, Countdown, |job| job.from == 1);
    assert_eq!(handle.status().await.unwrap().state, JobState::Pending);
    assert_eq!(jobs.run_due().await, 1);
    assert_eq!(handle.status().await.unwrap().attempts, 1);
}

#[tokio::test(start_paused = true)]
#[should_panic(expected = "expected a job countdown.v1 with |job| job.from == 1, 1 were submitted and none has it")]
async fn a_failed_check_says_what_was_expected() {
    let jobs = Jobs::builder(MemoryStore::default()).state(state()).register::<Countdown>().start_manual().unwrap();
    jobs.submit(Countdown { from: 0 }).await.unwrap();
    assert_submitted!(jobs, Countdown, |job| job.from == 1);
}

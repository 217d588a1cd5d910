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

#[tokio::test(start_paused = true)]
async fn conditions_may_use_what_is_around_them() {
    let jobs = Jobs::builder(MemoryStore::default()).state(state()).register::<Countdown>().start_manual().unwrap();
    let id = jobs.submit(Countdown { from: 4 }).await.unwrap().id();
    let wanted = String::from("4");
    assert_submitted!(jobs, Countdown, |job| job.from.to_string() == wanted);
    refute_submitted!(jobs, Countdown, |job| job.from.to_string() == format!("{wanted}{id}"));
}

/// The text of the panic with which this ends.
async fn panic_of(check: impl Future<Output = ()> + Send + 'static) -> String {
    let panic = tokio::spawn(check).await.unwrap_err().into_panic();
    *panic.downcast::<String>().unwrap()
}

#[tokio::test(start_paused = true)]
async fn a_failed_check_shows_some_of_what_was_submitted() {
    let jobs = Jobs::builder(MemoryStore::default()).state(state()).register::<Countdown>().start_manual().unwrap();
    let handles = jobs.submit_many((0..12).map(|from| Countdown { from })).await.unwrap();
    let line = |from: usize| format!("\n  {} {{\"from\":{from}}}", handles[from].id());
    let lines: String = (0..10).map(line).collect();
    let seen = jobs.clone();
    let told = panic_of(async move { assert_submitted!(seen, Countdown, |job| job.from == 99) }).await;
    assert!(told.ends_with(&format!("12 were submitted and none has it{lines}\n  and 2 more")), "{told}");
    let told = panic_of(async move { refute_submitted!(jobs, Countdown, |job| job.from == 7) }).await;
    assert!(told.ends_with(&format!("with |job| job.from == 7, 1 of 12 have it{}", line(7))), "{told}");
}

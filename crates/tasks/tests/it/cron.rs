use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, UNIX_EPOCH};

use bedplate_tasks::store::MemoryStore;
use bedplate_tasks::{CronSchedule, Job, JobContext, Jobs, Missed, Overlap};
use serde::{Deserialize, Serialize};
use tokio::time::{Instant, sleep};

#[derive(Serialize, Deserialize)]
struct Tick;

impl Job for Tick {
    const KIND: &'static str = "tick.v1";
    type Output = ();
    type Error = String;
    type Progress = ();
    type State = Arc<AtomicU32>;

    async fn run(self, cx: JobContext<Self>) -> Result<(), String> {
        cx.state().fetch_add(1, Ordering::SeqCst);
        Ok(())
    }
}

#[tokio::test(start_paused = true)]
async fn a_schedule_outlives_a_panic_and_the_longest_memory() {
    let (ran, made) = (Arc::new(AtomicU32::new(0)), Arc::new(AtomicU32::new(0)));
    let began = Instant::now();
    let schedule = CronSchedule::new("* * * * * *", "UTC")
        .unwrap()
        .missed(Missed::RunOnce { within: Duration::MAX })
        .overlap(Overlap::Allow);
    let makes = Arc::clone(&made);
    let jobs = Jobs::builder(MemoryStore::default())
        .state(Arc::clone(&ran))
        .register::<Tick>()
        .wall_clock(move || UNIX_EPOCH + Duration::from_hours(500_000) + began.elapsed())
        .cron("ticks", schedule, move || {
            assert!(makes.fetch_add(1, Ordering::SeqCst) != 1, "a bug in what makes the job");
            Tick
        })
        .start()
        .unwrap();
    sleep(Duration::from_millis(5_500)).await;
    assert_eq!(made.load(Ordering::SeqCst), 6);
    assert_eq!(ran.load(Ordering::SeqCst), 5);
    drop(jobs);
}

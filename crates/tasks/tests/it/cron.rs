use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
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

/// A job of a schedule that takes its time, and what was seen of all of them.
#[derive(Serialize, Deserialize)]
struct Long;

#[derive(Debug, Clone)]
struct Seen {
    began: Instant,
    takes: Duration,
    /// In seconds since the beginning.
    starts: Arc<Mutex<Vec<u64>>>,
    running: Arc<AtomicU32>,
    most: Arc<AtomicU32>,
    cancelled: Arc<AtomicU32>,
}

impl Job for Long {
    const KIND: &'static str = "long.v1";
    type Output = ();
    type Error = String;
    type Progress = ();
    type State = Seen;

    async fn run(self, cx: JobContext<Self>) -> Result<(), String> {
        let seen = cx.state().clone();
        seen.starts.lock().unwrap().push(seen.began.elapsed().as_secs());
        let running = seen.running.fetch_add(1, Ordering::SeqCst) + 1;
        seen.most.fetch_max(running, Ordering::SeqCst);
        let ended = tokio::time::timeout(seen.takes, cx.stopped()).await.is_err();
        seen.running.fetch_sub(1, Ordering::SeqCst);
        if ended {
            return Ok(());
        }
        seen.cancelled.fetch_add(1, Ordering::SeqCst);
        Err("stopped".to_owned())
    }
}

impl Seen {
    fn new(takes: Duration) -> Self {
        let (starts, running, most, cancelled) = Default::default();
        Self { began: Instant::now(), takes, starts, running, most, cancelled }
    }

    fn starts(&self) -> Vec<u64> {
        self.starts.lock().unwrap().clone()
    }

    fn counts(&self) -> (u32, u32) {
        (self.most.load(Ordering::SeqCst), self.cancelled.load(Ordering::SeqCst))
    }

    /// Runs a schedule of each minute with so many workers, on a clock that begins at a whole hour and is `ahead` seconds
    /// before its time.
    fn each_minute(&self, schedule: CronSchedule, workers: u32, ahead: &Arc<AtomicU64>) -> Jobs {
        let (began, ahead) = (self.began, Arc::clone(ahead));
        let clock = move || {
            let jump = Duration::from_secs(ahead.load(Ordering::SeqCst));
            UNIX_EPOCH + Duration::from_hours(500_000) + jump + began.elapsed()
        };
        let jobs = Jobs::builder(MemoryStore::default()).workers(workers).state(self.clone()).register::<Long>();
        jobs.wall_clock(clock).cron("long", schedule, || Long).start().unwrap()
    }
}

fn minutely() -> CronSchedule {
    CronSchedule::new("* * * * *", "UTC").unwrap()
}

#[tokio::test(start_paused = true)]
async fn what_becomes_of_a_tick_while_an_earlier_one_runs() {
    const TAKES: Duration = Duration::from_secs(150);
    for (overlap, workers, starts, most, cancelled) in [
        (Overlap::Skip, 20, vec![60, 240, 420], 1, 0),
        (Overlap::Allow, 20, vec![60, 120, 180, 240, 300, 360, 420, 480, 540], 3, 0),
        (Overlap::BufferOne, 1, vec![60, 210, 360, 510], 1, 0),
        (Overlap::CancelOther, 20, vec![60, 120, 180, 240, 300, 360, 420, 480, 540], 2, 8),
    ] {
        // One that is cancelled is told so while the next begins.
        let seen = Seen::new(TAKES);
        let jobs = seen.each_minute(minutely().overlap(overlap), workers, &Arc::default());
        sleep(Duration::from_secs(590)).await;
        assert_eq!((seen.starts(), seen.counts()), (starts, (most, cancelled)), "{overlap:?}");
        drop(jobs);
    }
}

/// A tick that nobody saw has no job that could be cancelled: the one before it has.
#[tokio::test(start_paused = true)]
async fn the_earlier_job_is_cancelled_though_ticks_were_missed_since() {
    let seen = Seen::new(Duration::from_hours(2));
    let ahead = Arc::new(AtomicU64::new(0));
    let jobs = seen.each_minute(minutely().overlap(Overlap::CancelOther), 20, &ahead);
    sleep(Duration::from_secs(70)).await;
    ahead.store(600, Ordering::SeqCst);
    sleep(Duration::from_mins(1)).await;
    let starts = seen.starts();
    assert!(starts.len() > 1, "the ticks go on: {starts:?}");
    assert_eq!(seen.running.load(Ordering::SeqCst), 1, "of {starts:?}");
    drop(jobs);
}

/// Each missed tick has its run, and none runs beside another.
#[tokio::test(start_paused = true)]
async fn all_that_was_missed_is_made_up_for_one_by_one() {
    for overlap in [Overlap::Skip, Overlap::BufferOne] {
        let seen = Seen::new(Duration::from_secs(20));
        let missed = Missed::RunAll { within: Duration::from_secs(190), most: 10 };
        let jobs = seen.each_minute(minutely().missed(missed).overlap(overlap), 20, &Arc::new(AtomicU64::new(5)));
        sleep(Duration::from_secs(130)).await;
        let (starts, (most, _)) = (seen.starts(), seen.counts());
        // Four were missed up to the whole hour, the next come 55 and 115 seconds later.
        assert_eq!((starts, most), (vec![0, 20, 40, 60, 115], 1), "{overlap:?}");
        drop(jobs);
    }
}

/// What is made up for does not run beside the job that runs already.
#[tokio::test(start_paused = true)]
async fn what_was_missed_waits_for_the_job_that_runs() {
    for overlap in [Overlap::Skip, Overlap::BufferOne] {
        let (seen, ahead) = (Seen::new(Duration::from_secs(100)), Arc::default());
        let missed = Missed::RunAll { within: Duration::from_hours(1), most: 10 };
        let jobs = seen.each_minute(minutely().missed(missed).overlap(overlap), 20, &ahead);
        sleep(Duration::from_secs(1)).await;
        let at_first = seen.starts().len();
        ahead.store(600, Ordering::SeqCst);
        sleep(Duration::from_secs(70)).await;
        assert_eq!((seen.starts().len(), seen.counts().0), (at_first, 1), "{overlap:?}");
        sleep(Duration::from_secs(40)).await;
        assert_eq!((seen.starts().len(), seen.counts().0), (at_first + 1, 1), "{overlap:?}");
        drop(jobs);
    }
}

/// A tick whose job cannot be made does not let those before and after it run beside each other.
#[tokio::test(start_paused = true)]
async fn a_gap_in_what_was_missed_is_none() {
    let seen = Seen::new(Duration::from_secs(20));
    let (began, made) = (seen.began, AtomicU32::new(0));
    let clock = move || UNIX_EPOCH + Duration::from_hours(500_000) + Duration::from_secs(5) + began.elapsed();
    let missed = Missed::RunAll { within: Duration::from_secs(190), most: 10 };
    let make = move || {
        assert!(made.fetch_add(1, Ordering::SeqCst) != 1, "the second one cannot be made");
        Long
    };
    let jobs = Jobs::builder(MemoryStore::default()).workers(20).state(seen.clone()).register::<Long>();
    let jobs = jobs.wall_clock(clock).cron("long", minutely().missed(missed), make).start().unwrap();
    sleep(Duration::from_secs(50)).await;
    assert_eq!((seen.starts(), seen.counts().0), (vec![0, 20, 40], 1));
    drop(jobs);
}

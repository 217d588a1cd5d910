//! Places and the line before them, in virtual time and under threads.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use bedplate_recovery::{
    Aimd, Bulkhead, BulkheadConfig, Clock as _, Cx, Discipline, ErrorClass, Failure, LimitConfig, Pipeline, Priority,
    Rejection, TokioClock,
};
use tokio::time::{Instant, sleep};

fn bulkhead(config: BulkheadConfig) -> Bulkhead {
    Bulkhead::new("test", config).unwrap()
}

const MS: Duration = Duration::from_millis(1);

async fn works(long: Duration) -> Result<(), std::io::Error> {
    sleep(long).await;
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn who_finds_no_place_waits_and_who_finds_no_line_is_refused() {
    let bulkhead = bulkhead(BulkheadConfig::fixed(1).queue(1, 100 * MS));
    let pipeline = Pipeline::builder("test").bulkhead(bulkhead.clone()).build().unwrap();
    let call = || pipeline.run(|_| works(10 * MS));
    let start = Instant::now();
    let (first, second, third) = tokio::join!(call(), call(), call());
    assert!(first.is_ok() && second.is_ok());
    assert!(matches!(third, Err(Failure::Rejected { reason: Rejection::Full, .. })), "{third:?}");
    assert_eq!(start.elapsed(), 20 * MS);
    let stats = bulkhead.stats();
    assert_eq!((stats.running, stats.waiting, stats.admitted, stats.refused), (0, 0, 2, 1));
}

#[tokio::test(start_paused = true)]
async fn a_wait_ends_at_its_limit_or_at_the_deadline_whichever_is_first() {
    let bulkhead = bulkhead(BulkheadConfig::fixed(1).queue(5, 100 * MS));
    let held = bulkhead.try_acquire(TokioClock.now()).unwrap();
    let start = Instant::now();
    assert_eq!(bulkhead.acquire(&TokioClock, Cx::first()).await.unwrap_err(), Rejection::QueueTimeout);
    assert_eq!(start.elapsed(), 100 * MS);
    let soon = Cx::first().with_deadline(TokioClock.now() + 30 * MS);
    assert_eq!(bulkhead.acquire(&TokioClock, soon).await.unwrap_err(), Rejection::QueueTimeout);
    assert_eq!(start.elapsed(), 130 * MS);
    assert_eq!(bulkhead.acquire(&TokioClock, soon).await.unwrap_err(), Rejection::DeadlinePassed);
    drop(held);
    assert_eq!((bulkhead.stats().waiting, bulkhead.stats().running, bulkhead.stats().timed_out), (0, 0, 2));
}

#[tokio::test(start_paused = true)]
async fn a_higher_priority_is_served_first_and_pushes_the_lowest_out() {
    let bulkhead = bulkhead(BulkheadConfig::fixed(1).queue(2, Duration::from_secs(9)));
    let order = Arc::new(parking_lot::Mutex::new(Vec::new()));
    let held = bulkhead.try_acquire(TokioClock.now()).unwrap();
    let mut tasks = tokio::task::JoinSet::new();
    for (name, priority) in [("low", Priority::Low), ("normal", Priority::Normal), ("critical", Priority::Critical)] {
        let (bulkhead, order) = (bulkhead.clone(), Arc::clone(&order));
        tasks.spawn(async move {
            let told = match bulkhead.acquire(&TokioClock, Cx::first().with_priority(priority)).await {
                Ok(_permit) => "served",
                Err(Rejection::Shed) => "shed",
                Err(_) => "other",
            };
            order.lock().push((name, told));
        });
        tokio::task::yield_now().await;
    }
    drop(held);
    while tasks.join_next().await.is_some() {}
    assert_eq!(*order.lock(), [("low", "shed"), ("critical", "served"), ("normal", "served")]);
}

#[tokio::test(start_paused = true)]
async fn a_dropped_wait_and_a_panicking_call_leave_nothing_behind() {
    let bulkhead = bulkhead(BulkheadConfig::fixed(1).queue(5, Duration::from_secs(9)));
    let pipeline = Pipeline::builder("test").bulkhead(bulkhead.clone()).build().unwrap();
    let held = bulkhead.try_acquire(TokioClock.now()).unwrap();
    let waiting = tokio::time::timeout(10 * MS, bulkhead.acquire(&TokioClock, Cx::first())).await;
    assert!(waiting.is_err(), "given up from outside");
    assert_eq!(bulkhead.stats().waiting, 0);
    drop(held);
    let panics = tokio::spawn(async move {
        let call = |_| async {
            sleep(MS).await;
            panic!("the call panics")
        };
        pipeline.run::<(), std::io::Error, _, _>(call).await
    });
    assert!(panics.await.unwrap_err().is_panic());
    assert_eq!(bulkhead.stats().running, 0);
}

#[tokio::test(start_paused = true)]
async fn a_limit_that_is_learnt_falls_on_overload_and_lets_the_line_in_when_it_rises() {
    let mut rule = Aimd::default();
    rule.initial = 10;
    rule.backoff_ratio = 0.5;
    let bulkhead = bulkhead(BulkheadConfig::adaptive(LimitConfig::Aimd(rule)).queue(50, Duration::from_secs(9)));
    let permit = bulkhead.try_acquire(TokioClock.now()).unwrap();
    sleep(MS).await;
    permit.finish(TokioClock.now(), Some(ErrorClass::Overload { after: None }));
    assert_eq!(bulkhead.stats().places, 5);
    let pipeline = Pipeline::builder("test").bulkhead(bulkhead.clone()).build().unwrap();
    let mut tasks = tokio::task::JoinSet::new();
    for _ in 0..20 {
        let pipeline = pipeline.clone();
        tasks.spawn(async move { pipeline.run(|_| works(MS)).await });
    }
    while let Some(done) = tasks.join_next().await {
        done.unwrap().unwrap();
    }
    let stats = bulkhead.stats();
    assert!(stats.places > 10, "{stats:?}");
    assert_eq!((stats.running, stats.waiting), (0, 0));
}

#[tokio::test(start_paused = true)]
async fn other_settings_let_those_in_who_wait() {
    let bulkhead = bulkhead(BulkheadConfig::fixed(1).queue(5, Duration::from_secs(9)));
    let held = bulkhead.try_acquire(TokioClock.now()).unwrap();
    let other = bulkhead.clone();
    let waiting = tokio::spawn(async move { other.acquire(&TokioClock, Cx::first()).await.is_ok() });
    tokio::task::yield_now().await;
    assert!(bulkhead.reconfigure(TokioClock.now(), BulkheadConfig::fixed(0)).is_err());
    bulkhead.reconfigure(TokioClock.now(), BulkheadConfig::fixed(2).queue(5, Duration::from_secs(9))).unwrap();
    assert!(waiting.await.unwrap());
    drop(held);
    assert_eq!(bulkhead.stats().running, 0);
}

/// Random cancellation from many tasks on several threads: never more calls than places, and none is lost.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn no_place_leaks_under_random_cancellation() {
    const PLACES: u32 = 3;
    for discipline in [Discipline::Fifo, Discipline::adaptive_lifo()] {
        let config = BulkheadConfig::fixed(PLACES).queue(8, Duration::from_millis(2)).discipline(discipline);
        let bulkhead = bulkhead(config);
        let running = Arc::new(AtomicU32::new(0));
        let mut tasks = tokio::task::JoinSet::new();
        for task in 0..16_u64 {
            let (bulkhead, running) = (bulkhead.clone(), Arc::clone(&running));
            tasks.spawn(async move {
                let mut random = fastrand::Rng::with_seed(task);
                for _ in 0..400 {
                    let wait = Duration::from_micros(random.u64(0..400));
                    let work = async {
                        if let Ok(permit) = bulkhead.acquire(&TokioClock, Cx::first()).await {
                            let now = running.fetch_add(1, Ordering::SeqCst) + 1;
                            assert!(now <= PLACES, "{now} run at once");
                            // Gives other tasks a chance to find the places taken, without a wait.
                            tokio::task::yield_now().await;
                            running.fetch_sub(1, Ordering::SeqCst);
                            drop(permit);
                        }
                    };
                    if random.bool() {
                        work.await;
                    } else {
                        let given_up = tokio::time::timeout(wait, async {
                            // Cancelled only before the place is taken, so that the counter above stays right.
                            bulkhead.acquire(&TokioClock, Cx::first()).await.map(drop)
                        });
                        let _ended = given_up.await;
                    }
                }
            });
        }
        while let Some(done) = tasks.join_next().await {
            done.unwrap();
        }
        let stats = bulkhead.stats();
        assert_eq!((stats.running, stats.waiting), (0, 0), "{stats:?}");
        let all: Vec<_> = (0..PLACES).map(|_| bulkhead.try_acquire(TokioClock.now())).collect();
        assert!(all.iter().all(Result::is_ok), "every place is free again");
    }
}

use std::time::SystemTime;

use parking_lot::Mutex;
use tokio::time::{Instant, sleep};

use super::{MS, SOON, Subject, complete, job, nothing, put, record, refused, request, take};
use crate::store::{Claim, ClaimRequest, JobState, KeyLimit, QueueClaim, Rate};

/// Claims until nothing more is given out.
async fn take_what_there_is(store: &Subject, request: &ClaimRequest) -> Vec<Claim> {
    let mut all: Vec<Claim> = Vec::new();
    for _ in 0..3 {
        let claims = store.claim(request).await.unwrap();
        all.extend(claims);
    }
    all
}

/// Two of a key at a time, whoever asks; others go past.
pub async fn a_key_runs_so_many_at_a_time(store: Subject) {
    let limited = || job().limit(KeyLimit::concurrency("tenant-1", 2));
    if !store.capabilities().key_concurrency {
        return refused(&store.enqueue(vec![limited()]).await);
    }
    for _ in 0..5 {
        put(&store, limited()).await;
    }
    let free = put(&store, job()).await;
    let mut running = take_what_there_is(&store, &request(10)).await;
    assert_eq!(running.len(), 3, "two of the key and the free one: {running:?}");
    assert!(running.iter().any(|claim| claim.job.id == free));
    running.retain(|claim| claim.job.id != free);
    for left in [3, 2, 1] {
        complete(&store, &running.remove(0)).await;
        let next = take(&store).await;
        assert!(next.job.limit.is_some());
        running.push(next);
        assert!(take_what_there_is(&store, &request(10)).await.is_empty(), "two run, {left} were left");
    }
    for claim in running {
        complete(&store, &claim).await;
    }
    nothing(&store).await;
}

/// Whoever was to have the place of one that ended, and does not need it any more, lets the next one have it.
pub async fn a_key_is_free_when_the_next_one_does_not_begin(store: Subject) {
    let limited = || job().limit(KeyLimit::concurrency("tenant-1", 1));
    if !store.capabilities().key_concurrency {
        return;
    }
    put(&store, limited()).await;
    let cancelled = put(&store, limited()).await;
    #[expect(clippy::disallowed_methods, reason = "a deadline is a time of the calendar")]
    let soon = SystemTime::now() + 700 * MS;
    let mut late = limited().deadline(soon);
    late.timeout = None;
    let third = put(&store, limited()).await;
    let late = put(&store, late).await;
    let last = put(&store, limited()).await;
    let first = take(&store).await;
    nothing(&store).await;
    complete(&store, &first).await;
    assert_eq!(store.cancel(cancelled, "not wanted").await.unwrap(), JobState::Cancelled);
    let claim = take(&store).await;
    assert_eq!(claim.job.id, third);
    sleep(800 * MS).await;
    complete(&store, &claim).await;
    let claim = take(&store).await;
    assert_eq!(claim.job.id, last);
    assert_eq!(record(&store, late).await.state, JobState::Failed);
    complete(&store, &claim).await;
}

/// Two starts of a key per window.
pub async fn a_key_starts_so_many_per_time(store: Subject) {
    let window = 1_500 * MS;
    let limited = || job().limit(KeyLimit::rate("host-1", Rate::new(2, window)));
    if !store.capabilities().key_rate {
        return refused(&store.enqueue(vec![limited()]).await);
    }
    store.enqueue((0..4).map(|_| limited()).collect()).await.unwrap();
    starts_in_pairs(&store, &request(10), window).await;
}

/// Jobs of one key may be limited in different ways: who waits for a window is not behind who waits for a place.
pub async fn a_window_is_not_waited_for_behind_a_place(store: Subject) {
    if !store.capabilities().key_rate || !store.capabilities().key_concurrency {
        return;
    }
    let paced = || job().limit(KeyLimit::rate("tenant-1", Rate::new(1, 700 * MS)));
    let alone = || job().limit(KeyLimit::concurrency("tenant-1", 1));
    let first = put(&store, paced()).await;
    let lonely = put(&store, alone()).await;
    let second = put(&store, paced()).await;
    let mut running = take_what_there_is(&store, &request(10)).await;
    assert_eq!(running.iter().map(|claim| claim.job.id).collect::<Vec<_>>(), [first]);
    let began = Instant::now();
    running.extend(store.claim(&request(10).wait(SOON)).await.unwrap());
    assert_eq!(running.get(1).map(|claim| claim.job.id), Some(second), "it waits for the first one's end");
    assert!(began.elapsed() < 3_000 * MS, "it slept beyond the window: {:?}", began.elapsed());
    for claim in running {
        complete(&store, &claim).await;
    }
    assert_eq!(take(&store).await.job.id, lonely);
}

/// However many wait for the window of their key, others go past, and each window has its starts.
pub async fn a_backlog_of_a_key_holds_nobody_up(store: Subject) {
    let window = 700 * MS;
    let limited = || job().limit(KeyLimit::rate("host-1", Rate::new(2, window)));
    if !store.capabilities().key_rate {
        return;
    }
    store.enqueue((0..3_000).map(|_| limited()).collect()).await.unwrap();
    let free = put(&store, job()).await;
    let began = Instant::now();
    let (mut passed, mut starts) = (None, 0);
    while began.elapsed() < window * 5 || passed.is_none() {
        assert!(began.elapsed() < SOON * 2, "it waits behind what is limited");
        for claim in store.claim(&request(10)).await.unwrap() {
            if claim.job.id == free {
                passed = Some(began.elapsed());
            } else {
                starts += 1;
            }
            complete(&store, &claim).await;
        }
    }
    let windows = began.elapsed().div_duration_f64(window);
    assert!(passed.is_some_and(|passed| passed < SOON), "it was given out after {passed:?}");
    assert!(starts >= 6 && f64::from(starts) <= (windows + 1.0) * 2.0, "{starts} starts in {windows:.1} windows");
}

/// Limits hold however many ask at the same time, and let through what they may.
pub async fn limits_hold_whoever_asks(store: Subject) {
    let can = store.capabilities();
    if !can.key_concurrency || !can.queue_limits {
        return;
    }
    let limited = |n: usize| job().limit(KeyLimit::concurrency(if n.is_multiple_of(2) { "even" } else { "odd" }, 2));
    store.enqueue((0..60).map(limited).collect()).await.unwrap();
    let mut queue = QueueClaim::new("default");
    queue.concurrency = Some(3);
    let began = Instant::now();
    let running = Mutex::new((Vec::<String>::new(), 0, 0));
    let work = async |n: usize| {
        let mut request = request(4).queues(vec![queue.clone()]);
        request.worker = format!("worker-{n}").into();
        loop {
            let claims = store.claim(&request).await.unwrap();
            let keys = || claims.iter().filter_map(|claim| Some(claim.job.limit.as_ref()?.key.clone()));
            {
                let (now, most, done) = &mut *running.lock();
                now.extend(keys());
                for key in ["even", "odd"] {
                    let of_key = now.iter().filter(|running| *running == key).count();
                    assert!(of_key <= 2, "{of_key} of {key} at a time");
                }
                assert!(now.len() <= 3, "{now:?} at a time");
                *most = now.len().max(*most);
                if *done == 60 {
                    return;
                }
            }
            assert!(began.elapsed() < SOON * 6, "it got stuck");
            sleep(2 * MS).await;
            for claim in &claims {
                {
                    let (now, _, done) = &mut *running.lock();
                    let key = claim.job.limit.as_ref().map(|limit| limit.key.clone());
                    if let Some(at) = now.iter().position(|one| Some(one) == key.as_ref()) {
                        now.swap_remove(at);
                    }
                    *done += 1;
                }
                complete(&store, claim).await;
            }
        }
    };
    futures_util::future::join4(work(1), work(2), work(3), work(4)).await;
    assert_eq!(running.lock().1, 3, "as many as may run do");
}

/// One of a queue at a time.
pub async fn a_queue_runs_so_many_at_a_time(store: Subject) {
    let mut queue = QueueClaim::new("default");
    queue.concurrency = Some(2);
    let limited = request(10).queues(vec![queue]);
    if !store.capabilities().queue_limits {
        return refused(&store.claim(&limited).await);
    }
    store.enqueue((0..4).map(|_| job()).collect()).await.unwrap();
    let running = take_what_there_is(&store, &limited).await;
    assert_eq!(running.len(), 2);
    complete(&store, &running[0]).await;
    assert_eq!(take_what_there_is(&store, &limited).await.len(), 1);
}

/// Two starts of a queue per window.
pub async fn a_queue_starts_so_many_per_time(store: Subject) {
    let window = 1_500 * MS;
    let mut queue = QueueClaim::new("default");
    queue.rate = Some(Rate::new(2, window));
    let limited = request(10).queues(vec![queue]);
    if !store.capabilities().queue_limits {
        return refused(&store.claim(&limited).await);
    }
    store.enqueue((0..4).map(|_| job()).collect()).await.unwrap();
    starts_in_pairs(&store, &limited, window).await;
}

/// Whoever waits for a job hears when the window of its queue is over.
pub async fn a_waiting_claim_wakes_when_a_window_ends(store: Subject) {
    let mut queue = QueueClaim::new("default");
    queue.rate = Some(Rate::new(1, 600 * MS));
    let limited = request(1).queues(vec![queue]);
    if !store.capabilities().queue_limits {
        return;
    }
    store.enqueue(vec![job(), job()]).await.unwrap();
    let first = store.claim(&limited).await.unwrap();
    complete(&store, &first[0]).await;
    let began = Instant::now();
    let second = store.claim(&limited.wait(SOON)).await.unwrap();
    assert_eq!(second.len(), 1);
    assert!(began.elapsed() < 2_000 * MS, "it slept beyond the window: {:?}", began.elapsed());
}

/// A queue that is named twice gives each of its jobs once, within its first limit.
pub async fn a_queue_named_twice_gives_each_job_once(store: Subject) {
    store.enqueue((0..3).map(|_| job()).collect()).await.unwrap();
    let twice = request(10).queues(vec![QueueClaim::new("default"), QueueClaim::new("default")]);
    let claims = store.claim(&twice).await.unwrap();
    assert_eq!(claims.len(), 3, "{claims:?}");
    for claim in &claims {
        assert_eq!(claim.attempt, 1);
        complete(&store, claim).await;
    }
    let stats = store.stats().await.unwrap();
    assert_eq!((stats.completed, stats.unfinished()), (3, 0));
}

/// Four jobs wait: two start at once, two a window later.
async fn starts_in_pairs(store: &Subject, request: &ClaimRequest, window: std::time::Duration) {
    let began = Instant::now();
    let first = take_what_there_is(store, request).await;
    assert_eq!(first.len(), 2, "two within the window: {first:?}");
    for claim in &first {
        complete(store, claim).await;
    }
    let mut second = Vec::new();
    while second.len() < 2 {
        assert!(began.elapsed() < SOON, "the window does not end");
        second.extend(store.claim(request).await.unwrap());
        assert!(second.is_empty() || began.elapsed() + 100 * MS > window, "too soon: {:?}", began.elapsed());
        sleep(20 * MS).await;
    }
    assert_eq!(second.len(), 2);
}

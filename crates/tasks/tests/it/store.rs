use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use bedplate_tasks::Priority;
use bedplate_tasks::store::{
    ClaimRequest, JobState, JobStore, MemoryQueue, MemoryStore, NewJob, PushError, QueueConfig, Settlement, StoreError,
};
use tokio::sync::{Barrier, mpsc};
use tokio::time::{Instant, advance};

use crate::support::MS;

const TERM: Duration = Duration::from_secs(10);

fn store() -> Box<dyn JobStore> {
    Box::new(MemoryStore::new(8, Duration::ZERO))
}

fn one() -> ClaimRequest {
    ClaimRequest::new(1, TERM)
}

#[tokio::test(start_paused = true)]
async fn a_job_goes_through_its_life() {
    let store = store();
    let job = NewJob::new("resize.v1", b"cat".to_vec());
    let id = store.enqueue(job.clone()).await.unwrap();
    assert_eq!(store.enqueue(job.clone()).await.unwrap(), id, "known already");
    let claim = store.claim(one()).await.unwrap().remove(0);
    assert_eq!((claim.job, claim.attempt), (job, 1));
    assert!(store.claim(one()).await.unwrap().is_empty(), "it was there once");
    store.settle(claim.lease, Settlement::Completed(b"small cat".to_vec())).await.unwrap();
    let record = store.job(id).await.unwrap().unwrap();
    assert_eq!((record.state, record.output.as_deref()), (JobState::Completed, Some(&b"small cat"[..])));
    let twice = store.settle(claim.lease, Settlement::Returned).await;
    assert!(matches!(twice, Err(StoreError::LeaseLost)));
}

#[tokio::test(start_paused = true)]
async fn an_expired_lease_gives_the_job_to_others_and_fences_the_first_holder() {
    let store = store();
    let id = store.enqueue(NewJob::new("x", Vec::new())).await.unwrap();
    let zombie = store.claim(one()).await.unwrap().remove(0);
    advance(TERM / 2).await;
    store.extend(zombie.lease, TERM).await.unwrap();
    advance(9_999 * MS).await;
    assert!(store.claim(one()).await.unwrap().is_empty());
    advance(MS).await;
    let heir = store.claim(one()).await.unwrap().remove(0);
    assert_eq!(heir.attempt, 2);
    assert!(heir.lease.token() > zombie.lease.token());
    assert!(matches!(store.extend(zombie.lease, TERM).await, Err(StoreError::LeaseLost)));
    let stale = store.settle(zombie.lease, Settlement::Completed(vec![1])).await;
    assert!(matches!(stale, Err(StoreError::LeaseLost)));
    store.settle(heir.lease, Settlement::Completed(vec![2])).await.unwrap();
    assert_eq!(store.job(id).await.unwrap().unwrap().output, Some(vec![2]));
}

#[tokio::test(start_paused = true)]
async fn a_job_that_takes_its_workers_down_ends() {
    let store = store();
    let id = store.enqueue(NewJob::new("poison", Vec::new()).max_attempts(3)).await.unwrap();
    for attempt in 1..=3 {
        let claim = store.claim(one()).await.unwrap().remove(0);
        assert_eq!(claim.attempt, attempt);
        advance(TERM).await;
    }
    assert!(store.claim(one()).await.unwrap().is_empty());
    let record = store.job(id).await.unwrap().unwrap();
    assert_eq!((record.state, record.error.as_deref()), (JobState::Failed, Some("lease expired")));
}

#[tokio::test(start_paused = true)]
async fn a_returned_job_costs_no_attempt_and_a_retried_one_does() {
    let store = store();
    store.enqueue(NewJob::new("x", Vec::new()).max_attempts(2)).await.unwrap();
    for (settlement, next) in [
        (Settlement::Returned, Some(1)),
        (Settlement::Retry("busy".into()), Some(2)),
        (Settlement::Retry("busy".into()), None),
    ] {
        let claim = store.claim(one()).await.unwrap().remove(0);
        store.settle(claim.lease, settlement).await.unwrap();
        let found = store.claim(one()).await.unwrap();
        assert_eq!(found.first().map(|claim| claim.attempt), next);
        for claim in found {
            store.settle(claim.lease, Settlement::Returned).await.unwrap();
        }
    }
}

#[tokio::test(start_paused = true)]
async fn cancel_ends_what_waits_and_takes_the_lease_of_what_runs() {
    let store = store();
    let waits = store.enqueue(NewJob::new("x", Vec::new()).priority(Priority::Low)).await.unwrap();
    let runs = store.enqueue(NewJob::new("x", Vec::new())).await.unwrap();
    let claim = store.claim(one()).await.unwrap().remove(0);
    assert_eq!(claim.job.id, runs);
    for id in [waits, runs, waits] {
        assert_eq!(store.cancel(id).await.unwrap(), JobState::Cancelled);
    }
    assert!(matches!(store.extend(claim.lease, TERM).await, Err(StoreError::LeaseLost)));
    assert!(store.claim(one()).await.unwrap().is_empty());
    let unknown = NewJob::new("y", Vec::new()).id;
    assert!(matches!(store.cancel(unknown).await, Err(StoreError::Unknown(id)) if id == unknown));
    assert!(store.job(unknown).await.unwrap().is_none());
}

#[tokio::test(start_paused = true)]
async fn a_waiting_claim_wakes_for_a_job_and_for_an_expired_lease() {
    let store = MemoryStore::new(8, Duration::ZERO);
    let patient = one().wait(Duration::from_mins(1));
    let (claims, ()) = tokio::join!(store.claim(patient), async {
        tokio::time::sleep(MS).await;
        store.enqueue(NewJob::new("x", Vec::new())).await.unwrap();
    });
    assert_eq!(claims.unwrap().len(), 1);
    let start = Instant::now();
    let rescued = store.claim(patient).await.unwrap();
    assert_eq!((rescued[0].attempt, start.elapsed().as_secs()), (2, 10));
    let nothing = store.claim(one().wait(5 * MS)).await.unwrap();
    assert!(nothing.is_empty());
}

#[tokio::test(start_paused = true)]
async fn the_store_is_bounded_in_what_waits_and_what_it_remembers() {
    let store = store();
    let mut ids = Vec::new();
    for _ in 0..8 {
        ids.push(store.enqueue(NewJob::new("x", Vec::new())).await.unwrap());
    }
    let ninth = store.enqueue(NewJob::new("x", Vec::new())).await;
    assert!(matches!(ninth, Err(StoreError::Full)));
    for _ in 0..3 {
        for claim in store.claim(ClaimRequest::new(100, TERM)).await.unwrap() {
            store.settle(claim.lease, Settlement::Completed(Vec::new())).await.unwrap();
        }
        for _ in 0..8 {
            ids.push(store.enqueue(NewJob::new("x", Vec::new())).await.unwrap());
        }
    }
    let mut known = 0;
    for id in ids {
        known += usize::from(store.job(id).await.unwrap().is_some());
    }
    assert_eq!(known, 16, "eight wait and eight ended ones are remembered");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_queue_gives_each_item_out_once() {
    const ITEMS: u32 = 20_000;
    let queue = Arc::new(MemoryQueue::new(QueueConfig::new(64)));
    let takers: Vec<_> = (0..8)
        .map(|_| {
            let queue = Arc::clone(&queue);
            tokio::spawn(async move {
                let mut taken = Vec::new();
                while let Some(claimed) = queue.claim(|| Instant::now().into_std(), None).await {
                    taken.push(claimed.item);
                    assert!(queue.settle(claimed.lease));
                    assert!(!queue.settle(claimed.lease), "a settled lease is no longer held");
                    tokio::task::yield_now().await;
                }
                taken
            })
        })
        .collect();
    for n in 0..ITEMS {
        let mut item = n;
        while let Err(full) = queue.try_push(Instant::now().into_std(), Priority::Normal, item) {
            let PushError::Full(back) = full else { panic!("not closed yet") };
            item = back;
            tokio::task::yield_now().await;
        }
    }
    queue.close();
    assert!(matches!(queue.try_push(Instant::now().into_std(), Priority::Normal, 0), Err(PushError::Closed(0))));
    let mut all = BTreeSet::new();
    for taker in takers {
        for item in taker.await.unwrap() {
            assert!(all.insert(item), "{item} was given out twice");
        }
    }
    assert_eq!(all.len(), ITEMS as usize);
}

/// Two pushes may fall between a taker's look and its wait; only one of them finds room in the bell. Each pair of
/// items here is settled only once both are claimed, so that a taker left asleep hangs the round.
#[tokio::test(flavor = "multi_thread", worker_threads = 3)]
async fn no_taker_sleeps_while_an_item_waits() {
    const ROUNDS: u32 = 20_000;
    let queue = Arc::new(MemoryQueue::new(QueueConfig::new(2)));
    let both = Arc::new(Barrier::new(2));
    let (done, mut settled) = mpsc::unbounded_channel();
    for _ in 0..2 {
        let (queue, both, done) = (Arc::clone(&queue), Arc::clone(&both), done.clone());
        tokio::spawn(async move {
            while let Some(claimed) = queue.claim(|| Instant::now().into_std(), None).await {
                both.wait().await;
                queue.settle(claimed.lease);
                done.send(()).unwrap();
            }
        });
    }
    let rounds = async {
        for _ in 0..ROUNDS {
            for _ in 0..2 {
                let now = Instant::now().into_std();
                queue.try_push(now, Priority::Normal, ()).unwrap();
            }
            for _ in 0..2 {
                settled.recv().await.unwrap();
            }
        }
    };
    let in_time = tokio::time::timeout(Duration::from_secs(20), rounds).await;
    assert!(in_time.is_ok(), "a taker sleeps while an item waits");
}

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use bedplate_tasks::Priority;
use bedplate_tasks::queue::{MemoryQueue, PushError, QueueConfig};
use tokio::sync::{Barrier, mpsc};
use tokio::time::Instant;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_queue_gives_each_item_out_once() {
    const ITEMS: u32 = 20_000;
    let queue = Arc::new(MemoryQueue::new(QueueConfig::new(64)));
    let takers: Vec<_> = (0..8)
        .map(|_| {
            let queue = Arc::clone(&queue);
            tokio::spawn(async move {
                let mut taken = Vec::new();
                while let Some(claimed) = queue.claim(|| Instant::now().into_std()).await {
                    taken.push(claimed.item);
                    queue.settle();
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
            while queue.claim(|| Instant::now().into_std()).await.is_some() {
                both.wait().await;
                queue.settle();
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

//! The queue and the store in memory under a scheduler that tries interleavings: `scripts/interleavings.sh`.
//!
//! tokio's `Notify` and `Semaphore` are not watched themselves, but each side of the locks beside them is a place where
//! the scheduler changes threads, which is where a ring can be missed.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use shuttle::{future, thread};

use crate::queue::{MemoryQueue, Priority, QueueConfig};
use crate::store::{MemoryStore, NewJob};

const SCHEDULES: usize = 20_000;

fn now() -> Instant {
    tokio::time::Instant::now().into_std()
}

/// Two items at once leave one ring: whoever sees the second rings again, or the other taker sleeps beside it.
#[test]
fn no_item_is_left_while_a_taker_sleeps() {
    shuttle::check_random(
        || {
            let queue = Arc::new(MemoryQueue::new(QueueConfig::new(8)));
            let taken = Arc::new(AtomicUsize::new(0));
            let takers: Vec<_> = (0..2)
                .map(|_| {
                    let (queue, taken) = (Arc::clone(&queue), Arc::clone(&taken));
                    thread::spawn(move || {
                        future::block_on(async {
                            // If a ring is missed, one sleeps for ever, which the scheduler calls a deadlock.
                            assert!(queue.claim(now).await.is_some());
                            taken.fetch_add(1, Ordering::Relaxed);
                            queue.settle();
                        });
                    })
                })
                .collect();
            for _ in 0..2 {
                queue.try_push(now(), Priority::Normal, ()).unwrap();
            }
            for taker in takers {
                taker.join().unwrap();
            }
            assert_eq!(taken.load(Ordering::Relaxed), 2);
            assert_eq!((queue.stats(now()).ready, queue.stats(now()).claimed), (0, 0));
        },
        SCHEDULES,
    );
}

/// A queue that is closed while takers wait wakes all of them, and gives each item out once before.
#[test]
fn closing_wakes_all() {
    shuttle::check_random(
        || {
            let queue = Arc::new(MemoryQueue::new(QueueConfig::new(8)));
            let taken = Arc::new(AtomicUsize::new(0));
            let takers: Vec<_> = (0..3)
                .map(|_| {
                    let (queue, taken) = (Arc::clone(&queue), Arc::clone(&taken));
                    thread::spawn(move || {
                        future::block_on(async {
                            while queue.claim(now).await.is_some() {
                                taken.fetch_add(1, Ordering::Relaxed);
                            }
                        });
                    })
                })
                .collect();
            for _ in 0..2 {
                queue.try_push(now(), Priority::Normal, ()).unwrap();
            }
            queue.close();
            for taker in takers {
                taker.join().unwrap();
            }
            assert_eq!(taken.load(Ordering::Relaxed), 2);
        },
        SCHEDULES,
    );
}

/// Submitters that wait for room and takers that make it: everybody comes through, nothing is lost.
#[test]
fn room_goes_to_those_who_wait() {
    shuttle::check_random(
        || {
            let queue = Arc::new(MemoryQueue::new(QueueConfig::new(1)));
            let submitters: Vec<_> = (0..3)
                .map(|number| {
                    let queue = Arc::clone(&queue);
                    thread::spawn(move || {
                        assert!(future::block_on(queue.reserve()));
                        queue.push_reserved(now(), Priority::Normal, number).unwrap();
                    })
                })
                .collect();
            let mut all: Vec<u32> = future::block_on(async {
                let mut all = Vec::new();
                for _ in 0..3 {
                    all.push(queue.claim(now).await.unwrap().item);
                }
                all
            });
            for submitter in submitters {
                submitter.join().unwrap();
            }
            all.sort_unstable();
            assert_eq!(all, [0, 1, 2]);
        },
        SCHEDULES,
    );
}

/// The store's claims that wait are woken by what comes meanwhile: the transitions under its lock are proven against
/// the contract elsewhere, what is tried here is the ring beside it.
#[test]
fn the_store_wakes_those_who_wait() {
    use crate::store::{ClaimRequest, End, JobStore as _, Settlement};
    shuttle::check_random(
        || {
            let store = MemoryStore::default();
            let takers: Vec<_> = (0..2)
                .map(|number| {
                    let store = store.clone();
                    thread::spawn(move || {
                        future::block_on(async {
                            // Without an end of the wait or a lease there is no timer, which would need a runtime.
                            let request = ClaimRequest::new(format!("w{number}"), ["x"], 1, Duration::MAX);
                            let claims = store.claim(&request.wait(Duration::MAX)).await.unwrap();
                            let end = End::new(claims[0].lease, Settlement::Completed(b"1".to_vec()));
                            store.settle(&[end]).await.unwrap();
                        });
                    })
                })
                .collect();
            for _ in 0..2 {
                future::block_on(store.enqueue(vec![NewJob::new("x", b"1".to_vec())])).unwrap();
            }
            for taker in takers {
                taker.join().unwrap();
            }
            assert_eq!(future::block_on(crate::store::StoreControl::stats(&store)).unwrap().completed, 2);
        },
        SCHEDULES,
    );
}

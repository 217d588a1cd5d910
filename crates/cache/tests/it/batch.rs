//! Many keys with one call.

use std::collections::HashMap;
use std::io;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bedplate_cache::{Batch, Cache, LoadContext, LoadError, Source};
use tokio::time::{advance, sleep};

const SECOND: Duration = Duration::from_secs(1);

/// An origin that knows the squares of even numbers, and writes down what it was asked.
#[derive(Clone, Default)]
struct Origin {
    asked: Arc<Mutex<Vec<Vec<u64>>>>,
}

impl Origin {
    async fn squares(self, keys: Vec<u64>, _: LoadContext) -> Result<HashMap<u64, u64>, io::Error> {
        self.asked.lock().unwrap().push(keys.clone());
        sleep(SECOND).await;
        Ok(keys.into_iter().filter(|key| key % 2 == 0).map(|key| (key, key * key)).collect())
    }

    async fn ask(&self, cache: &Cache<u64, u64>, keys: impl IntoIterator<Item = u64>) -> Batch<u64, u64, io::Error> {
        let origin = self.clone();
        cache.get_many_or_load(keys, move |keys, cx| origin.clone().squares(keys, cx)).await
    }

    fn asked(&self) -> Vec<Vec<u64>> {
        std::mem::take(&mut *self.asked.lock().unwrap())
    }
}

fn sorted(batch: &Batch<u64, u64, io::Error>) -> Vec<(u64, u64, Source)> {
    let mut found: Vec<_> =
        batch.found().iter().map(|(key, fetched)| (*key, *fetched.value(), fetched.source())).collect();
    found.sort_unstable_by_key(|(key, ..)| *key);
    found
}

fn cache() -> Cache<u64, u64> {
    Cache::builder("batch").ttl(SECOND * 10).negative_ttl(SECOND * 5).build().unwrap()
}

#[tokio::test(start_paused = true)]
async fn only_what_is_missing_is_loaded_and_each_once() {
    let (cache, origin) = (cache(), Origin::default());
    cache.insert(2, 4);
    let batch = origin.ask(&cache, [2, 4, 4, 3, 6, 3]).await;
    assert_eq!(sorted(&batch), [(2, 4, Source::Fresh), (4, 16, Source::Loaded), (6, 36, Source::Loaded)]);
    assert!(batch.failed().is_empty());
    assert_eq!(origin.asked(), [[4, 3, 6]]);
    // 3 is known to have no value.
    let again = origin.ask(&cache, [2, 3, 4, 6]).await;
    assert_eq!((again.found().len(), origin.asked().len()), (3, 0));
    assert_eq!(cache.stats().hits_negative, 1);
    advance(SECOND * 5).await;
    drop(origin.ask(&cache, [3]).await);
    assert_eq!(origin.asked(), [[3]], "asked again when that is forgotten");
    assert!(origin.ask(&cache, []).await.into_result().unwrap().is_empty());
}

#[tokio::test(start_paused = true)]
async fn what_is_in_flight_is_joined_and_not_loaded_again() {
    let (cache, origin) = (cache(), Origin::default());
    let (first, second, third) = tokio::join!(
        origin.ask(&cache, [2, 4]),
        origin.ask(&cache, [4, 6]),
        cache.get_or_load(6, |_| async { Err(io::Error::other("not called")) })
    );
    assert_eq!(sorted(&first), [(2, 4, Source::Loaded), (4, 16, Source::Loaded)]);
    assert_eq!(sorted(&second), [(4, 16, Source::Coalesced), (6, 36, Source::Loaded)]);
    assert_eq!(third.unwrap().source(), Source::Coalesced);
    assert_eq!(origin.asked(), [[2, 4].to_vec(), [6].to_vec()]);
}

#[tokio::test(start_paused = true)]
async fn batches_that_wait_for_one_another_both_end() {
    let (cache, origin) = (cache(), Origin::default());
    let (first, second) = tokio::join!(origin.ask(&cache, [2, 4, 6]), origin.ask(&cache, [8, 6, 2, 10]));
    assert_eq!((first.found().len(), second.found().len()), (3, 4));
    assert_eq!(origin.asked(), [[2, 4, 6].to_vec(), [8, 10].to_vec()]);
}

#[tokio::test(start_paused = true)]
async fn an_error_is_shared_and_leaves_what_was_cached() {
    let cache = cache();
    cache.insert(2, 4);
    let batch = cache.get_many_or_load([2, 4, 6], |_, _| async { Err::<Vec<_>, _>(io::Error::other("down")) }).await;
    assert_eq!((batch.get(&2), batch.get(&4), batch.failed().len()), (Some(&4), None, 2));
    let errors: Vec<_> = batch.failed().values().collect();
    let [LoadError::Loader(one), LoadError::Loader(other)] = errors[..] else { panic!("{errors:?}") };
    assert!(Arc::ptr_eq(one, other));
    assert!(matches!(batch.into_result(), Err(LoadError::Loader(_))));
    let panicked = cache
        .get_many_or_load([4], |_, _| async {
            assert!(std::hint::black_box(false), "broken");
            Ok::<Vec<_>, io::Error>(Vec::new())
        })
        .await;
    assert!(matches!(panicked.failed()[&4], LoadError::Panicked { .. }));
}

#[tokio::test(start_paused = true)]
async fn a_stale_batch_is_served_and_refreshed_in_one_call() {
    let origin = Origin::default();
    let cache: Cache<u64, u64> =
        Cache::builder("stale").ttl(SECOND * 10).stale_while_revalidate(SECOND * 60).build().unwrap();
    drop(origin.ask(&cache, [2, 4, 6]).await);
    origin.asked();
    advance(SECOND * 10).await;
    let before = tokio::time::Instant::now();
    let stale = origin.ask(&cache, [2, 4]).await;
    assert_eq!(sorted(&stale), [(2, 4, Source::StaleRevalidating), (4, 16, Source::StaleRevalidating)]);
    assert_eq!(before.elapsed(), Duration::ZERO);
    sleep(SECOND * 2).await;
    assert_eq!(origin.asked(), [[2, 4]]);
    // What is missing and what is to be refreshed go together.
    let mixed = origin.ask(&cache, [2, 6, 8]).await;
    assert_eq!(sorted(&mixed), [(2, 4, Source::Fresh), (6, 36, Source::StaleRevalidating), (8, 64, Source::Loaded)]);
    assert_eq!((origin.asked(), cache.stats().refreshes), (vec![vec![6, 8]], 3));
}

#[tokio::test(start_paused = true)]
async fn what_another_caller_cannot_share_is_loaded_here() {
    let (cache, origin) = (cache(), Origin::default());
    let foreign = tokio::spawn({
        let cache = cache.clone();
        async move {
            let load = cache.get_or_load(4, |_| async {
                sleep(SECOND).await;
                Err::<u64, _>(std::fmt::Error)
            });
            load.await.is_err()
        }
    });
    while cache.stats().loads == 0 {
        tokio::task::yield_now().await;
    }
    let batch = origin.ask(&cache, [2, 4]).await;
    assert!(foreign.await.unwrap());
    assert_eq!(sorted(&batch), [(2, 4, Source::Loaded), (4, 16, Source::Loaded)]);
    assert_eq!(origin.asked(), [[2], [4]]);
}

#[tokio::test(start_paused = true)]
async fn a_batch_that_waits_for_itself_is_told() {
    let cache = cache();
    let inner = cache.clone();
    let batch = cache
        .get_many_or_load([2, 4], move |keys, _| {
            let inner = inner.clone();
            async move {
                let own = inner.get_or_load(4, |_| async { Ok::<_, io::Error>(0) }).await;
                assert!(matches!(own, Err(LoadError::Reentrant)), "{own:?}");
                Ok::<_, io::Error>(keys.into_iter().map(|key| (key, key)))
            }
        })
        .await;
    assert_eq!(batch.into_result().unwrap().len(), 2);
}

#[tokio::test(start_paused = true)]
async fn the_hard_timeout_is_per_key() {
    let cache: Cache<u64, u64> = Cache::builder("slow").hard_timeout(SECOND).build().unwrap();
    cache.insert(2, 4);
    let load = |keys: Vec<u64>, _| async move {
        sleep(SECOND * 3).await;
        Ok::<_, io::Error>(keys.into_iter().map(|key| (key, 1)))
    };
    let batch = cache.get_many_or_load([2, 4, 6], load).await;
    assert_eq!((batch.found().len(), batch.failed().len()), (1, 2));
    assert!(batch.failed().values().all(|error| matches!(error, LoadError::TimedOut { .. })));
    sleep(SECOND * 3).await;
    assert_eq!((cache.get(&4), cache.get(&6)), (Some(1), Some(1)), "the load went on");
}

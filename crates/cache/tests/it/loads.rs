//! Loading: one call per key whatever happens to callers, loaders and keys.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bedplate_cache::{Cache, LoadError, Source};
use tokio::sync::{Notify, Semaphore};
use tokio::task::JoinSet;

fn cache() -> Cache<u64, String> {
    Cache::builder("loads").build().unwrap()
}

fn offline() -> io::Error {
    io::Error::other("the origin is down")
}

/// A loader that counts its calls and waits until it is let through.
#[derive(Clone)]
struct Origin {
    calls: Arc<AtomicU64>,
    gate: Arc<Semaphore>,
    entered: Arc<Notify>,
}

impl Origin {
    fn closed() -> Self {
        Self { calls: Arc::default(), gate: Arc::new(Semaphore::new(0)), entered: Arc::default() }
    }

    async fn pass(&self) {
        self.calls.fetch_add(1, Ordering::Relaxed);
        self.entered.notify_one();
        self.gate.acquire().await.unwrap().forget();
    }

    fn open(&self) {
        self.gate.add_permits(1000);
    }

    fn calls(&self) -> u64 {
        self.calls.load(Ordering::Relaxed)
    }

    async fn load(self, answer: fn() -> Result<&'static str, io::Error>) -> Result<String, io::Error> {
        self.pass().await;
        answer().map(str::to_owned)
    }
}

/// Starts `count` callers of key 1 and returns once all of them wait for the one load.
async fn herd(
    cache: &Cache<u64, String>,
    origin: &Origin,
    count: u64,
    answer: fn() -> Result<&'static str, io::Error>,
) -> JoinSet<Result<(String, Source), LoadError<io::Error>>> {
    let mut callers = JoinSet::new();
    for _ in 0..count {
        let (cache, origin) = (cache.clone(), origin.clone());
        callers.spawn(async move {
            cache.get_or_load(1, move |_| origin.load(answer)).await.map(bedplate_cache::Fetched::into_parts)
        });
    }
    while cache.stats().coalesced + 1 < count {
        tokio::task::yield_now().await;
    }
    callers
}

#[tokio::test]
async fn five_hundred_callers_make_one_call() {
    let (cache, origin) = (cache(), Origin::closed());
    let callers = herd(&cache, &origin, 500, || Ok("page")).await;
    origin.open();
    let answers = callers.join_all().await;
    let loaded =
        answers.iter().filter(|answer| matches!(answer, Ok((value, Source::Loaded)) if value == "page")).count();
    let coalesced =
        answers.iter().filter(|answer| matches!(answer, Ok((value, Source::Coalesced)) if value == "page")).count();
    assert_eq!((origin.calls(), loaded, coalesced), (1, 1, 499));
    let again = cache.get_or_load(1, |_| async { Err::<String, _>(offline()) }).await.unwrap();
    assert_eq!((again.value().as_str(), again.source()), ("page", Source::Fresh));
    let stats = cache.stats();
    assert_eq!((stats.loads, stats.coalesced, stats.load_failures, stats.hits, stats.misses()), (1, 499, 0, 1, 500));
}

#[tokio::test]
async fn a_failing_origin_is_called_once_and_the_error_is_one() {
    let (cache, origin) = (cache(), Origin::closed());
    let callers = herd(&cache, &origin, 500, || Err(offline())).await;
    origin.open();
    let mut errors = Vec::new();
    for answer in callers.join_all().await {
        let Err(LoadError::Loader(error)) = answer else { panic!("{answer:?}") };
        errors.push(error);
    }
    assert_eq!((origin.calls(), errors.len()), (1, 500));
    assert!(
        errors.windows(2).all(|pair| Arc::ptr_eq(pair.first().unwrap(), pair.last().unwrap())),
        "not one shared error"
    );
    assert_eq!(cache.stats().load_failures, 1);
    // A failure is not cached: the next caller tries again.
    let recovered = cache.get_or_load(1, |_| async { Ok::<_, io::Error>("back".to_owned()) }).await.unwrap();
    assert_eq!(recovered.source(), Source::Loaded);
}

#[tokio::test]
async fn a_panicking_loader_is_an_error_for_all() {
    let (cache, origin) = (cache(), Origin::closed());
    let callers = herd(&cache, &origin, 100, || panic!("out of cheese")).await;
    origin.open();
    let answers = callers.join_all().await;
    assert_eq!(answers.len(), 100);
    for answer in answers {
        let Err(LoadError::Panicked { message, .. }) = answer else { panic!("{answer:?}") };
        assert_eq!(&*message, "out of cheese");
    }
}

#[tokio::test]
async fn a_panic_in_the_future_or_the_weigher_is_an_error_too() {
    let cache: Cache<u64, String> = Cache::builder("weigher")
        .weigher(|_: &u64, _: &String| -> u64 { panic!("cannot weigh {}", 1) })
        .build()
        .unwrap();
    let in_weigher = cache.get_or_load(1, |_| async { Ok::<_, io::Error>(String::new()) }).await.unwrap_err();
    assert_eq!(in_weigher.to_string(), "the loader panicked: cannot weigh 1");
    let in_future = cache
        .get_or_load(1, |_| async {
            tokio::task::yield_now().await;
            assert!(std::hint::black_box(false), "late");
            Ok::<_, io::Error>(String::new())
        })
        .await
        .unwrap_err();
    assert!(matches!(&in_future, LoadError::Panicked { message, .. } if &**message == "late"), "{in_future}");
    assert_eq!(cache.stats().load_failures, 2);
}

#[tokio::test]
async fn a_caller_that_leaves_harms_nobody() {
    let (cache, origin) = (cache(), Origin::closed());
    let leader = tokio::spawn({
        let (cache, origin) = (cache.clone(), origin.clone());
        async move { cache.get_or_load(1, move |_| origin.load(|| Ok("page"))).await.map(|fetched| fetched.source()) }
    });
    origin.entered.notified().await;
    let follower = tokio::spawn({
        let cache = cache.clone();
        async move {
            cache
                .get_or_load(1, |_| async { Err::<String, _>(offline()) })
                .await
                .map(bedplate_cache::Fetched::into_parts)
        }
    });
    while cache.stats().coalesced == 0 {
        tokio::task::yield_now().await;
    }
    leader.abort();
    assert!(leader.await.unwrap_err().is_cancelled());
    origin.open();
    assert_eq!(follower.await.unwrap().unwrap(), ("page".to_owned(), Source::Coalesced));
    assert_eq!((origin.calls(), cache.get(&1)), (1, Some("page".to_owned())));
}

#[tokio::test]
async fn a_load_goes_on_when_all_callers_have_left() {
    let (cache, origin) = (cache(), Origin::closed());
    let loader = origin.clone();
    let impatient =
        tokio::time::timeout(Duration::from_millis(1), cache.get_or_load(1, move |_| loader.load(|| Ok("late"))));
    assert!(impatient.await.is_err());
    origin.open();
    let late = cache.get_or_load(1, |_| async { Err::<String, _>(offline()) }).await.unwrap();
    assert_eq!((late.value().as_str(), origin.calls()), ("late", 1));
}

/// Runs `between` while a load of key 1 is under way, and returns what its caller got.
async fn interrupted(cache: &Cache<u64, String>, between: impl FnOnce(&Cache<u64, String>)) -> String {
    let origin = Origin::closed();
    let caller = tokio::spawn({
        let (cache, origin) = (cache.clone(), origin.clone());
        async move { cache.get_or_load(1, move |_| origin.load(|| Ok("old"))).await.unwrap().into_value() }
    });
    origin.entered.notified().await;
    between(cache);
    origin.open();
    caller.await.unwrap()
}

#[tokio::test]
async fn what_was_loaded_before_an_invalidation_is_not_stored_after_it() {
    for invalidate in [|cache: &Cache<u64, String>| drop(cache.remove(&1)), |cache: &Cache<u64, String>| cache.clear()]
    {
        let cache = cache();
        assert_eq!(interrupted(&cache, invalidate).await, "old", "the caller asked before");
        assert_eq!((cache.get(&1), cache.bytes()), (None, 0));
    }
}

#[tokio::test]
async fn a_load_never_overwrites_a_newer_value() {
    let cache = cache();
    assert_eq!(interrupted(&cache, |cache| assert!(cache.insert(1, "new".to_owned()).is_stored())).await, "old");
    assert_eq!(cache.get(&1).as_deref(), Some("new"));
}

#[tokio::test]
async fn who_asks_after_an_invalidation_does_not_join_the_old_load() {
    let (cache, old) = (cache(), Origin::closed());
    let before = tokio::spawn({
        let (cache, old) = (cache.clone(), old.clone());
        async move { cache.get_or_load(1, move |_| old.load(|| Ok("old"))).await.unwrap().into_value() }
    });
    old.entered.notified().await;
    cache.remove(&1);
    let after = cache.get_or_load(1, |_| async { Ok::<_, io::Error>("new".to_owned()) }).await.unwrap();
    assert_eq!((after.value().as_str(), after.source()), ("new", Source::Loaded));
    old.open();
    assert_eq!(before.await.unwrap(), "old");
    assert_eq!(cache.get(&1).as_deref(), Some("new"));
}

#[tokio::test]
async fn a_loader_can_keep_its_value_out_of_the_cache() {
    let cache = cache();
    for _ in 0..2 {
        let degraded = cache.get_or_load(1, |cx| async move {
            cx.do_not_store();
            Ok::<_, io::Error>("degraded".to_owned())
        });
        assert_eq!(degraded.await.unwrap().source(), Source::Loaded);
    }
    assert_eq!((cache.len(), cache.stats().loads, cache.stats().load_failures), (0, 2, 0));
}

#[tokio::test(start_paused = true)]
async fn a_loader_can_set_the_time_to_live() {
    let cache = cache();
    let load = |seconds: u64| {
        cache.get_or_load(1, move |cx| async move {
            tokio::time::sleep(Duration::from_secs(5)).await;
            cx.ttl(Duration::from_secs(seconds));
            Ok::<_, io::Error>("page".to_owned())
        })
    };
    assert_eq!(load(10).await.unwrap().source(), Source::Loaded);
    tokio::time::advance(Duration::from_millis(9_990)).await;
    assert_eq!(load(10).await.unwrap().source(), Source::Fresh, "counted from the end of the load");
    tokio::time::advance(Duration::from_millis(10)).await;
    assert_eq!(load(10).await.unwrap().source(), Source::Loaded);
}

#[tokio::test]
async fn a_value_too_heavy_is_handed_out_and_refused() {
    let cache: Cache<u64, Vec<u8>> = Cache::builder("small").max_bytes(500).build().unwrap();
    let fetched = cache.get_or_load(1, |_| async { Ok::<_, io::Error>(vec![0; 1000]) }).await.unwrap();
    assert_eq!((fetched.value().len(), cache.len(), cache.stats().refusals), (1000, 0, 1));
}

#[tokio::test]
async fn what_is_loaded_keeps_the_budget_of_all_shards() {
    let cache: Cache<u64, Vec<u8>> =
        Cache::builder("shared").max_bytes(4000).max_entry_bytes(3000).shards(64).build().unwrap();
    for key in 0..100 {
        let fetched = cache.get_or_load(key, |_| async { Ok::<_, io::Error>(vec![0; 2000]) }).await;
        assert_eq!(fetched.unwrap().source(), Source::Loaded);
        assert!(cache.bytes() <= 4000 && cache.contains(&key), "{:?}", cache.stats());
    }
}

#[tokio::test]
async fn a_loader_that_waits_for_itself_is_told() {
    let cache = cache();
    let (inner, innermost) = (cache.clone(), cache.clone());
    let outer = cache.get_or_load(1, move |_| async move {
        // Through the load of another key, so that the caller itself does not see it.
        inner
            .get_or_load(2, move |_| async move {
                let own = innermost.get_or_load(1, |_| async { Ok::<_, io::Error>(String::new()) }).await;
                assert!(matches!(own, Err(LoadError::Reentrant)), "{own:?}");
                Ok::<_, io::Error>("inner".to_owned())
            })
            .await
            .map(|inner| format!("outer of {}", inner.value()))
            .map_err(|_| offline())
    });
    assert_eq!(outer.await.unwrap().into_value(), "outer of inner");
}

#[tokio::test]
async fn an_error_of_another_type_makes_a_caller_load_for_itself() {
    let (cache, origin) = (cache(), Origin::closed());
    let first = tokio::spawn({
        let (cache, origin) = (cache.clone(), origin.clone());
        async move { cache.get_or_load(1, move |_| origin.load(|| Err(offline()))).await }
    });
    origin.entered.notified().await;
    let second = tokio::spawn({
        let cache = cache.clone();
        async move { cache.get_or_load(1, |_| async { Err::<String, _>(std::fmt::Error) }).await }
    });
    while cache.stats().coalesced == 0 {
        tokio::task::yield_now().await;
    }
    origin.open();
    assert!(matches!(first.await.unwrap(), Err(LoadError::Loader(_))));
    assert!(matches!(second.await.unwrap(), Err(LoadError::Loader(error)) if *error == std::fmt::Error));
}

#[test]
fn a_runtime_that_ends_cuts_its_loads_off_and_the_next_caller_loads() {
    let cache = cache();
    let runtime = || tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let (dying, origin) = (runtime(), Origin::closed());
    dying.block_on(async {
        let loader = origin.clone();
        let cut =
            tokio::time::timeout(Duration::from_millis(1), cache.get_or_load(1, move |_| loader.load(|| Ok("never"))));
        assert!(cut.await.is_err());
    });
    let waiting = runtime();
    waiting.block_on(async {
        let caller = tokio::spawn({
            let cache = cache.clone();
            async move {
                cache
                    .get_or_load(1, |_| async { Ok::<_, io::Error>("own".to_owned()) })
                    .await
                    .map(bedplate_cache::Fetched::into_parts)
            }
        });
        while cache.stats().coalesced == 0 {
            tokio::task::yield_now().await;
        }
        dying.shutdown_background();
        assert_eq!(caller.await.unwrap().unwrap(), ("own".to_owned(), Source::Loaded));
    });
    assert_eq!((cache.stats().load_failures, cache.get(&1).as_deref()), (1, Some("own")));
}

#[test]
fn without_a_runtime_a_hit_is_served_and_a_miss_is_an_error() {
    use std::future::Future as _;
    use std::task::{Context, Poll, Waker};
    let cache = cache();
    cache.insert(1, "stored".to_owned());
    let poll = |key| {
        let mut load = Box::pin(cache.get_or_load(key, |_| async { Ok::<_, io::Error>(String::new()) }));
        load.as_mut().poll(&mut Context::from_waker(Waker::noop()))
    };
    assert!(matches!(poll(1), Poll::Ready(Ok(fetched)) if fetched.value() == "stored"));
    assert!(matches!(poll(2), Poll::Ready(Err(LoadError::NoRuntime))));
    assert!(matches!(poll(2), Poll::Ready(Err(LoadError::NoRuntime))), "the first miss left nothing behind");
}

/// Panics at the end of each load.
#[derive(Debug)]
struct Fragile;

impl bedplate_cache::Observer for Fragile {
    fn on_event(&self, _: &str, event: &bedplate_cache::CacheEvent) {
        assert!(!matches!(event, bedplate_cache::CacheEvent::LoadFinished { .. }), "the meter broke");
    }
}

#[tokio::test(start_paused = true)]
async fn an_observer_that_panics_leaves_nobody_waiting() {
    let cache: Cache<u64, String> = Cache::builder("fragile").observer(Fragile).build().unwrap();
    let origin = Origin::closed();
    let mut callers = herd(&cache, &origin, 3, || Ok("value")).await;
    origin.open();
    let wait = async {
        while let Some(caller) = callers.join_next().await {
            // The value was stored before the panic: whoever asks again is served.
            assert!(caller.unwrap().is_ok_and(|(value, _)| value == "value") || cache.get(&1).is_some());
        }
    };
    tokio::time::timeout(Duration::from_mins(1), wait).await.unwrap();
    assert_eq!(origin.calls(), 1);
}

/// A value whose drop panics once.
#[derive(Debug, Clone)]
struct Thorny(Arc<std::sync::atomic::AtomicBool>);

impl Drop for Thorny {
    fn drop(&mut self) {
        assert!(!self.0.swap(false, Ordering::SeqCst), "it does not go gently");
    }
}

#[tokio::test(start_paused = true)]
async fn a_replaced_value_that_panics_in_its_drop_leaves_nobody_waiting() {
    let cache: Cache<u64, Thorny> = Cache::builder("thorny").weigher(|_: &u64, _: &Thorny| 8).build().unwrap();
    let thorn = Arc::new(std::sync::atomic::AtomicBool::new(false));
    cache.insert(1, Thorny(Arc::clone(&thorn)));
    thorn.store(true, Ordering::SeqCst);
    let loaded = cache.refresh(1, |_| async {
        tokio::task::yield_now().await;
        Ok::<_, io::Error>(Thorny(Arc::default()))
    });
    let waited = tokio::time::timeout(Duration::from_mins(1), loaded).await;
    assert!(waited.is_ok(), "the caller waits for ever");
    let again = cache.get_or_load(1, |_| async { Ok::<_, io::Error>(Thorny(Arc::default())) });
    assert!(tokio::time::timeout(Duration::from_mins(1), again).await.unwrap().is_ok());
}

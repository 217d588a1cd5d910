//! Each transition of the engine, in paused time.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bedplate_cache::{Cache, CacheBuilder, EntryOptions, Fetched, LoadError, Source};
use tokio::time::{Instant, advance, sleep};

const fn secs(secs: u64) -> Duration {
    Duration::from_secs(secs)
}

/// An origin that answers with the number of the call, as slowly and as badly as it is told.
#[derive(Clone, Default)]
struct Origin {
    calls: Arc<AtomicU64>,
}

#[derive(Clone, Copy)]
enum Mood {
    Good,
    Slow(u64),
    Bad,
    Panicking,
    Empty,
}

impl Origin {
    fn calls(&self) -> u64 {
        self.calls.load(Ordering::Relaxed)
    }

    #[expect(clippy::panic, reason = "a loader that panics is one of the transitions")]
    async fn answer(self, mood: Mood) -> Result<Option<u64>, io::Error> {
        let call = self.calls.fetch_add(1, Ordering::Relaxed) + 1;
        match mood {
            Mood::Good => {}
            Mood::Slow(seconds) => sleep(secs(seconds)).await,
            Mood::Bad => return Err(io::Error::other("down")),
            Mood::Panicking => panic!("broken"),
            Mood::Empty => return Ok(None),
        }
        Ok(Some(call))
    }

    async fn ask(&self, cache: &Cache<u8, u64>, mood: Mood) -> Result<(u64, Source), LoadError<io::Error>> {
        let origin = self.clone();
        let load = cache.get_or_load(1, move |_| async move { origin.answer(mood).await.map(Option::unwrap) });
        load.await.map(Fetched::into_parts)
    }

    async fn find(&self, cache: &Cache<u8, u64>, mood: Mood) -> Result<(Option<u64>, Source), LoadError<io::Error>> {
        let origin = self.clone();
        let load = cache.get_or_load_optional(1, move |_| origin.answer(mood));
        load.await.map(Fetched::into_parts)
    }
}

fn with(set: impl FnOnce(CacheBuilder<u8, u64>) -> CacheBuilder<u8, u64>) -> (Cache<u8, u64>, Origin) {
    (set(Cache::builder("engine").ttl(secs(10))).build().unwrap(), Origin::default())
}

/// Lets what was spawned run until it waits.
async fn settle() {
    for _ in 0..20 {
        tokio::task::yield_now().await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_read_in_the_eager_window_refreshes_once_in_the_background() {
    let (cache, origin) = with(|builder| builder.eager_refresh(0.8));
    assert_eq!(origin.ask(&cache, Mood::Good).await.unwrap(), (1, Source::Loaded));
    advance(Duration::from_millis(7_999)).await;
    assert_eq!(origin.ask(&cache, Mood::Good).await.unwrap(), (1, Source::Fresh));
    settle().await;
    assert_eq!(origin.calls(), 1, "before the window");
    advance(Duration::from_millis(1)).await;
    let before = Instant::now();
    for _ in 0..5 {
        assert_eq!(origin.ask(&cache, Mood::Slow(1)).await.unwrap(), (1, Source::Fresh));
    }
    assert_eq!(Instant::now(), before, "nobody waits");
    settle().await;
    assert_eq!(origin.calls(), 2, "one refresh under way");
    advance(secs(1)).await;
    settle().await;
    assert_eq!(origin.ask(&cache, Mood::Bad).await.unwrap(), (2, Source::Fresh));
    // What is not read is not refreshed.
    advance(secs(9)).await;
    settle().await;
    assert_eq!(origin.calls(), 2);
    let stats = cache.stats();
    assert_eq!((stats.loads, stats.refreshes, stats.hits, stats.misses()), (2, 1, 7, 1));
}

#[tokio::test(start_paused = true)]
async fn an_eager_refresh_that_fails_changes_nothing_and_backs_off() {
    let (cache, origin) = with(|builder| builder.eager_refresh(0.5).error_backoff(secs(2)));
    origin.ask(&cache, Mood::Good).await.unwrap();
    advance(secs(5)).await;
    for mood in [Mood::Bad, Mood::Panicking] {
        let calls = origin.calls();
        for _ in 0..3 {
            assert_eq!(origin.ask(&cache, mood).await.unwrap(), (1, Source::Fresh));
            settle().await;
        }
        assert_eq!(origin.calls(), calls + 1, "throttled");
        advance(secs(2)).await;
    }
    assert_eq!(cache.stats().load_failures, 2);
}

#[tokio::test(start_paused = true)]
async fn stale_is_served_while_one_load_refreshes() {
    let (cache, origin) = with(|builder| builder.stale_while_revalidate(secs(60)));
    origin.ask(&cache, Mood::Good).await.unwrap();
    advance(secs(10)).await;
    assert_eq!(cache.get(&1), None, "a plain lookup serves nothing stale");
    let before = Instant::now();
    for _ in 0..10 {
        assert_eq!(origin.ask(&cache, Mood::Slow(5)).await.unwrap(), (1, Source::StaleRevalidating));
    }
    assert_eq!((Instant::now(), cache.stats().hits_stale), (before, 10));
    settle().await;
    assert_eq!(origin.calls(), 2);
    advance(secs(5)).await;
    settle().await;
    assert_eq!(origin.ask(&cache, Mood::Bad).await.unwrap(), (2, Source::Fresh));
}

#[tokio::test(start_paused = true)]
async fn after_the_window_callers_wait_for_the_new_value() {
    let (cache, origin) = with(|builder| builder.stale_while_revalidate(secs(60)));
    origin.ask(&cache, Mood::Good).await.unwrap();
    advance(secs(70)).await;
    assert_eq!(origin.ask(&cache, Mood::Slow(5)).await.unwrap(), (2, Source::Loaded));
    assert_eq!(cache.stats().misses_expired, 1);
}

#[tokio::test(start_paused = true)]
async fn a_refresh_slower_than_the_time_to_live_neither_piles_up_nor_pins_the_old_value() {
    let (cache, origin) = with(|builder| builder.stale_while_revalidate(secs(20)));
    origin.ask(&cache, Mood::Good).await.unwrap();
    advance(secs(10)).await;
    for _ in 0..20 {
        assert_eq!(origin.ask(&cache, Mood::Slow(35)).await.unwrap(), (1, Source::StaleRevalidating));
        advance(secs(1)).await;
        settle().await;
    }
    assert_eq!(origin.calls(), 2, "one refresh, however long it takes");
    // Its time is over: from here callers wait for the refresh that is under way.
    assert_eq!(origin.ask(&cache, Mood::Bad).await.unwrap(), (2, Source::Coalesced));
    assert_eq!((origin.calls(), cache.get(&1)), (2, Some(2)));
}

#[tokio::test(start_paused = true)]
async fn stale_is_served_on_errors_and_panics_with_a_throttle() {
    let (cache, origin) = with(|builder| builder.stale_if_error(secs(100)).error_backoff(secs(5)));
    origin.ask(&cache, Mood::Good).await.unwrap();
    advance(secs(10)).await;
    for mood in [Mood::Bad, Mood::Panicking] {
        let calls = origin.calls();
        for _ in 0..10 {
            assert_eq!(origin.ask(&cache, mood).await.unwrap(), (1, Source::StaleOnError));
        }
        assert_eq!(origin.calls(), calls + 1, "throttled");
        advance(secs(5)).await;
    }
    let stats = cache.stats();
    assert_eq!((stats.fallbacks, stats.hits_stale, stats.load_failures), (2, 18, 2));
    assert_eq!(origin.ask(&cache, Mood::Good).await.unwrap(), (4, Source::Loaded), "back at once after the throttle");
    advance(secs(110)).await;
    assert!(matches!(origin.ask(&cache, Mood::Bad).await, Err(LoadError::Loader(_))), "too old to be told");
    assert_eq!(cache.len(), 0);
}

#[tokio::test(start_paused = true)]
async fn the_soft_timeout_gives_what_is_stale_and_the_load_goes_on() {
    let (cache, origin) = with(|builder| builder.stale_if_error(secs(100)).soft_timeout(secs(1)).hard_timeout(secs(3)));
    let before = Instant::now();
    assert_eq!(origin.ask(&cache, Mood::Slow(2)).await.unwrap(), (1, Source::Loaded), "nothing stale: it waits on");
    assert_eq!(before.elapsed(), secs(2));
    advance(secs(10)).await;
    let before = Instant::now();
    assert_eq!(origin.ask(&cache, Mood::Slow(2)).await.unwrap(), (1, Source::StaleOnTimeout));
    assert_eq!(before.elapsed(), secs(1));
    advance(Duration::from_millis(500)).await;
    assert_eq!(
        origin.ask(&cache, Mood::Slow(2)).await.unwrap(),
        (2, Source::Coalesced),
        "joined, and patient for long enough"
    );
    assert_eq!((origin.calls(), cache.stats().fallbacks), (2, 1));
}

#[tokio::test(start_paused = true)]
async fn the_hard_timeout_is_an_error_and_the_load_fills_the_cache() {
    let (cache, origin) = with(|builder| builder.hard_timeout(secs(3)));
    let before = Instant::now();
    let error = origin.ask(&cache, Mood::Slow(10)).await.unwrap_err();
    assert!(matches!(error, LoadError::TimedOut { waited, .. } if waited == secs(3)), "{error}");
    assert!(error.is_transient());
    assert_eq!(
        (before.elapsed(), error.to_string().as_str()),
        (secs(3), "the load takes longer than the hard timeout of 3000ms")
    );
    sleep(secs(8)).await;
    assert_eq!(origin.ask(&cache, Mood::Bad).await.unwrap(), (1, Source::Fresh));
    assert_eq!((origin.calls(), cache.stats().timeouts), (1, 1));
}

#[tokio::test(start_paused = true)]
async fn at_the_hard_timeout_something_stale_is_better_than_an_error() {
    let (cache, origin) = with(|builder| builder.stale_if_error(secs(100)).hard_timeout(secs(3)));
    origin.ask(&cache, Mood::Good).await.unwrap();
    advance(secs(10)).await;
    assert_eq!(origin.ask(&cache, Mood::Slow(10)).await.unwrap(), (1, Source::StaleOnTimeout));
}

#[tokio::test(start_paused = true)]
async fn an_absence_is_remembered_for_its_own_time() {
    let (cache, origin) = with(|builder| builder.negative_ttl(secs(3)));
    assert_eq!(origin.find(&cache, Mood::Empty).await.unwrap(), (None, Source::Loaded));
    assert_eq!(origin.find(&cache, Mood::Good).await.unwrap(), (None, Source::Negative));
    assert_eq!((cache.get(&1), cache.contains(&1), cache.len()), (None, false, 1));
    assert_eq!((origin.calls(), cache.stats().hits_negative), (1, 1));
    // Who must have a value does not take it for an answer.
    assert_eq!(origin.ask(&cache, Mood::Good).await.unwrap(), (2, Source::Loaded));
    assert_eq!(origin.find(&cache, Mood::Bad).await.unwrap(), (Some(2), Source::Fresh));
    cache.remove(&1);
    origin.find(&cache, Mood::Empty).await.unwrap();
    advance(secs(3)).await;
    assert_eq!(origin.find(&cache, Mood::Good).await.unwrap(), (Some(4), Source::Loaded));
}

#[tokio::test(start_paused = true)]
async fn what_the_origin_no_longer_has_is_dropped() {
    let (cache, origin) = with(|builder| builder.stale_if_error(secs(100)));
    origin.find(&cache, Mood::Good).await.unwrap();
    advance(secs(10)).await;
    assert_eq!(origin.find(&cache, Mood::Empty).await.unwrap(), (None, Source::Loaded));
    assert_eq!((cache.len(), cache.bytes()), (0, 0), "not remembered without a negative_ttl, nor kept as stale");
}

#[tokio::test(start_paused = true)]
async fn a_caller_that_needs_a_value_does_not_share_an_absence() {
    let (cache, origin) = with(|builder| builder.negative_ttl(secs(60)));
    let finder = tokio::spawn({
        let (cache, origin) = (cache.clone(), origin.clone());
        async move {
            cache
                .get_or_load_optional(1, move |_| async move {
                    sleep(secs(1)).await;
                    origin.answer(Mood::Empty).await
                })
                .await
                .unwrap()
                .into_parts()
        }
    });
    settle().await;
    assert_eq!(origin.ask(&cache, Mood::Good).await.unwrap(), (2, Source::Loaded));
    assert_eq!(finder.await.unwrap(), (None, Source::Loaded));
    assert_eq!(cache.stats().coalesced, 1);
}

#[tokio::test(start_paused = true)]
async fn a_loader_decides_how_long_its_value_is_used() {
    let cache: Cache<u8, u64> = Cache::builder("adaptive").build().unwrap();
    let ask = |value: Option<u64>| {
        cache.get_or_load(1, move |cx| async move {
            cx.ttl(secs(1));
            cx.stale_while_revalidate(secs(2));
            cx.stale_if_error(secs(5));
            value.ok_or_else(|| io::Error::other("down"))
        })
    };
    assert_eq!(ask(Some(7)).await.unwrap().age(), Some(Duration::ZERO));
    advance(secs(1)).await;
    let stale = ask(None).await.unwrap();
    assert_eq!((stale.source(), stale.age()), (Source::StaleRevalidating, Some(secs(1))));
    advance(secs(2)).await;
    assert_eq!(ask(None).await.unwrap().source(), Source::StaleOnError);
    advance(secs(3)).await;
    assert!(ask(None).await.is_err());
}

#[tokio::test(start_paused = true)]
async fn an_insert_during_a_refresh_wins() {
    for write in [
        |cache: &Cache<u8, u64>| assert!(cache.insert(1, 77).is_stored()),
        |cache: &Cache<u8, u64>| {
            cache.remove(&1);
        },
    ] {
        let (cache, origin) = with(|builder| builder.stale_while_revalidate(secs(60)));
        origin.ask(&cache, Mood::Good).await.unwrap();
        advance(secs(10)).await;
        assert_eq!(origin.ask(&cache, Mood::Slow(5)).await.unwrap(), (1, Source::StaleRevalidating));
        settle().await;
        write(&cache);
        let written = cache.get(&1);
        sleep(secs(6)).await;
        assert_eq!((origin.calls(), cache.get(&1)), (2, written), "the refresh overwrote what is newer");
    }
}

#[tokio::test(start_paused = true)]
async fn a_refresh_may_use_the_cache_for_its_own_key() {
    let (cache, _) = with(|builder| builder.stale_while_revalidate(secs(60)));
    cache.insert(1, 1);
    advance(secs(10)).await;
    let inner = cache.clone();
    let refreshed = cache.get_or_load(1, move |_| async move {
        // The old value is there, so nobody waits for anybody.
        let old = inner.get_or_load(1, |_| async { Err(io::Error::other("not called")) }).await;
        Ok::<_, io::Error>(old.unwrap().into_value() + 1)
    });
    assert_eq!(refreshed.await.unwrap().into_parts(), (1, Source::StaleRevalidating));
    settle().await;
    assert_eq!(cache.get(&1), Some(2));
}

#[tokio::test(start_paused = true)]
async fn expire_keeps_the_value_for_failures_only() {
    let (cache, origin) =
        with(|builder| builder.stale_while_revalidate(secs(60)).stale_if_error(secs(60)).error_backoff(Duration::ZERO));
    origin.ask(&cache, Mood::Good).await.unwrap();
    assert!(cache.expire(&1));
    assert!(!cache.expire(&1), "it is no longer live");
    assert_eq!((cache.get(&1), cache.len()), (None, 1));
    assert_eq!(origin.ask(&cache, Mood::Bad).await.unwrap(), (1, Source::StaleOnError));
    assert_eq!(origin.ask(&cache, Mood::Good).await.unwrap(), (3, Source::Loaded), "it waits, and is not served stale");
    let (plain, origin) = with(|builder| builder);
    origin.ask(&plain, Mood::Good).await.unwrap();
    assert!(plain.expire(&1));
    assert_eq!(plain.len(), 0, "nothing to keep it for");
}

#[tokio::test(start_paused = true)]
async fn expire_asks_the_entry_before_the_cache() {
    let (plain, origin) = with(|builder| builder);
    plain.insert_with(1, 1, EntryOptions::new().stale_if_error(secs(60)));
    assert!(plain.expire(&1));
    advance(secs(59)).await;
    assert_eq!(origin.ask(&plain, Mood::Bad).await.unwrap(), (1, Source::StaleOnError));
    advance(secs(1)).await;
    assert_eq!((plain.maintain(), plain.len()), (1, 0), "kept for its own window");

    // One without an end of its own keeps its window for the end that it is given.
    plain.insert_with(1, 2, EntryOptions::new().without_expiry().stale_if_error(secs(60)));
    advance(secs(1000)).await;
    assert!(plain.expire(&1));
    advance(secs(59)).await;
    assert_eq!(origin.ask(&plain, Mood::Bad).await.unwrap(), (2, Source::StaleOnError));
    advance(secs(1)).await;
    assert_eq!((plain.maintain(), plain.len()), (1, 0), "kept for its own window");

    let (keeping, _) = with(|builder| builder.stale_if_error(secs(60)));
    keeping.insert_with(1, 1, EntryOptions::new().stale_if_error(Duration::ZERO));
    assert!(keeping.expire(&1));
    assert_eq!(keeping.len(), 0, "it is not to be given when loads fail");
}

#[tokio::test(start_paused = true)]
async fn stale_entries_go_when_their_keeping_ends() {
    let (cache, origin) = with(|builder| builder.stale_if_error(secs(20)));
    origin.ask(&cache, Mood::Good).await.unwrap();
    advance(secs(29)).await;
    assert_eq!((cache.maintain(), cache.len()), (0, 1));
    advance(secs(1)).await;
    assert_eq!((cache.maintain(), cache.len(), cache.stats().expirations), (1, 0, 1));
}

#[tokio::test(start_paused = true)]
async fn latencies_are_counted_by_their_own_clock() {
    let (cache, origin) = with(|builder| builder);
    origin.ask(&cache, Mood::Slow(2)).await.unwrap();
    let histogram = cache.stats().load_latency;
    assert_eq!((histogram.count(), histogram.quantile(0.5)), (1, Some(Duration::from_micros(1 << 21))));
    cache.insert_with(2, 1, EntryOptions::new().without_expiry());
    let forever = cache.get_or_load(2, |_| async { Err(io::Error::other("not called")) }).await.unwrap();
    assert_eq!((forever.age(), forever.source()), (None, Source::Fresh));
}

#[tokio::test(start_paused = true)]
async fn who_waits_too_long_for_a_load_that_was_overtaken_is_given_what_overtook_it() {
    let set =
        |builder: CacheBuilder<u8, u64>| builder.stale_if_error(secs(60)).soft_timeout(secs(2)).hard_timeout(secs(5));
    for joins in [false, true] {
        let (cache, origin) = with(set);
        let ask = || {
            let (cache, origin) = (cache.clone(), origin.clone());
            tokio::spawn(async move { origin.ask(&cache, Mood::Slow(100)).await })
        };
        let mut asking = ask();
        settle().await;
        if joins {
            asking = ask();
            settle().await;
        }
        cache.insert(1, 7);
        let (began, received) = (Instant::now(), asking.await.unwrap());
        assert_eq!(received.unwrap(), (7, Source::Fresh), "joins: {joins}");
        assert_eq!(began.elapsed(), secs(2), "as soon as its patience ends");
        let stats = cache.stats();
        assert_eq!((stats.fallbacks, stats.timeouts), (1 + u64::from(joins), 0), "so is the one that leads");
    }
}

#[tokio::test(start_paused = true)]
async fn who_joins_a_refresh_that_nobody_waited_for_is_given_its_value() {
    let (cache, origin) = with(|builder| builder.stale_while_revalidate(secs(3)));
    origin.ask(&cache, Mood::Good).await.unwrap();
    advance(secs(12)).await;
    assert_eq!(origin.ask(&cache, Mood::Slow(5)).await.unwrap(), (1, Source::StaleRevalidating));
    settle().await;
    advance(secs(2)).await;
    assert_eq!(origin.ask(&cache, Mood::Good).await.unwrap(), (2, Source::Coalesced));
}

#[tokio::test(start_paused = true)]
async fn a_context_that_outlives_its_load_has_no_say_any_more() {
    let (cache, _) = with(|builder| builder);
    let kept = Arc::new(std::sync::Mutex::new(None));
    let keep = Arc::clone(&kept);
    let fetched = cache.get_or_load(1, move |cx| async move {
        cx.ttl(secs(100));
        *keep.lock().unwrap() = Some(cx);
        Ok::<_, io::Error>(1)
    });
    assert_eq!(fetched.await.unwrap().source(), Source::Loaded);
    kept.lock().unwrap().take().unwrap().ttl(secs(1));
    advance(secs(50)).await;
    assert_eq!(cache.get(&1), Some(1));
    advance(secs(50)).await;
    assert_eq!(cache.get(&1), None);
}

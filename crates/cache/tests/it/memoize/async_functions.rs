//! Async functions: loads of their own, shared errors, recursion.

use super::*;

#[derive(Clone, Default)]
struct Database {
    rows: Arc<Mutex<Vec<(u64, &'static str)>>>,
    calls: Arc<AtomicU64>,
    gate: Option<Arc<Notify>>,
}

impl Database {
    async fn find(&self, id: u64) -> Option<String> {
        self.calls.fetch_add(1, Ordering::SeqCst);
        if let Some(gate) = &self.gate {
            gate.notified().await;
        }
        let rows = self.rows.lock().unwrap();
        rows.iter().find(|row| row.0 == id).map(|row| row.1.to_owned())
    }

    fn set(&self, id: u64, name: &'static str) {
        let mut rows = self.rows.lock().unwrap();
        rows.retain(|row| row.0 != id);
        rows.push((id, name));
    }

    fn calls(&self) -> u64 {
        self.calls.load(Ordering::SeqCst)
    }
}

/// Looks a product up.
#[memoize(
    key = "id",
    ttl = "60s",
    stale = "5m",
    stale_if_error = "1h",
    negative_ttl = "10s",
    tags = ["products", format!("product:{id}")]
)]
async fn product(db: &Database, id: u64) -> Result<Option<String>, Broken> {
    match db.find(id).await {
        Some(name) if name == "broken" => Err(Broken::Down),
        found => Ok(found),
    }
}

#[tokio::test(start_paused = true)]
async fn an_async_function_is_memoized_with_all_that_a_cache_does() {
    let db = Database::default();
    db.set(1, "lamp");
    let ask = |id| product(&db, id);
    assert_eq!(ask(1).await.unwrap().as_deref(), Some("lamp"));
    assert_eq!(ask(1).await.unwrap().as_deref(), Some("lamp"));
    assert_eq!((ask(2).await, ask(2).await, db.calls()), (Ok(None), Ok(None), 2));

    // Stale while it is refreshed.
    db.set(1, "new lamp");
    advance(Duration::from_secs(61)).await;
    assert_eq!(ask(1).await.unwrap().as_deref(), Some("lamp"));
    sleep(Duration::from_millis(1)).await;
    assert_eq!(ask(1).await.unwrap().as_deref(), Some("new lamp"));
    assert_eq!(db.calls(), 3);

    // Stale if it fails; a refresh says so and keeps what is there.
    db.set(1, "broken");
    assert_eq!(product_refresh(&db, 1).await, Err(Broken::Down));
    advance(Duration::from_mins(10)).await;
    assert_eq!(ask(1).await.unwrap().as_deref(), Some("new lamp"));
    assert_eq!(product_uncached(&db, 1).await, Err(Broken::Down));

    // Tags of the arguments, and the key alone.
    db.set(1, "third lamp");
    product_cache().invalidate_tag("product:1");
    assert_eq!(ask(1).await.unwrap().as_deref(), Some("third lamp"));
    db.set(1, "fourth lamp");
    assert!(product_invalidate(1));
    assert_eq!(ask(1).await.unwrap().as_deref(), Some("fourth lamp"));
    db.set(1, "fifth lamp");
    assert_eq!(product_refresh(&db, 1).await.unwrap().as_deref(), Some("fifth lamp"));
    assert_eq!(ask(1).await.unwrap().as_deref(), Some("fifth lamp"));
}

static SLOW: LazyLock<Arc<Notify>> = LazyLock::new(Arc::default);

#[memoize]
async fn failing(db: Handle, id: u64) -> Result<u64, Broken> {
    db.0.calls.fetch_add(1, Ordering::SeqCst);
    SLOW.notified().await;
    if id == 0 { Ok(0) } else { Err(Broken::Down) }
}

#[derive(Clone)]
struct Handle(Database);

impl PartialEq for Handle {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

impl Eq for Handle {}

impl std::hash::Hash for Handle {
    fn hash<H: std::hash::Hasher>(&self, _: &mut H) {}
}

impl bedplate_cache::Weigh for Handle {
    fn heap_bytes(&self) -> u64 {
        0
    }
}

#[tokio::test]
async fn five_hundred_callers_share_one_error_and_a_leader_that_leaves_harms_nobody() {
    let db = Database::default();
    let mut callers = JoinSet::new();
    for _ in 0..500 {
        callers.spawn(failing(Handle(db.clone()), 7));
    }
    while failing_cache().stats().coalesced < 499 {
        tokio::task::yield_now().await;
    }
    SLOW.notify_waiters();
    let answers = callers.join_all().await;
    assert_eq!((answers.len(), db.calls()), (500, 1));
    assert!(answers.iter().all(|answer| *answer == Err(Broken::Down)));

    let leader = tokio::spawn(failing(Handle(db.clone()), 0));
    while db.calls() < 2 {
        tokio::task::yield_now().await;
    }
    let second = tokio::spawn(failing(Handle(db.clone()), 0));
    while failing_cache().stats().coalesced < 500 {
        tokio::task::yield_now().await;
    }
    leader.abort();
    assert!(leader.await.unwrap_err().is_cancelled());
    SLOW.notify_waiters();
    assert_eq!((second.await.unwrap(), db.calls()), (Ok(0), 2));
}

#[memoize]
async fn fib(n: u64) -> u64 {
    tokio::task::yield_now().await;
    if n < 2 { n } else { fib(n - 1).await + fib(n - 2).await }
}

#[tokio::test]
async fn an_async_function_may_call_itself() {
    assert_eq!(fib(80).await, 23_416_728_348_467_685);
    assert_eq!(fib_cache().stats().loads, 81);
    let spawned = tokio::spawn(fib(81));
    assert_eq!(spawned.await.unwrap(), 37_889_062_373_143_906);
}

#[memoize(skip(left))]
async fn same_key(n: u64, left: u32) -> u64 {
    if left == 0 { n } else { same_key(n, left - 1).await + 1 }
}

#[tokio::test]
async fn the_key_that_it_is_called_for_is_no_hindrance() {
    assert_eq!(same_key(10, 3).await, 13);
    assert_eq!(same_key(10, 0).await, 13, "cached by the key alone");
}

#[memoize]
async fn panics(n: u8) -> u8 {
    tokio::task::yield_now().await;
    assert!(n > 0, "zero is not allowed");
    n
}

#[tokio::test]
async fn a_panic_is_one_of_each_caller() {
    let failed = [tokio::spawn(panics(0)), tokio::spawn(panics(0))];
    for failed in failed {
        let panic = failed.await.unwrap_err().into_panic();
        assert_eq!(panic.downcast_ref::<String>().unwrap(), "zero is not allowed");
    }
    assert_eq!(panics_cache().stats().loads, 1);
    assert_eq!(panics(3).await, 3);
}

fn slow_origin(error: LoadError<Broken>) -> Broken {
    match error {
        LoadError::Loader(own) => (*own).clone(),
        other => Broken::Cache(other.to_string()),
    }
}

static NEVER: Notify = Notify::const_new();

#[memoize(ttl = "1m", hard_timeout = "2s", map_err = "slow_origin")]
async fn hanging(id: u64) -> Result<u64, Broken> {
    assert!(id != 1, "one");
    if id > 1 {
        NEVER.notified().await;
    }
    Err(Broken::Down)
}

#[tokio::test(start_paused = true)]
async fn a_function_that_has_a_word_for_it_says_what_the_cache_met() {
    let late = Broken::Cache("the load takes longer than the hard timeout of 2000ms".to_owned());
    assert_eq!(hanging(0).await, Err(Broken::Down));
    assert_eq!(hanging(1).await, Err(Broken::Cache("the loader panicked: one".to_owned())));
    assert_eq!(hanging(2).await, Err(late.clone()));
    assert_eq!(hanging_refresh(2).await, Err(late));
}

static IMPATIENT: LazyLock<Cache<u64, u64>> =
    LazyLock::new(|| Cache::builder("impatient").hard_timeout(Duration::from_secs(1)).build().unwrap());

#[memoize(cache = IMPATIENT, ttl = "5s")]
async fn patient(id: u64) -> u64 {
    sleep(Duration::from_secs(30)).await;
    id
}

#[tokio::test(start_paused = true)]
async fn a_function_that_has_no_word_for_it_waits() {
    assert_eq!(patient(7).await, 7);
    assert_eq!(IMPATIENT.get(&7), Some(7));
    advance(Duration::from_secs(6)).await;
    assert_eq!(IMPATIENT.get(&7), None, "its own time to live in a cache without one");
}

#[test]
fn outside_of_a_runtime_it_runs_uncached() {
    #[memoize]
    async fn plain(n: u64) -> u64 {
        std::future::ready(n + 1).await
    }

    let mut future = std::pin::pin!(plain(1));
    let mut context = std::task::Context::from_waker(std::task::Waker::noop());
    assert_eq!(future.as_mut().poll(&mut context), std::task::Poll::Ready(2));
    assert!(plain_cache().is_empty());
    assert!(!plain_invalidate(1));
}

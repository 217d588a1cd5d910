//! `#[memoize]`.

use std::io;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, LazyLock, Mutex};
use std::time::Duration;

use bedplate_cache::{Cache, LoadError, memoize};
use tokio::sync::Notify;
use tokio::task::JoinSet;
use tokio::time::{advance, sleep};

/// Counts the calls of one function.
struct Calls(AtomicU64);

impl Calls {
    const fn new() -> Self {
        Self(AtomicU64::new(0))
    }

    fn next(&self) -> u64 {
        self.0.fetch_add(1, Ordering::SeqCst) + 1
    }

    fn count(&self) -> u64 {
        self.0.load(Ordering::SeqCst)
    }
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
enum Broken {
    #[error("the origin is down")]
    Down,
    #[error("the cache: {0}")]
    Cache(String),
}

#[test]
fn what_cannot_be_memoized_is_said_so() {
    trybuild::TestCases::new().compile_fail("tests/compile_fail/memoize/*.rs");
}

mod sync_functions {
    use super::*;

    static CALLS: Calls = Calls::new();

    #[memoize]
    fn fib(n: u64) -> u64 {
        CALLS.next();
        if n < 2 { n } else { fib(n - 1) + fib(n - 2) }
    }

    #[test]
    fn a_function_that_calls_itself_runs_once_per_argument() {
        assert_eq!(fib(80), 23_416_728_348_467_685);
        assert_eq!(CALLS.count(), 81);
        assert_eq!(fib_uncached(10), 55);
        assert_eq!(CALLS.count(), 82, "what the uncached one calls is memoized");
        assert_eq!(fib_cache().len(), 81);
        assert!(fib_cache().name().ends_with("sync_functions::fib"));
    }

    #[memoize(key = "text.len()", key_type = "usize", capacity = 100)]
    fn depth(text: &str, left: u32) -> u32 {
        if left == 0 { 0 } else { depth(text, left - 1) + 1 }
    }

    #[test]
    fn the_key_that_it_is_called_for_is_no_hindrance() {
        assert_eq!(depth("abc", 5), 5);
        assert_eq!(depth("xyz", 9), 5, "the length is all that counts");
    }

    static READS: Calls = Calls::new();

    #[derive(Debug, Clone, PartialEq, thiserror::Error)]
    #[error("no such file")]
    struct Missing;

    #[memoize(ttl = "60s", name = "files")]
    fn read(folder: &Path, name: &str, parts: &[u16], flag: &'static str) -> Result<String, Missing> {
        match (READS.next(), folder.join(name)) {
            (_, path) if path.ends_with("missing") => Err(Missing),
            (call, path) => Ok(format!("{} {parts:?} {flag} {call}", path.display())),
        }
    }

    #[test]
    fn what_is_borrowed_is_cloned_into_the_key_and_errors_are_not_cached() {
        let read_it = |name: &str| read(Path::new("/etc"), name, &[1, 2], "ro");
        assert_eq!(read_it("motd").unwrap(), "/etc/motd [1, 2] ro 1");
        assert_eq!(read_it("motd").unwrap(), "/etc/motd [1, 2] ro 1");
        assert_eq!((read_it("missing"), read_it("missing")), (Err(Missing), Err(Missing)));
        assert_eq!(READS.count(), 3);
        assert_eq!((read_cache().len(), read_cache().name()), (1, "files"));

        assert_eq!(read_refresh(Path::new("/etc"), "motd", &[1, 2], "ro").unwrap(), "/etc/motd [1, 2] ro 4");
        assert_eq!(read_it("motd").unwrap(), "/etc/motd [1, 2] ro 4");
        assert!(read_invalidate(Path::new("/etc"), "motd", &[1, 2], "ro"));
        assert!(!read_invalidate(Path::new("/etc"), "motd", &[1, 2], "ro"));
        assert_eq!(read_it("motd").unwrap(), "/etc/motd [1, 2] ro 5");
    }

    /// `io::Error` cannot be cloned, so the function says how it is shared.
    #[memoize(map_err = "|error| io::Error::other(error.to_string())", key = name)]
    fn shared_error(name: &str, (left, right): (u8, u8)) -> io::Result<u8> {
        if name.is_empty() { Err(io::Error::other("no name")) } else { Ok(left + right) }
    }

    #[test]
    fn an_error_that_is_no_clone_is_made_of_the_shared_one() {
        assert_eq!(shared_error("a", (1, 2)).unwrap(), 3);
        assert_eq!(shared_error("a", (5, 5)).unwrap(), 3, "only the name counts");
        assert_eq!(shared_error("", (1, 2)).unwrap_err().to_string(), "the loader failed");
    }

    #[memoize]
    fn panics(n: u8) -> u8 {
        assert!(n > 0, "zero is not allowed");
        n
    }

    #[test]
    fn a_panic_is_the_callers() {
        assert_eq!(panics(1), 1);
        let panic = std::panic::catch_unwind(|| panics(0)).unwrap_err();
        assert_eq!(panic.downcast_ref::<String>().unwrap(), "zero is not allowed");
    }

    static FOUND: Calls = Calls::new();

    #[memoize(negative_ttl = "10s")]
    fn find(id: u64) -> Option<String> {
        FOUND.next();
        (id == 1).then(|| "one".to_owned())
    }

    static SOUGHT: Calls = Calls::new();

    #[memoize]
    fn seek(id: u64) -> Option<u64> {
        SOUGHT.next();
        (id == 1).then_some(1)
    }

    #[test]
    fn absence_is_remembered_where_that_is_asked_for() {
        for _ in 0..3 {
            assert_eq!((find(1), find(2)), (Some("one".to_owned()), None));
            assert_eq!((seek(1), seek(2)), (Some(1), None));
        }
        assert_eq!((FOUND.count(), SOUGHT.count()), (2, 4));
    }

    static TWICE: Calls = Calls::new();

    #[memoize]
    fn slow(n: u64, gate: &Gate) -> u64 {
        TWICE.next();
        gate.0.wait();
        n
    }

    #[derive(Clone)]
    struct Gate(Arc<std::sync::Barrier>);

    impl PartialEq for Gate {
        fn eq(&self, _: &Self) -> bool {
            true
        }
    }

    impl Eq for Gate {}

    impl std::hash::Hash for Gate {
        fn hash<H: std::hash::Hasher>(&self, _: &mut H) {}
    }

    impl bedplate_cache::Weigh for Gate {
        fn heap_bytes(&self) -> u64 {
            0
        }
    }

    #[test]
    fn threads_wait_for_one_run_and_not_for_those_of_other_keys() {
        let gate = Gate(Arc::new(std::sync::Barrier::new(3)));
        // Both keys meet at the barrier, so neither waits for the other; four threads share two runs.
        let threads: Vec<_> = [1, 1, 2, 2]
            .map(|n| {
                let gate = gate.clone();
                std::thread::spawn(move || slow(n, &gate))
            })
            .into();
        let coalesced = || slow_cache().stats().coalesced;
        while coalesced() < 2 {
            std::thread::yield_now();
        }
        gate.0.wait();
        let answers: Vec<u64> = threads.into_iter().map(|thread| thread.join().unwrap()).collect();
        assert_eq!((answers, TWICE.count()), (vec![1, 1, 2, 2], 2));
    }
}

mod async_functions {
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
}

mod methods {
    use super::*;

    #[derive(Clone)]
    struct Service {
        tenant: u64,
        calls: Arc<AtomicU64>,
        names: Cache<String, String>,
    }

    impl Service {
        fn new(tenant: u64) -> Self {
            Self { tenant, calls: Arc::default(), names: Cache::builder("names").build().unwrap() }
        }

        #[memoize(key = "(self.tenant, id)", key_type = "(u64, u64)")]
        async fn by_tenant(&self, id: u64, _unused: &str) -> String {
            self.calls.fetch_add(1, Ordering::SeqCst);
            tokio::task::yield_now().await;
            format!("{}:{id}", self.tenant)
        }

        #[memoize(cache = "self.names", key = "name.to_owned()", tags = [format!("tenant:{}", self.tenant)])]
        async fn in_my_cache(&self, name: &str) -> Result<String, Broken> {
            self.calls.fetch_add(1, Ordering::SeqCst);
            tokio::task::yield_now().await;
            if name.is_empty() { Err(Broken::Down) } else { Ok(format!("{name} of {}", self.tenant)) }
        }

        #[memoize(skip(self))]
        fn shared_by_all(self: &Arc<Self>, n: u64) -> u64 {
            self.calls.fetch_add(1, Ordering::SeqCst);
            n + self.tenant
        }

        #[memoize(in_impl)]
        pub(crate) fn associated(n: u64) -> u64 {
            n * 2
        }

        #[memoize(skip(self))]
        async fn consumes(self, n: u64) -> u64 {
            tokio::task::yield_now().await;
            n + self.tenant
        }
    }

    #[tokio::test]
    async fn a_method_is_cached_by_what_counts_of_its_receiver() {
        let (one, two) = (Service::new(1), Service::new(2));
        assert_eq!((one.by_tenant(5, "x").await, two.by_tenant(5, "y").await), ("1:5".into(), "2:5".into()));
        assert_eq!(one.by_tenant(5, "z").await, "1:5");
        assert_eq!(one.calls.load(Ordering::SeqCst), 1);
        assert!(one.by_tenant_invalidate(5));
        assert!(!one.by_tenant_invalidate(5));
        assert!(two.by_tenant_invalidate(5));
        assert_eq!(one.by_tenant_uncached(5, "").await, "1:5");
        assert!(Service::by_tenant_cache().is_empty());
    }

    #[tokio::test]
    async fn each_receiver_may_have_a_cache_of_its_own() {
        let one = Service::new(1);
        assert_eq!(one.in_my_cache("Ada").await.unwrap(), "Ada of 1");
        assert_eq!(one.in_my_cache("Ada").await.unwrap(), "Ada of 1");
        assert_eq!(one.calls.load(Ordering::SeqCst), 1);
        assert_eq!(one.in_my_cache("").await, Err(Broken::Down));
        assert_eq!(one.names.get("Ada").as_deref(), Some("Ada of 1"));
        one.names.invalidate_tag("tenant:1");
        assert_eq!(one.names.get("Ada"), None);
        one.in_my_cache_refresh("Ada").await.unwrap();
        assert!(one.in_my_cache_invalidate("Ada"));
    }

    #[tokio::test]
    async fn what_does_not_count_is_skipped() {
        let (one, two) = (Arc::new(Service::new(1)), Arc::new(Service::new(2)));
        assert_eq!((one.shared_by_all(10), two.shared_by_all(10)), (11, 11));
        assert_eq!(two.calls.load(Ordering::SeqCst), 0);
        assert_eq!((Service::associated(4), Service::associated_cache().len()), (8, 1));
        assert!(Service::associated_invalidate(4));
        assert_eq!((Service::new(3).consumes(1).await, Service::new(4).consumes(1).await), (4, 4));
        assert!(Service::consumes_invalidate(1));
    }

    #[memoize(key = "format!(\"{value:?}\")")]
    fn described<T: std::fmt::Debug>(value: &T, _note: impl AsRef<str>) -> String {
        format!("<{value:?}>")
    }

    fn of_names() -> Cache<String, u64> {
        static NAMES: LazyLock<Cache<String, u64>> = LazyLock::new(|| Cache::builder("of names").build().unwrap());
        NAMES.clone()
    }

    #[memoize(cache = of_names(), key = "name")]
    fn length(name: &str) -> u64 {
        name.len().try_into().unwrap()
    }

    #[test]
    fn a_generic_function_needs_a_key_of_one_type() {
        assert_eq!((described(&1, "a"), described(&"x", "b")), ("<1>".into(), "<\"x\">".into()));
        assert_eq!(described_cache().len(), 2);
        assert!(described_invalidate(&1, "c"));
        assert_eq!((length("four"), of_names().get("four")), (4, Some(4)));
        assert!(length_invalidate("four"));
    }
}

mod elsewhere {
    use bedplate_cache as kept;
    use kept::memoize;

    #[memoize(crate = "kept", tags = ["sums"], ttl = "1h")]
    fn sum(_left_out: (), numbers: &[u64]) -> u64 {
        numbers.iter().sum()
    }

    /// Joins words.
    #[expect(clippy::too_many_arguments, reason = "a lint that is let be is so in all parts")]
    #[must_use]
    #[memoize(key = "one.clone()")]
    pub(super) fn joined(one: String, a1: u8, a2: u8, a3: u8, a4: u8, a5: u8, a6: u8, a7: u8) -> String {
        one + &format!("{a1}{a2}{a3}{a4}{a5}{a6}{a7}")
    }

    #[cfg(any())]
    #[memoize]
    fn nowhere() -> Nothing {}

    #[test]
    fn attributes_go_where_they_belong() {
        assert_eq!(joined("x".to_owned(), 1, 2, 3, 4, 5, 6, 7), "x1234567");
        assert!(joined_invalidate("x".to_owned()));
    }

    #[test]
    fn the_crate_may_be_known_by_another_name() {
        assert_eq!((sum((), &[1, 2, 3]), sum((), &[1, 2, 3])), (6, 6));
        assert_eq!(sum_cache().stats().hits, 1);
        sum_cache().invalidate_tag("sums");
        assert!(!sum_invalidate((), &[1, 2, 3]));
    }
}

//! Methods and generic functions.

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

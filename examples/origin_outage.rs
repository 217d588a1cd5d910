//! An origin that answers for a minute, is down for ten and comes back: what callers saw.
//!
//! `cargo run --release --example origin_outage` tells the same story to three set-ups of this
//! cache (with fail-safe, with fail-safe and an origin that hangs instead of failing, and with a
//! time to live alone), to `moka` and to `quick_cache`. Time is virtual: tokio's
//! clock stands still but for what is waited for, so that fourteen minutes pass in seconds. Moka
//! reads a clock of its own, which this cannot move, and `quick_cache` has no time to live: their
//! entries are invalidated by the schedule instead, each as old as the time to live says.

use std::error::Error;
use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bedplate_cache::{Cache, Source};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, sleep_until};

const TTL: Duration = Duration::from_secs(30);
const OUTAGE: std::ops::Range<u64> = 60..660;
const STORY: u64 = 840;
/// Each second so many callers ask, for one key after the other.
const CALLERS: u64 = 50;
const KEYS: u64 = 20;

/// What the origin does during the outage.
#[derive(Clone, Copy)]
enum Outage {
    Fails,
    Hangs,
}

#[derive(Clone)]
struct Origin {
    began: Instant,
    outage: Outage,
    calls: Arc<AtomicU64>,
    calls_in_outage: Arc<AtomicU64>,
}

impl Origin {
    fn new(outage: Outage) -> Self {
        Self { began: Instant::now(), outage, calls: Arc::default(), calls_in_outage: Arc::default() }
    }

    async fn ask(self) -> Result<u64, &'static str> {
        self.calls.fetch_add(1, Ordering::Relaxed);
        if OUTAGE.contains(&self.began.elapsed().as_secs()) {
            self.calls_in_outage.fetch_add(1, Ordering::Relaxed);
            match self.outage {
                Outage::Fails => sleep(Duration::from_millis(50)).await,
                Outage::Hangs => sleep(Duration::from_secs(20)).await,
            }
            return Err("the origin is down");
        }
        sleep(Duration::from_millis(20)).await;
        Ok(self.began.elapsed().as_secs())
    }
}

/// What one caller saw.
enum Saw {
    Fresh,
    Stale,
    Error,
}

#[derive(Default)]
struct Tally {
    fresh: u64,
    stale: u64,
    errors: u64,
    waits: Vec<Duration>,
}

/// Lets callers come, second after second, and writes down what they saw.
async fn tell<F, Fut>(origin: &Origin, mut each_second: impl FnMut(u64), ask: F) -> Tally
where
    F: Fn(u64, Origin) -> Fut,
    Fut: Future<Output = Saw> + Send + 'static,
{
    let mut callers = JoinSet::new();
    let mut tally = Tally::default();
    for second in 0..STORY {
        sleep_until(origin.began + Duration::from_secs(second)).await;
        each_second(second);
        for caller in 0..CALLERS {
            let call = ask((second + caller) % KEYS, origin.clone());
            callers.spawn(async move {
                let came = Instant::now();
                (call.await, came.elapsed())
            });
        }
        while let Some(done) = callers.try_join_next() {
            tally.count(done);
        }
    }
    while let Some(done) = callers.join_next().await {
        tally.count(done);
    }
    tally
}

impl Tally {
    fn count(&mut self, done: Result<(Saw, Duration), tokio::task::JoinError>) {
        let Ok((saw, waited)) = done else { return };
        match saw {
            Saw::Fresh => self.fresh += 1,
            Saw::Stale => self.stale += 1,
            Saw::Error => self.errors += 1,
        }
        self.waits.push(waited);
    }

    fn line(mut self, name: &str, origin: &Origin) -> String {
        self.waits.sort_unstable();
        let p99 = self.waits.get(self.waits.len() * 99 / 100).copied().unwrap_or_default();
        let (calls, in_outage) = (origin.calls.load(Ordering::Relaxed), origin.calls_in_outage.load(Ordering::Relaxed));
        let Self { fresh, stale, errors, .. } = self;
        format!("{name:<42}{fresh:>8}{stale:>8}{errors:>8}{calls:>9}{in_outage:>11}{:>9} ms", p99.as_millis())
    }
}

async fn ours(name: &str, outage: Outage, cache: Cache<u64, u64>) -> (String, u64) {
    let origin = Origin::new(outage);
    let ask = |key, origin: Origin| {
        let cache = cache.clone();
        async move {
            match cache.get_or_load(key, |_| origin.ask()).await.map(|fetched| fetched.source()) {
                Ok(source) if Source::is_stale(source) => Saw::Stale,
                Ok(_) => Saw::Fresh,
                Err(_) => Saw::Error,
            }
        }
    };
    let tally = tell(&origin, |_| {}, ask).await;
    let errors = tally.errors;
    (tally.line(name, &origin), errors)
}

fn with_fail_safe() -> Result<Cache<u64, u64>, bedplate_cache::ConfigError> {
    Cache::builder("fail-safe")
        .ttl(TTL)
        .eager_refresh(0.8)
        .stale_while_revalidate(Duration::from_mins(1))
        .stale_if_error(Duration::from_hours(1))
        .error_backoff(Duration::from_secs(5))
        .soft_timeout(Duration::from_millis(150))
        .hard_timeout(Duration::from_secs(2))
        .build()
}

/// The peers, whose entries the schedule makes old.
#[cfg(feature = "peers")]
async fn peers() -> Vec<String> {
    let mut lines = Vec::new();
    let origin = Origin::new(Outage::Fails);
    let cache: moka::future::Cache<u64, u64> = moka::future::Cache::builder().max_capacity(10_000).build();
    let ask = |key, origin: Origin| {
        let cache = cache.clone();
        async move { if cache.try_get_with(key, origin.ask()).await.is_ok() { Saw::Fresh } else { Saw::Error } }
    };
    let age = |second: u64| {
        if second.is_multiple_of(TTL.as_secs()) {
            cache.invalidate_all();
        }
    };
    lines.push(tell(&origin, age, ask).await.line("moka try_get_with", &origin));

    let origin = Origin::new(Outage::Fails);
    let cache = Arc::new(quick_cache::sync::Cache::<u64, u64>::new(10_000));
    let ask = |key, origin: Origin| {
        let cache = Arc::clone(&cache);
        async move { if cache.get_or_insert_async(&key, origin.ask()).await.is_ok() { Saw::Fresh } else { Saw::Error } }
    };
    let age = |second: u64| {
        if second.is_multiple_of(TTL.as_secs()) {
            cache.clear();
        }
    };
    lines.push(tell(&origin, age, ask).await.line("quick_cache get_or_insert_async", &origin));
    lines
}

#[expect(clippy::print_stdout, reason = "an example tells on the terminal what it saw")]
#[tokio::main(flavor = "current_thread", start_paused = true)]
async fn main() -> Result<(), Box<dyn Error>> {
    println!("{STORY} virtual seconds, {CALLERS} callers each, {KEYS} keys, time to live {TTL:?}; down for 600 s\n");
    println!(
        "{:<42}{:>8}{:>8}{:>8}{:>9}{:>11}{:>12}",
        "", "fresh", "stale", "errors", "calls", "in outage", "p99 wait"
    );
    let (line, failing) = ours("bedplate, fail-safe", Outage::Fails, with_fail_safe()?).await;
    println!("{line}");
    let (line, hanging) = ours("bedplate, fail-safe, the origin hangs", Outage::Hangs, with_fail_safe()?).await;
    println!("{line}");
    let plain = Cache::builder("plain").ttl(TTL).build()?;
    println!("{}", ours("bedplate, a time to live alone", Outage::Fails, plain).await.0);
    #[cfg(feature = "peers")]
    for line in peers().await {
        println!("{line}");
    }
    if failing + hanging > 0 {
        return Err(format!("{failing} and {hanging} callers saw an error in spite of fail-safe").into());
    }
    Ok(())
}

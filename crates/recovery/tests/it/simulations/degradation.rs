//! G: a chain of three sources whose outages are correlated.

use std::io;
use std::time::Duration;

use bedplate_recovery::{CircuitBreaker, Failure, Fallback, Pipeline, Quality, Source};
use tokio::time::{Instant, sleep};

/// What the callers got.
#[derive(Debug, Clone, Copy)]
pub struct Got {
    /// The share of the calls that were answered.
    pub availability: f64,
    /// The mean quality of the answers, 0.0 to 1.0.
    pub quality: f64,
    /// Calls of a source that was down, per call.
    pub wasted: f64,
}

const CALLS: u32 = 20_000;

/// When a source is down: it fails and comes back at random, and half of the live source's outages take the replica along.
struct Weather {
    random: fastrand::Rng,
    live_until: Instant,
    live_down: bool,
    replica_until: Instant,
    replica_down: bool,
}

impl Weather {
    fn pass(&mut self) {
        let now = Instant::now();
        let mut draw = |mean: f64| Duration::from_secs_f64(-mean * (1.0 - self.random.f64()).ln());
        if now >= self.live_until {
            self.live_down = !self.live_down;
            let long = draw(if self.live_down { 10.0 } else { 60.0 });
            self.live_until = now + long;
            if self.live_down && self.random.bool() {
                self.replica_down = true;
                self.replica_until = now + long;
            }
        } else if now >= self.replica_until {
            self.replica_down = !self.replica_down;
            self.replica_until = now + draw(if self.replica_down { 5.0 } else { 300.0 });
        }
    }
}

/// Makes ten calls per second; `chain` is how many sources stand behind the live one.
pub async fn run(chain: u32, breakers: bool, seed: u64) -> Got {
    let now = Instant::now();
    let mut weather = Weather {
        random: fastrand::Rng::with_seed(seed),
        live_until: now + Duration::from_secs(30),
        live_down: false,
        replica_until: now + Duration::from_secs(100),
        replica_down: false,
    };
    let breaker = |name: &'static str| {
        let open = Duration::from_secs(2);
        CircuitBreaker::builder(name).consecutive_failures(3).open_for(open).open_growth(1.0, open).build().unwrap()
    };
    let (live_breaker, replica_breaker) = (breaker("live"), breaker("replica"));
    let guarded = Pipeline::builder("live").breaker(live_breaker).build().unwrap();
    let bare = Pipeline::builder("live").build().unwrap();
    let fallback = Fallback::new();
    let quality = |value| Quality::new(value).unwrap();
    let (mut answered, mut sum, mut wasted) = (0_u32, 0.0, 0_u32);
    for _ in 0..CALLS {
        sleep(Duration::from_millis(100)).await;
        weather.pass();
        let (live_down, replica_down) = (weather.live_down, weather.replica_down);
        let counts = std::sync::atomic::AtomicU32::new(0);
        let ask = |down: bool| {
            counts.fetch_add(u32::from(down), std::sync::atomic::Ordering::Relaxed);
            async move { if down { Err(io::Error::from(io::ErrorKind::ConnectionRefused)) } else { Ok(()) } }
        };
        let live =
            async { if breakers { guarded.run(|_| ask(live_down)).await } else { bare.run(|_| ask(live_down)).await } };
        let replica = Source::new("replica", quality(0.9));
        let replica = if breakers { replica.breaker(&replica_breaker) } else { replica };
        let replica = replica.when(|_| true);
        // A cache holds nine of ten answers.
        let cached = weather.random.f64() < 0.9;
        let chained = fallback
            .first("live", live)
            .then(replica, |_| async {
                if chain == 0 {
                    Err(Failure::from(io::Error::from(io::ErrorKind::NotFound)))
                } else {
                    ask(replica_down).await.map_err(Failure::from)
                }
            })
            .then_aged(Source::new("cache", quality(0.5)), |_| async {
                if chain > 1 && cached {
                    Ok(((), Duration::from_mins(1)))
                } else {
                    Err(io::Error::from(io::ErrorKind::NotFound))
                }
            });
        if let Ok(answer) = chained.run().await {
            answered += 1;
            sum += answer.quality.get();
        }
        wasted += counts.into_inner();
    }
    let calls = f64::from(CALLS);
    Got {
        availability: f64::from(answered) / calls,
        quality: sum / f64::from(answered.max(1)),
        wasted: f64::from(wasted) / calls,
    }
}

#[tokio::test(start_paused = true)]
async fn a_chain_answers_nearly_always_and_breakers_spare_the_sources_that_are_down() {
    let alone = run(0, true, 1).await;
    let replica = run(1, true, 1).await;
    let chain = run(2, true, 1).await;
    let without = run(2, false, 1).await;
    assert!(alone.availability < 0.95, "{alone:?}");
    assert!(replica.availability > alone.availability && chain.availability > 0.98, "{replica:?} {chain:?}");
    assert!(chain.quality > 0.9, "{chain:?}");
    assert!(chain.wasted < without.wasted / 4.0, "{chain:?} {without:?}");
}

//! Recovery by itself: retries for a flaky service, a breaker for a dead one, and a fall-back that says how good it is.

#![expect(clippy::print_stdout, reason = "an example shows what happens")]

use std::error::Error;
use std::future::ready;
use std::io;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use bedplate_recovery::{CircuitBreaker, Fallback, Pipeline, Quality, Retry, Source};
use tokio::time::sleep;

/// How the service fares, which source is to answer then, and how many questions.
const STORY: [(Service, &str, u32); 4] =
    [(Service::Well, "live", 2), (Service::Flaky, "live", 2), (Service::Down, "cached", 4), (Service::Well, "live", 3)];

#[derive(Clone, Copy, PartialEq)]
enum Service {
    Well,
    Flaky,
    Down,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let pause = Duration::from_millis(100);
    let breaker = CircuitBreaker::builder("search").consecutive_failures(6).open_for(pause).build()?;
    let pipeline = Pipeline::builder("search")
        .timeout(Duration::from_secs(1))
        .retry(Retry::exponential(Duration::from_millis(5)).max_attempts(3))
        .attempt_timeout(Duration::from_millis(200))
        .breaker(breaker.clone())
        .build()?;
    let fallback = Fallback::new().floor(Quality::new(0.5)?);
    let called = AtomicU32::new(0);

    println!("answer               source  quality  attempts  circuit");
    for (service, expected, questions) in STORY {
        for _ in 0..questions {
            let live = pipeline.answer("live", |_cx| search(service, &called));
            let cached = Source::new("cached", Quality::new(0.6)?);
            let old = |_why| ready(Ok::<_, io::Error>("yesterday's results"));
            let answer = fallback.after(live).then(cached, old).run().await?;
            let (value, source, quality) = (answer.value, &*answer.source, answer.quality.get());
            let (attempts, circuit) = (answer.attempts, breaker.state().as_str());
            println!("{value:<20} {source:<7} {quality:>7.2} {attempts:>9}  {circuit}");
            if source != expected {
                return Err(format!("{source} answered instead of {expected}").into());
            }
        }
        if service == Service::Down {
            sleep(pause * 2).await;
        }
    }

    let (calls, spared) = (called.into_inner(), pipeline.stats().refused);
    println!("\n11 questions, {calls} calls, {spared} spared by the breaker");
    // Two; two with a retry each; two with three attempts each and two refused; three.
    let right = (calls == 2 + 4 + 6 + 3 && spared == 2).then_some(());
    right.ok_or_else(|| "the service was not spared".into())
}

async fn search(service: Service, called: &AtomicU32) -> io::Result<&'static str> {
    let every_other = called.fetch_add(1, Ordering::Relaxed) % 2 == 1;
    sleep(Duration::from_millis(1)).await;
    match service {
        Service::Well => Ok("today's results"),
        Service::Flaky if every_other => Ok("today's results"),
        Service::Flaky | Service::Down => Err(io::ErrorKind::ConnectionReset.into()),
    }
}

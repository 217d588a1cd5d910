use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};

use crate::Fail;
use crate::gauge::{Gauge, reset, stamp, wait_for, waits};

/// How many jobs each measurement takes.
pub(crate) struct Scale {
    pub(crate) rounds: usize,
    one: usize,
    callers: usize,
    bulk: usize,
    idle: usize,
    limit: Duration,
}

impl Scale {
    pub(crate) const fn memory(smoke: bool) -> Self {
        let limit = Duration::from_mins(1);
        if smoke {
            return Self { rounds: 1, one: 500, callers: 640, bulk: 2_000, idle: 5, limit };
        }
        Self { rounds: 5, one: 20_000, callers: 64_000, bulk: 60_000, idle: 200, limit }
    }

    /// Fewer than 7,500 jobs wait at a time: from some 8,000 on the script with which the worker of `apalis-redis` 1.0
    /// begins fails (`too many results to unpack`), and the worker ends.
    pub(crate) const fn redis(smoke: bool) -> Self {
        let limit = Duration::from_mins(1);
        if smoke {
            return Self { rounds: 1, one: 50, callers: 128, bulk: 1_000, idle: 5, limit };
        }
        Self { rounds: 5, one: 1_000, callers: 3_200, bulk: 3_000, idle: 200, limit }
    }

    pub(crate) const fn disk(smoke: bool) -> Self {
        let limit = Duration::from_mins(1);
        if smoke {
            return Self { rounds: 1, one: 20, callers: 128, bulk: 1_000, idle: 5, limit };
        }
        Self { rounds: 3, one: 500, callers: 6_400, bulk: 20_000, idle: 200, limit }
    }

    /// Whether few jobs are taken, to see that all works.
    pub(crate) const fn is_smoke(&self) -> bool {
        self.rounds == 1
    }
}

/// Rates in jobs per second, times in microseconds.
#[derive(Debug, Clone, Default)]
pub(crate) struct Measured {
    one: f64,
    callers: f64,
    bulk: f64,
    execute: f64,
    /// Taken in by eight callers while the workers run, until the last has run.
    through: f64,
    idle_p50: f64,
    idle_p99: f64,
}

/// The measurements by name, and whether more is better.
const NAMES: [(&str, bool); 7] = [
    ("enqueue_one", true),
    ("enqueue_64", true),
    ("enqueue_bulk", true),
    ("execute", true),
    ("through", true),
    ("idle_p50_us", false),
    ("idle_p99_us", false),
];

impl Measured {
    pub(crate) const fn all(&self) -> [f64; 7] {
        [self.one, self.callers, self.bulk, self.execute, self.through, self.idle_p50, self.idle_p99]
    }

    /// What a program of its own measured, and printed in this order.
    pub(crate) const fn of([one, callers, bulk, execute, through, idle_p50, idle_p99]: [f64; 7]) -> Self {
        Self { one, callers, bulk, execute, through, idle_p50, idle_p99 }
    }
}

fn rate(count: usize, began: Instant) -> f64 {
    number(count) / began.elapsed().as_secs_f64().max(1e-9)
}

#[expect(clippy::cast_precision_loss, reason = "counts of a bench are far below 2^53")]
const fn number(count: usize) -> f64 {
    count as f64
}

pub(crate) async fn measure(subject: Box<dyn Gauge>, scale: &Scale) -> Result<Measured, Fail> {
    let subject: Arc<dyn Gauge> = subject.into();
    let unknown = f64::NAN;
    let mut found = Measured { through: unknown, idle_p50: unknown, idle_p99: unknown, ..Measured::default() };
    let began = Instant::now();
    for _ in 0..scale.one {
        subject.put(1, 0).await?;
    }
    found.one = rate(scale.one, began);
    let each = scale.callers / 64;
    let began = Instant::now();
    take_in(&subject, each, 64).await?;
    found.callers = rate(each * 64, began);
    let began = Instant::now();
    for _ in 0..scale.bulk / 1_000 {
        subject.put(1_000, 0).await?;
    }
    found.bulk = rate(scale.bulk / 1_000 * 1_000, began);
    let total = scale.one + each * 64 + scale.bulk / 1_000 * 1_000;
    reset();
    let began = Instant::now();
    subject.start().await?;
    let ran = wait_for(u64::try_from(total)?, scale.limit).await;
    // What did not come to its end within the limit counts as far as it came.
    found.execute = rate(usize::try_from(ran)?.min(total), began);
    if all_ran("a backlog", ran, total, scale) {
        reset();
        let each = scale.callers / 8;
        let began = Instant::now();
        take_in(&subject, each, 8).await?;
        let ran = wait_for(u64::try_from(each * 8)?, scale.limit).await;
        found.through = rate(usize::try_from(ran)?.min(each * 8), began);
        if all_ran("what came in meanwhile", ran, each * 8, scale) {
            (found.idle_p50, found.idle_p99) = idle(&*subject, scale).await?;
        }
    }
    subject.stop().await;
    Ok(found)
}

/// Says so where a peer got stuck; what comes after is not measured then.
fn all_ran(what: &str, ran: u64, of: usize, scale: &Scale) -> bool {
    let all = u64::try_from(of).is_ok_and(|of| ran >= of);
    if !all {
        eprintln!("{what}: only {ran} of {of} jobs ran within {:?}; the rest is not measured", scale.limit);
    }
    all
}

/// How long a job waits that is submitted now and then, p50 and p99 in microseconds.
async fn idle(subject: &dyn Gauge, scale: &Scale) -> Result<(f64, f64), Fail> {
    sleep(Duration::from_millis(300)).await;
    reset();
    for _ in 0..scale.idle {
        subject.put(1, stamp()).await?;
        sleep(Duration::from_millis(10)).await;
    }
    let ran = wait_for(u64::try_from(scale.idle)?, scale.limit).await;
    if !all_ran("an idle worker", ran, scale.idle, scale) {
        return Ok((f64::NAN, f64::NAN));
    }
    let waits = waits();
    let at = |per_cent: usize| {
        waits.get((waits.len() * per_cent / 100).min(waits.len().saturating_sub(1))).copied().unwrap_or(0)
    };
    Ok((micros(at(50)), micros(at(99))))
}

/// Lets so many callers take in `each` jobs, one by one.
async fn take_in(subject: &Arc<dyn Gauge>, each: usize, callers: usize) -> Result<(), Fail> {
    let mut all = JoinSet::new();
    for _ in 0..callers {
        let subject = Arc::clone(subject);
        all.spawn(async move {
            for _ in 0..each {
                subject.put(1, 0).await?;
            }
            Ok::<(), Fail>(())
        });
    }
    while let Some(done) = all.join_next().await {
        done??;
    }
    Ok(())
}

#[expect(clippy::cast_precision_loss, reason = "times of a bench are far below 2^53 ns")]
fn micros(nanos: u64) -> f64 {
    nanos as f64 / 1_000.0
}

/// Of the rounds in which it was measured.
fn median(mut values: Vec<f64>) -> f64 {
    values.retain(|value| !value.is_nan());
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}

/// Prints the table and the ratios of every subject of ours to every other one.
pub(crate) fn print(store: &str, names: &[&str], rounds: &[Vec<Measured>]) {
    println!("\ntasks/{store}, 20 workers, no-op jobs, medians of {} rounds", rounds.first().map_or(0, Vec::len));
    println!("{:<18}{}", "", NAMES.map(|(name, _)| format!("{name:>14}")).concat());
    let of = |subject: &[Measured], at: usize| {
        median(subject.iter().map(|one| one.all().get(at).copied().unwrap_or(f64::NAN)).collect())
    };
    for (name, subject) in names.iter().zip(rounds) {
        let cells: Vec<String> = (0..NAMES.len()).map(|at| format!("{:>14.0}", of(subject, at))).collect();
        println!("{name:<18}{}", cells.concat());
    }
    for (ours, ours_rounds) in names.iter().zip(rounds).filter(|(name, _)| name.starts_with("bedplate")) {
        for (peer, peer_rounds) in names.iter().zip(rounds).filter(|(name, _)| !name.starts_with("bedplate")) {
            for (at, (case, more)) in NAMES.iter().enumerate() {
                let (ours_value, peer_value) = (of(ours_rounds, at), of(peer_rounds, at));
                let ratio = if *more { ours_value / peer_value } else { peer_value / ours_value };
                if ratio.is_finite() {
                    println!("RATIO tasks/{store}_{case} ({ours}) vs {peer} {ratio:.2}");
                }
            }
        }
    }
}

//! `cargo bench -p bedplate-benches --bench tasks`: how fast jobs are taken in, run, and picked up by an idle worker, on
//! each store that is reachable, against the peers on the same store and the bare engine below.
//!
//! Arguments: `--smoke` (or `BEDPLATE_BENCH_SMOKE=1`, or cargo's `--test`) takes few jobs; a word runs only the stores
//! whose name contains it, and words after it only the subjects whose names contain one of them. Redis and Postgres are
//! those that `BEDPLATE_REDIS_URL` and `BEDPLATE_POSTGRES_URL` name.
//!
//! effectum is a program of its own (`benches/effectum`), which this one builds and starts.
//!
//! Rates are by wall time, since stores wait for disks and servers; each subject runs by itself on a store of its own,
//! the subjects of one store after another in turn, and the figure is the median of the rounds.
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a bench prints what it measured")]

mod apalis_peers;
mod channel;
mod effectum_peer;
mod gauge;
mod measure;
mod ours;
mod postgres_peers;
mod redis_peers;
mod taskito_peer;

use std::error::Error;
use std::future::ready;
use std::process::ExitCode;

use Kind::{Apart, Here};
use gauge::Gauge;
use measure::{Measured, Scale, measure, print};

type Fail = Box<dyn Error + Send + Sync>;

#[tokio::main]
async fn main() -> ExitCode {
    match run().await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("tasks: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn run() -> Result<(), Fail> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let smoke = args.iter().any(|arg| arg == "--smoke" || arg == "--test")
        || std::env::var_os("BEDPLATE_BENCH_SMOKE").is_some();
    let mut words = args.iter().filter(|arg| !arg.starts_with("--"));
    let only = words.next();
    let subjects_wanted: Vec<&str> = words.map(String::as_str).collect();
    let compare = |store, subjects: Vec<Subject>, scale: Scale| {
        let is_wanted =
            |name: &str| subjects_wanted.is_empty() || subjects_wanted.iter().any(|word| name.contains(word));
        compare(store, subjects.into_iter().filter(|(name, _)| is_wanted(name)).collect(), scale)
    };
    let wanted = |store: &str| only.is_none_or(|only| store.contains(only.as_str()));
    if wanted("memory") {
        let subjects: Vec<Subject> = vec![
            ("bedplate pool", Here(|| Box::pin(ready(ours::pool())))),
            ("bedplate jobs", Here(|| Box::pin(ready(ours::memory())))),
            ("channel", Here(|| Box::pin(ready(Ok(channel::channel()))))),
            ("apalis", Here(|| Box::pin(ready(Ok(apalis_peers::memory()))))),
        ];
        compare("memory", subjects, Scale::memory(smoke)).await?;
    }
    if wanted("sqlite") {
        let subjects: Vec<Subject> = vec![
            ("bedplate full", Here(|| Box::pin(ours::sqlite_full()))),
            ("bedplate normal", Here(|| Box::pin(ours::sqlite_normal()))),
            ("apalis", Here(|| Box::pin(apalis_peers::sqlite()))),
            ("taskito", Here(|| Box::pin(ready(taskito_peer::sqlite())))),
            ("effectum", Apart(effectum_peer::sqlite)),
        ];
        compare("sqlite", subjects, Scale::disk(smoke)).await?;
    }
    if wanted("redis") && redis_url().is_ok() {
        let subjects: Vec<Subject> = vec![
            ("bedplate", Here(|| Box::pin(ours::redis()))),
            ("bullmq", Here(|| Box::pin(redis_peers::bullmq()))),
            ("apalis", Here(|| Box::pin(redis_peers::apalis()))),
        ];
        compare("redis", subjects, Scale::redis(smoke)).await?;
    }
    if wanted("postgres") && postgres_url().is_ok() {
        let subjects: Vec<Subject> = vec![
            ("bedplate", Here(|| Box::pin(ours::postgres()))),
            ("graphile", Here(|| Box::pin(postgres_peers::graphile()))),
            ("graphile (20)", Here(|| Box::pin(postgres_peers::graphile_20()))),
            ("apalis", Here(|| Box::pin(postgres_peers::apalis()))),
        ];
        compare("postgres", subjects, Scale::disk(smoke)).await?;
    }
    Ok(())
}

/// Where PostgreSQL is, for those that are measured on it.
fn postgres_url() -> Result<String, Fail> {
    let url = std::env::var_os("BEDPLATE_POSTGRES_URL").and_then(|url| url.into_string().ok());
    url.ok_or_else(|| "BEDPLATE_POSTGRES_URL names no server".into())
}

/// A schema that nobody else uses.
fn schema(what: &str) -> String {
    format!("bench_{what}_{}_{}", std::process::id(), gauge::stamp())
}

/// Removes schemas; what is left on a server harms nobody.
fn drop_schemas(schemas: &[&str]) {
    let drop = format!("drop schema if exists {} cascade", schemas.join(", "));
    if let Ok(url) = postgres_url() {
        let _status = std::process::Command::new("psql").args([&url, "-qAtc", &drop]).output();
    }
}

/// Where Redis is, for those that are measured on it.
fn redis_url() -> Result<String, Fail> {
    let url = std::env::var_os("BEDPLATE_REDIS_URL").and_then(|url| url.into_string().ok());
    url.ok_or_else(|| "BEDPLATE_REDIS_URL names no server".into())
}

type Made = std::pin::Pin<Box<dyn Future<Output = Result<Box<dyn Gauge>, Fail>>>>;
type Subject = (&'static str, Kind);

enum Kind {
    /// Measured in this program.
    Here(fn() -> Made),
    /// Measured by another one, since they could not be linked into one; told whether few jobs are enough.
    Apart(fn(bool) -> Result<Measured, Fail>),
}

/// Measures each subject in turn, some rounds, and compares ours with the others.
async fn compare(store: &'static str, subjects: Vec<Subject>, scale: Scale) -> Result<(), Fail> {
    let mut rounds: Vec<Vec<Measured>> = vec![Vec::new(); subjects.len()];
    for _ in 0..scale.rounds {
        for ((name, kind), found) in subjects.iter().zip(&mut rounds) {
            let measured = match kind {
                Here(make) => measure(make().await?, &scale).await,
                Apart(run) => run(scale.is_smoke()),
            };
            match measured {
                Ok(measured) => found.push(measured),
                Err(error) => eprintln!("tasks/{store}: {name} failed: {error}"),
            }
        }
    }
    let names: Vec<&str> = subjects.iter().map(|(name, _)| *name).collect();
    print(store, &names, &rounds);
    Ok(())
}

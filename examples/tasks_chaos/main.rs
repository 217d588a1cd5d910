//! Kills, stops and cuts off what works on jobs, and counts what was lost or done twice.
//!
//! `cargo run --release --example tasks_chaos -- --store sqlite|redis|postgres [--case c1,c2,…] [--jobs N] [--seconds S]`
//!
//! Workers, producers and schedulers are processes of their own. Each attempt writes its start and its end to one file,
//! so that what really happened can be compared with what the store says. Redis and Postgres are those that
//! `BEDPLATE_REDIS_URL` and `BEDPLATE_POSTGRES_URL` name. A target that is missed ends the program with status 1.
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "an example shows what happens")]

mod cases;
mod child;
mod diary;
mod job;
mod options;
mod process;
mod report;
mod server;
mod store;

use std::error::Error;
use std::process::ExitCode;

use options::{Options, Role};

type Fail = Box<dyn Error + Send + Sync>;

#[tokio::main]
async fn main() -> ExitCode {
    match run().await {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("tasks_chaos: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Returns whether every target was met.
async fn run() -> Result<bool, Fail> {
    match Options::read(std::env::args().skip(1))? {
        Role::Child(child) => child::run(child).await.map(|()| true),
        Role::Parent(options) => parent(options).await,
    }
}

async fn parent(options: Options) -> Result<bool, Fail> {
    let mut met = true;
    for case in options.cases() {
        let report = cases::run(case, &options).await?;
        println!("{report}");
        for miss in report.misses() {
            println!("  missed: {miss}");
            met = false;
        }
    }
    Ok(met)
}

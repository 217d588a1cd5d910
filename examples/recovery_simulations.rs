//! Experiments with the policies of `bedplate-recovery`, in virtual time: what each does to a service in trouble.
//!
//! `cargo run --release --example recovery_simulations`
//!
//! The same code runs in the crate's tests, where the figures have thresholds.
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::print_stdout,
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "an example prints, and computes with small numbers"
)]

#[path = "../crates/recovery/tests/it/simulations/mod.rs"]
#[expect(unreachable_pub, reason = "the tests' own module")]
mod simulations;

use std::time::Duration;

use simulations::{brown_out, capacity, degradation, hedging, overload, priorities, retry_storm};

const SEEDS: u64 = 200;

fn main() -> std::io::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build()?;
    storm();
    overloaded();
    halved();
    runtime.block_on(async {
        let hedged = hedging::run(2_000, 1).await;
        println!(
            "\nD  A request that needs a hundred callees, one call of two hundred slow; hedged at the 95th percentile"
        );
        println!("   p99 without {:>8}   with {:>8}", ms(hedged.p99[0]), ms(hedged.p99[1]));
        println!(
            "   extra load {:.1} %; while all are ten times as slow {:.1} % (budget {:.0} % of what is in flight)",
            100.0 * hedged.extra_load,
            100.0 * hedged.extra_load_in_slowdown,
            100.0 * hedging::BUDGET
        );
        println!("\nE  Two priorities at twice the capacity, four of ten calls critical; learnt limit, 60 may wait");
        for seed in 0..3 {
            let (critical, sheddable) = priorities::run(60, seed).await;
            println!("   seed {seed}: critical served {:.2} %, sheddable {:.1} %", 100.0 * critical, 100.0 * sheddable);
        }
        println!("\nF  A brown-out: three of ten attempts fail for a minute");
        println!("   {:<28}{:>10}{:>18}", "", "success", "attempts per call");
        for (name, seen) in brown_out::table(1).await {
            println!("   {name:<28}{:>8.1} %{:>18.2}", 100.0 * seen.success, seen.load);
        }
        println!("\nG  Sources whose outages are correlated: live (down 14 % of the time), replica, cache");
        println!("   {:<28}{:>12}{:>14}{:>22}", "", "available", "mean quality", "wasted calls per call");
        for (name, chain, breakers) in [
            ("live alone", 0, true),
            ("live, replica", 1, true),
            ("live, replica, cache", 2, true),
            ("the same without breakers", 2, false),
        ] {
            let got = degradation::run(chain, breakers, 1).await;
            println!("   {name:<28}{:>10.2} %{:>14.3}{:>22.3}", 100.0 * got.availability, got.quality, got.wasted);
        }
    });
    Ok(())
}

fn storm() {
    println!("A  A retry storm: an outage of 10 s at 93 % load, {SEEDS} seeds, 120 s after the outage");
    println!("   {:<36}{:>10}{:>14}{:>14}{:>13}", "", "back", "median s", "goodput 5-10s", "load factor");
    for row in retry_storm::ROWS {
        let runs: Vec<_> = (0..SEEDS).map(|seed| retry_storm::run(row, seed, 160)).collect();
        let mut back: Vec<u32> = runs.iter().filter_map(|run| run.back_after).collect();
        back.sort_unstable();
        let median = back.get(back.len() / 2).map_or_else(|| "never".to_owned(), u32::to_string);
        let mean = |of: fn(&retry_storm::Outcomes) -> f64| runs.iter().map(of).sum::<f64>() / SEEDS as f64;
        println!(
            "   {:<36}{:>6}/{SEEDS}{median:>10}{:>13.1} %{:>12.1} %{:>13.2}",
            row.name,
            back.len(),
            100.0 * mean(|run| run.goodput_after),
            100.0 * mean(|run| run.goodput_at_end),
            mean(|run| run.load_factor)
        );
    }
}

fn overloaded() {
    let unloaded = overload::run(overload::Admission::Everything, 0.5, 1).p99;
    println!("\nB  Twice the load that thirty workers can serve, for a minute (p99 unloaded: {})", ms(unloaded));
    println!("   {:<28}{:>22}{:>12}", "", "goodput of capacity", "p99");
    for (name, admission) in overload::rows() {
        let served = overload::run(admission, 2.0, 1);
        println!("   {name:<28}{:>20.1} %{:>12}", 100.0 * served.goodput, ms(served.p99));
    }
}

fn halved() {
    println!(
        "\nC  A capacity of 100 halves for 20 s and returns; the limit in its last seconds, and after ten minutes"
    );
    println!("   {:<28}{:>8}{:>8}{:>8}{:>10}{:>22}", "", "100", "50", "100", "10 min", "settled after RTT");
    for (name, rule) in capacity::rules() {
        let followed = capacity::follow(rule, 100, 1);
        let [full, half, again, late] = followed.limits;
        let settled = followed.settled.map(|trips| trips.map_or_else(|| "never".to_owned(), |trips| trips.to_string()));
        println!("   {name:<28}{full:>8.1}{half:>8.1}{again:>8.1}{late:>10.1}{:>22}", settled.join(", "));
    }
}

fn ms(duration: Duration) -> String {
    format!("{} ms", duration.as_millis())
}

//! `bedplate-recovery` against `tower`, `tower-resilience`, `seatbelt`, `backon`, `failsafe`, `recloser`, `governor`, and
//! against hand-written code where that is what people write.
//!
//! What makes it fair: every subject calls the same operation with the same argument, and each
//! result is compared with what it has to be, inside of the measured loop. All are built once and
//! reused: ours as one shared pipeline, services of `tower` as one clone per thread and sample behind `ready().call()`
//! (no clone per call, no `Buffer`), `backon` from a builder that is copied. All judge errors by the
//! same predicate. Where a retry is made it waits for nothing (`backon` gets a sleeper that is ready, since tokio's
//! shortest sleep takes up to a millisecond; `tower` a policy that returns `ready(())`), so that
//! what is measured is the machinery and not the timer. `backon` knows no time limits: it stands
//! inside `tokio::time::timeout`, as its users write it.
//!
//! Where the work is not the same, to whose cost: ours counts its calls by outcome, keeps the error
//! typed along with the number of attempts, and offers its events to `tracing`, which nobody
//! listens to here; `tower`, `backon` and `seatbelt` (its telemetry is off) do none of that. `tower`'s time limit boxes the errors that go through
//! it. `seatbelt` has no bulkhead: its stack is one policy short. `tower-resilience`'s breaker stands over a window of
//! calls in the stacks, since the cost of its window of time grows with the calls in it (see `breaker_window_*`), while
//! ours and `seatbelt`'s stand over ten seconds. `failsafe` and `recloser` know neither slow calls nor permits in
//! half-open. A call that is ready at once needs no timer: ours makes none then, `tower`'s and `tower-resilience`'s do;
//! in the cases named `pending` each attempt waits once, so that everyone's timers are set.
//!
//! With two threads, the processor time of an operation says what they take from one another, and the `scaling` cases
//! say by wall time how much more two threads get done than one (2.00 is perfect; it takes two idle processors).

#![expect(clippy::expect_used, reason = "a bench that cannot go on has no figures to give")]

mod breakers;
mod peers;
mod policies;
mod single;
mod stacks;
mod work;

use std::time::Duration;

use bedplate_benches::{Settings, Suite};

fn main() -> std::io::Result<()> {
    let mut suite = Suite::new("recovery", Settings::from_process());
    single::run(&mut suite);
    breakers::run(&mut suite);
    policies::run(&mut suite);
    stacks::run(&mut suite);
    suite.finish()
}

const OURS: &str = "bedplate-recovery";
const RETRIES: usize = 2;
const PLACES: u32 = 10;
const TOTAL: Duration = Duration::from_secs(30);
const ATTEMPT: Duration = Duration::from_secs(10);
/// Longer than any bench runs.
const LONG: Duration = Duration::from_hours(24);

//! The paired harness: ours and the peers on the same work, in one process, sample by sample in
//! turn.
//!
//! A machine that others share drifts: frequency, neighbors, caches. Two benches that run one after
//! the other measure the drift along with the code. Here each round takes one sample of every
//! subject, in a balanced order, and the figure is the **median of the per-round ratios**:
//! what slows a round down slows both sides of its ratio. Time is the processor time of the
//! measuring threads, so that preemption does not count; where a platform has none to offer, wall
//! time stands in and the table says so. Allocations are counted by the global allocator of this
//! crate.
//!
//! A target is a `main` that builds one [`Suite`]:
//!
//! ```
//! use bedplate_benches::{Settings, Suite};
//!
//! let mut suite = Suite::new("sums", Settings::smoke());
//! suite
//!     .case("small")
//!     .ours("fold", |work| { std::hint::black_box((0..work.iterations).fold(0, |a, b| a ^ b)); })
//!     .peer("loop", |work| { let mut x = 0; for n in 0..work.iterations { x ^= std::hint::black_box(n); } std::hint::black_box(x); })
//!     .run();
//! let report = suite.report();
//! assert!(report.ratio_lines()[0].starts_with("RATIO sums/small vs loop "));
//! ```
//!
//! Arguments: `--smoke` (or `BEDPLATE_BENCH_SMOKE=1`, or cargo's `--test`) takes few short samples;
//! a word runs only the cases whose name contains it. Everything else that cargo passes is
//! accepted.

mod allocations;
mod report;
mod sample;
mod settings;
mod statistics;
mod suite;
mod time;

pub use allocations::{Allocations, Counting, live_bytes};
pub use report::{CaseReport, Comparison, Report, SubjectReport};
pub use settings::Settings;
pub use statistics::Spread;
pub use suite::{Build, Case, Suite, Work};

/// Counts for every bench target that links this library.
#[global_allocator]
static ALLOCATOR: Counting = Counting;

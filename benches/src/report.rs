//! What was measured: a table and `RATIO` lines to read, JSON to keep.

use std::fmt::Write as _;
use std::io::Write as _;
use std::path::PathBuf;

use serde::Serialize;

use crate::sample::{Cost, Sample};
use crate::statistics::Spread;

/// All cases of one suite.
#[derive(Debug, Clone, Serialize)]
#[non_exhaustive]
pub struct Report {
    /// The suite's name.
    pub bench: &'static str,
    /// Whether this was a smoke run, whose figures mean nothing.
    pub smoke: bool,
    /// What "cpu" stands for on this platform.
    pub cpu_clock: &'static str,
    /// The cases in the order in which they ran.
    pub cases: Vec<CaseReport>,
}

/// One case.
#[derive(Debug, Clone, Serialize)]
#[non_exhaustive]
pub struct CaseReport {
    /// The case's name.
    pub case: &'static str,
    /// What the cost is counted in; less is better.
    pub unit: &'static str,
    /// Ours first, then the peers.
    pub subjects: Vec<SubjectReport>,
    /// Ours against each peer.
    pub comparisons: Vec<Comparison>,
    #[serde(skip)]
    suite: &'static str,
}

/// What one subject's samples say.
#[derive(Debug, Clone, Serialize)]
#[non_exhaustive]
pub struct SubjectReport {
    /// The subject's name.
    pub subject: &'static str,
    /// The cost of one operation, by processor time (of the whole process, or by wall time, in a case that says so).
    pub cost: Spread,
    /// The wall time of one operation in nanoseconds; with several threads, of all of them
    /// together.
    pub wall: Option<Spread>,
    /// Allocations per operation.
    pub allocations: Option<f64>,
    /// Bytes allocated per operation.
    pub allocated_bytes: Option<f64>,
    #[serde(skip)]
    costs: Vec<f64>,
}

/// Ours against one peer: above one, ours is the cheaper.
#[derive(Debug, Clone, Serialize)]
#[non_exhaustive]
pub struct Comparison {
    /// The peer's name.
    pub peer: &'static str,
    /// The peer's cost through ours, round by round.
    pub ratio: Spread,
}

impl SubjectReport {
    #[expect(clippy::cast_precision_loss, reason = "counts of one sample are far below 2^52")]
    pub(crate) fn timed(
        subject: &'static str,
        iterations: u64,
        threads: usize,
        cost: Cost,
        samples: &[Sample],
    ) -> Self {
        let operations = iterations as f64 * threads as f64;
        let spent = |sample: &Sample| match cost {
            Cost::Processor => sample.cpu,
            Cost::Process => sample.process,
            Cost::Wall => sample.wall,
        };
        let costs: Vec<f64> = samples.iter().map(|sample| spent(sample).as_secs_f64() * 1e9 / operations).collect();
        Self {
            subject,
            cost: Spread::of(costs.iter().copied()),
            wall: Some(Spread::of(samples.iter().map(|sample| sample.wall.as_secs_f64() * 1e9 / operations))),
            allocations: Some(
                Spread::of(samples.iter().map(|sample| sample.allocations.count as f64 / operations)).median,
            ),
            allocated_bytes: Some(
                Spread::of(samples.iter().map(|sample| sample.allocations.bytes as f64 / operations)).median,
            ),
            costs,
        }
    }

    pub(crate) fn figure(subject: &'static str, cost: f64) -> Self {
        Self {
            subject,
            cost: Spread::of([cost]),
            wall: None,
            allocations: None,
            allocated_bytes: None,
            costs: vec![cost],
        }
    }
}

impl CaseReport {
    pub(crate) fn new(
        suite: &'static str,
        case: &'static str,
        unit: &'static str,
        subjects: Vec<SubjectReport>,
    ) -> Self {
        let comparisons = match subjects.split_first() {
            Some((ours, peers)) => peers.iter().map(|peer| Comparison::new(ours, peer)).collect(),
            None => Vec::new(),
        };
        Self { case, unit, subjects, comparisons, suite }
    }
}

impl Comparison {
    fn new(ours: &SubjectReport, peer: &SubjectReport) -> Self {
        Self {
            peer: peer.subject,
            ratio: Spread::of(ours.costs.iter().zip(&peer.costs).map(|(ours, peer)| peer / ours)),
        }
    }
}

impl Report {
    pub(crate) fn new(bench: &'static str, smoke: bool, cases: Vec<CaseReport>) -> Self {
        let cpu_clock = if crate::time::thread_time().is_some() { "thread" } else { "wall (no thread clock)" };
        Self { bench, smoke, cpu_clock, cases }
    }

    /// Returns one line per comparison, in the form `RATIO <bench>/<case> vs <peer> <ours/peer>`:
    /// higher is better for us.
    pub fn ratio_lines(&self) -> Vec<String> {
        let lines = self.cases.iter().flat_map(|case| {
            case.comparisons
                .iter()
                .map(|one| format!("RATIO {}/{} vs {} {:.2}", case.suite, case.case, one.peer, one.ratio.median))
        });
        lines.collect()
    }

    /// Returns the table.
    pub fn table(&self) -> String {
        let mut text = String::new();
        // Writing to a string cannot fail.
        let mut row = |cells: [&str; 8]| {
            let [case, subject, unit, cost, spread, wall, allocations, ratio] = cells;
            writeln!(
                text,
                "{case:<22} {subject:<18} {unit:<8} {cost:>9} {spread:>17} {wall:>9} {allocations:>14} {ratio:>22}"
            )
            .is_ok()
        };
        row(["case", "subject", "unit", "cpu", "p10..p90", "wall", "allocs (B)/op", "ours/peer (p10..p90)"]);
        for case in &self.cases {
            for (at, subject) in case.subjects.iter().enumerate() {
                let against = at.checked_sub(1).and_then(|at| case.comparisons.get(at));
                row([
                    if at == 0 { case.case } else { "" },
                    subject.subject,
                    case.unit,
                    &format!("{:.1}", subject.cost.median),
                    &format!("{:.1}..{:.1}", subject.cost.low, subject.cost.high),
                    &subject.wall.map_or_else(String::new, |wall| format!("{:.1}", wall.median)),
                    &subject
                        .allocations
                        .zip(subject.allocated_bytes)
                        .map_or_else(String::new, |(count, bytes)| format!("{count:.2} ({bytes:.0})")),
                    &against.map_or_else(String::new, |one| {
                        format!("{:.2} ({:.2}..{:.2})", one.ratio.median, one.ratio.low, one.ratio.high)
                    }),
                ]);
            }
        }
        text
    }

    /// Prints table and lines, and writes `bedplate-bench/<name>.json` in the target directory (a
    /// smoke run: `<name>.smoke.json`).
    pub(crate) fn publish(&self) -> std::io::Result<()> {
        let mut out = std::io::stdout().lock();
        writeln!(
            out,
            "{}{}, cpu = {} time\n",
            if self.smoke { "SMOKE RUN, the figures mean nothing. " } else { "" },
            self.bench,
            self.cpu_clock
        )?;
        writeln!(out, "{}", self.table())?;
        for line in self.ratio_lines() {
            writeln!(out, "{line}")?;
        }
        let directory = target_directory()?.join("bedplate-bench");
        std::fs::create_dir_all(&directory)?;
        let file = directory.join(format!("{}{}.json", self.bench, if self.smoke { ".smoke" } else { "" }));
        std::fs::write(&file, serde_json::to_vec_pretty(self)?)?;
        writeln!(out, "\nwritten to {}", file.display())
    }
}

/// Finds the target directory from where cargo put this program:
/// `<target>/<profile>/deps/<program>`.
fn target_directory() -> std::io::Result<PathBuf> {
    let program = std::env::current_exe()?;
    program
        .ancestors()
        .nth(3)
        .map(PathBuf::from)
        .ok_or_else(|| std::io::Error::other("the program does not lie in a target directory"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn subject(name: &'static str, costs: &[f64]) -> SubjectReport {
        SubjectReport { costs: costs.to_vec(), ..SubjectReport::figure(name, Spread::of(costs.iter().copied()).median) }
    }

    #[test]
    fn ratios_are_taken_round_by_round_and_higher_is_better_for_us() {
        // The machine slows down fivefold half-way; in each round the peer takes twice as long.
        let case = CaseReport::new(
            "b",
            "c",
            "ns/op",
            vec![subject("us", &[1.0, 1.0, 5.0, 5.0]), subject("them", &[2.0, 2.0, 10.0, 10.0])],
        );
        let report = Report::new("b", false, vec![case]);
        assert_eq!(report.ratio_lines(), ["RATIO b/c vs them 2.00"]);
        assert!(report.table().contains("2.00 (2.00..2.00)"), "{}", report.table());
    }
}

//! Cases, their subjects and the rounds in which these take turns.

use std::fmt;
use std::time::Duration;

use crate::allocations::live_bytes;
use crate::report::{CaseReport, Report, SubjectReport};
use crate::sample::{Cost, Sample, take};
use crate::settings::Settings;

/// One bench target.
#[derive(Debug)]
pub struct Suite {
    name: &'static str,
    settings: Settings,
    cases: Vec<CaseReport>,
}

impl Suite {
    /// Starts a suite; its name is the first part of each `RATIO` line and the name of the JSON
    /// file.
    pub const fn new(name: &'static str, settings: Settings) -> Self {
        Self { name, settings, cases: Vec::new() }
    }

    /// Starts a case with one thread.
    pub fn case<'a>(&mut self, name: &'static str) -> Case<'_, 'a> {
        Case { suite: self, name, threads: 1, iterations: None, cost: Cost::Processor, subjects: Vec::new() }
    }

    /// Tells whether a case of this name is to run, so that nothing is prepared in vain.
    pub fn wants(&self, case: &str) -> bool {
        self.settings.selects(case)
    }

    /// Tells whether this is a smoke run.
    pub const fn is_smoke(&self) -> bool {
        self.settings.is_smoke()
    }

    /// Returns what was measured so far.
    pub fn report(&self) -> Report {
        Report::new(self.name, self.settings.is_smoke(), self.cases.clone())
    }

    /// Prints the table and the `RATIO` lines, and writes the JSON file.
    ///
    /// # Errors
    ///
    /// Returns the error of writing the file.
    pub fn finish(self) -> std::io::Result<()> {
        self.report().publish()
    }
}

/// One kind of work, and who does it.
#[must_use = "a case is measured by `run`"]
pub struct Case<'s, 'a> {
    suite: &'s mut Suite,
    name: &'static str,
    threads: usize,
    iterations: Option<u64>,
    cost: Cost,
    subjects: Vec<Subject<'a>>,
}

impl<'a> Case<'_, 'a> {
    /// Lets this many threads do the work at once.
    pub const fn threads(mut self, threads: usize) -> Self {
        self.threads = threads;
        self
    }

    /// Makes each thread do the work this often in a sample, instead of as often as a sample takes of time.
    pub const fn iterations(mut self, iterations: u64) -> Self {
        self.iterations = Some(iterations);
        self
    }

    /// Compares the processor time of the whole process, for subjects that let other threads work; each sample is to end
    /// only when these are done.
    pub const fn by_process_time(mut self) -> Self {
        self.cost = Cost::Process;
        self
    }

    /// Compares the wall time instead of the processor time: what several threads get done together.
    pub const fn by_wall_time(mut self) -> Self {
        self.cost = Cost::Wall;
        self
    }

    /// Adds our side: a closure that does the work `work.iterations` times.
    pub fn ours(mut self, name: &'static str, run: impl Fn(Work) + Sync + 'a) -> Self {
        // First, whatever the order of the calls: the ratios are taken against it.
        self.subjects.insert(0, Subject::new(name, run));
        self
    }

    /// Adds a peer, which is to do the same work.
    pub fn peer(mut self, name: &'static str, run: impl Fn(Work) + Sync + 'a) -> Self {
        self.subjects.push(Subject::new(name, run));
        self
    }

    /// Adds a peer that does its work on one thread, however many the others have.
    pub fn alone(mut self, name: &'static str, run: impl Fn(Work) + Sync + 'a) -> Self {
        self.subjects.push(Subject { threads: Some(1), ..Subject::new(name, run) });
        self
    }

    /// Lets the subject `name` prepare something before each sample; that is not measured.
    pub fn before(mut self, name: &'static str, prepare: impl Fn() + 'a) -> Self {
        if let Some(subject) = self.subjects.iter_mut().find(|subject| subject.name == name) {
            subject.prepare = Some(Box::new(prepare));
        }
        self
    }

    /// Measures, unless the settings leave this case out.
    pub fn run(self) {
        let Self { suite, name, threads, iterations, cost, subjects } = self;
        let Some(ours) = subjects.first() else { return };
        if !suite.settings.selects(name) {
            return;
        }
        let iterations = iterations.unwrap_or_else(|| calibrate(ours, threads, suite.settings.sample));
        for subject in &subjects {
            // Caches warm and lazy parts built, for everyone alike.
            take(subject, threads, iterations, 0);
        }
        let mut samples: Vec<Vec<Sample>> = vec![Vec::new(); subjects.len()];
        for round in 0..suite.settings.rounds {
            for at in turns(subjects.len(), round) {
                if let (Some(subject), Some(taken)) = (subjects.get(at), samples.get_mut(at)) {
                    taken.push(take(subject, threads, iterations, u64::try_from(round).unwrap_or(0) + 1));
                }
            }
        }
        let measured = subjects.iter().zip(samples);
        let subjects = measured
            .map(|(subject, samples)| {
                SubjectReport::timed(subject.name, iterations, subject.threads.unwrap_or(threads), cost, &samples)
            })
            .collect();
        suite.cases.push(CaseReport::new(suite.name, name, "ns/op", subjects));
    }

    /// Compares the memory that the subjects hold on to: each closure is run once, on one thread,
    /// and is to leave `items` items in what it returns.
    pub fn memory(mut self, items: u64, build: Vec<(&'static str, Build<'a>)>) {
        self.subjects.clear();
        if !self.suite.settings.selects(self.name) {
            return;
        }
        let subjects = build
            .into_iter()
            .map(|(name, build)| {
                let before = live_bytes();
                let built = build();
                #[expect(clippy::cast_precision_loss, reason = "no bench holds 2^52 bytes")]
                let per_item = (live_bytes() - before) as f64 / items as f64;
                drop(built);
                SubjectReport::figure(name, per_item)
            })
            .collect();
        self.suite.cases.push(CaseReport::new(self.suite.name, self.name, "B/entry", subjects));
    }
}

impl fmt::Debug for Case<'_, '_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Case").field("name", &self.name).field("threads", &self.threads).finish_non_exhaustive()
    }
}

/// The work of one sample on one thread, the same for every subject of a round.
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub struct Work {
    /// Which of the threads this is, from 0.
    pub thread: usize,
    /// How often to do the work.
    pub iterations: u64,
    /// Which round this is; 0 is the warm-up.
    pub round: u64,
}

/// Builds what a memory case weighs.
pub type Build<'a> = Box<dyn Fn() -> Box<dyn std::any::Any> + 'a>;

pub(crate) struct Subject<'a> {
    pub(crate) name: &'static str,
    /// How many threads do the work, if not as many as the case says.
    pub(crate) threads: Option<usize>,
    pub(crate) prepare: Option<Box<dyn Fn() + 'a>>,
    pub(crate) run: Box<dyn Fn(Work) + Sync + 'a>,
}

impl<'a> Subject<'a> {
    fn new(name: &'static str, run: impl Fn(Work) + Sync + 'a) -> Self {
        Self { name, threads: None, prepare: None, run: Box::new(run) }
    }
}

/// Finds how many iterations of ours take about as long as a sample is to take; the peers do as
/// many.
fn calibrate(ours: &Subject<'_>, threads: usize, sample: Duration) -> u64 {
    let mut iterations = 16;
    loop {
        let took = take(ours, threads, iterations, 0).wall;
        if took >= sample || iterations >= MAX_ITERATIONS {
            return iterations;
        }
        // Towards the goal in a few steps, since short runs are slower per iteration than long
        // ones.
        let factor = sample.as_nanos() / took.as_nanos().max(1);
        iterations = iterations.saturating_mul(u64::try_from(factor.clamp(2, 10)).unwrap_or(2)).min(MAX_ITERATIONS);
    }
}

/// In what order so many subjects take their turns in a round: over as many rounds as there are subjects (twice as many
/// of an odd number) each is the first as often as any other, and follows each other one within a round as often, so that what
/// one leaves in the caches of the processor helps or harms nobody in particular. After Williams, "Experimental Designs Balanced for the Estimation of Residual
/// Effects of Treatments" (1949); an odd number needs the mirrored orders as well.
fn turns(subjects: usize, round: usize) -> Vec<usize> {
    let zigzag = (0..subjects).map(|turn| if turn % 2 == 0 { turn / 2 } else { subjects - turn.div_ceil(2) });
    let mut turns: Vec<usize> = zigzag.map(|at| (at + round) % subjects).collect();
    if subjects % 2 == 1 && (round / subjects) % 2 == 1 {
        turns.reverse();
    }
    turns
}

const MAX_ITERATIONS: u64 = 1 << 24;

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::*;

    #[test]
    fn turns_are_balanced() {
        for subjects in 2..=7 {
            let cycle = if subjects % 2 == 0 { subjects } else { 2 * subjects };
            let (mut first, mut after) = (HashMap::new(), HashMap::new());
            for round in 0..cycle {
                let turns = turns(subjects, round);
                let mut sorted = turns.clone();
                sorted.sort_unstable();
                assert!(sorted.into_iter().eq(0..subjects), "each takes one turn in a round: {turns:?}");
                *first.entry(turns[0]).or_insert(0) += 1;
                turns.windows(2).for_each(|pair| *after.entry((pair[0], pair[1])).or_insert(0) += 1);
            }
            let each = cycle / subjects;
            assert!(first.len() == subjects && first.values().all(|count| *count == each), "{first:?}");
            assert!(
                after.len() == subjects * (subjects - 1) && after.values().all(|count| *count == each),
                "{after:?}"
            );
        }
    }
}

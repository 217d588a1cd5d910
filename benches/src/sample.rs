//! One sample of one subject.

use std::sync::Barrier;
use std::time::Duration;

use crate::allocations::Allocations;
use crate::suite::{Subject, Work};
use crate::time::{process_time, thread_time, wall_time};

/// What one sample cost, over all its threads.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Sample {
    /// The processor time of all threads together, or wall time where the platform knows no other.
    pub(crate) cpu: Duration,
    /// The processor time of the whole process meanwhile, with threads that work behind the subject.
    pub(crate) process: Duration,
    /// From the first to the last.
    pub(crate) wall: Duration,
    pub(crate) allocations: Allocations,
}

/// Which of a sample's times is the cost that is compared.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Cost {
    Processor,
    Process,
    Wall,
}

/// Takes a sample: each thread does the same number of iterations.
pub(crate) fn take(subject: &Subject<'_>, threads: usize, iterations: u64, round: u64) -> Sample {
    if let Some(prepare) = &subject.prepare {
        prepare();
    }
    let threads = subject.threads.unwrap_or(threads);
    let run = subject.run.as_ref();
    if threads <= 1 {
        return measure(run, Work { thread: 0, iterations, round });
    }
    let start = Barrier::new(threads);
    let parts: Vec<Sample> = std::thread::scope(|scope| {
        let workers: Vec<_> = (0..threads)
            .map(|thread| {
                let start = &start;
                scope.spawn(move || {
                    start.wait();
                    measure(run, Work { thread, iterations, round })
                })
            })
            .collect();
        #[expect(clippy::expect_used, reason = "a bench whose subject panics has no result to give")]
        workers.into_iter().map(|worker| worker.join().expect("a subject panicked")).collect()
    });
    parts.into_iter().fold(Sample::default(), |sum, part| Sample {
        cpu: sum.cpu + part.cpu,
        process: sum.process.max(part.process),
        wall: sum.wall.max(part.wall),
        allocations: sum.allocations + part.allocations,
    })
}

fn measure(run: &(dyn Fn(Work) + Sync), work: Work) -> Sample {
    let process = process_time();
    let (allocated, started, spent) = (Allocations::of_thread(), wall_time(), thread_time());
    run(work);
    let (spent_after, wall) = (thread_time(), started.elapsed());
    let cpu = spent.zip(spent_after).map_or(wall, |(before, after)| after.saturating_sub(before));
    let process = process.zip(process_time()).map_or(wall, |(before, after)| after.saturating_sub(before));
    Sample { cpu, process, wall, allocations: Allocations::of_thread() - allocated }
}

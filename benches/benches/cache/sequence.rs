//! In what order keys are asked for.

use std::collections::HashSet;

use bedplate_benches::Work;

/// Goes round a sequence, from another place in each round and thread.
#[inline]
pub(crate) fn walk<T>(sequence: &[T], work: Work, mut visit: impl FnMut(&T)) {
    let mut at = start(sequence.len(), work);
    for _ in 0..work.iterations {
        visit(&sequence[at]);
        at += 1;
        if at == sequence.len() {
            at = 0;
        }
    }
}

#[inline]
pub(crate) async fn walk_async<T>(sequence: &[T], work: Work, mut visit: impl AsyncFnMut(&T)) {
    let mut at = start(sequence.len(), work);
    for _ in 0..work.iterations {
        visit(&sequence[at]).await;
        at += 1;
        if at == sequence.len() {
            at = 0;
        }
    }
}

fn start(length: usize, work: Work) -> usize {
    let round = usize::try_from(work.round).expect("a small number");
    (round * 7919 + work.thread * (length / 2)) % length
}

pub(crate) fn block_on(future: impl Future<Output = ()>) {
    thread_local! {
        static RUNTIME: tokio::runtime::Runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
    }
    RUNTIME.with(|runtime| runtime.block_on(future));
}

pub(crate) fn shuffled(count: u64) -> Vec<u64> {
    let mut random = fastrand::Rng::with_seed(7);
    let mut keys: Vec<u64> = (0..count).collect();
    random.shuffle(&mut keys);
    keys
}

/// Draws keys by Zipf's law through the cumulative distribution; the ranks are spread over them.
pub(crate) fn zipf_sequence(keys: u64, draws: usize) -> Vec<u64> {
    let mut random = fastrand::Rng::with_seed(11);
    let mut sum = 0.0;
    #[expect(clippy::cast_precision_loss, reason = "a rank is far below 2^52")]
    let cumulative: Vec<f64> = (1..=keys)
        .map(|rank| {
            sum += (rank as f64).powf(-0.99);
            sum
        })
        .collect();
    let named = shuffled(keys);
    let drawn: Vec<u64> = (0..draws)
        .map(|_| {
            let point = random.f64() * sum;
            named[cumulative.partition_point(|&reached| reached < point).min(named.len() - 1)]
        })
        .collect();
    assert!(drawn.iter().collect::<HashSet<_>>().len() > draws / 100, "the draws are not spread");
    drawn
}

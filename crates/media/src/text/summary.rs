use std::collections::{BTreeSet, HashMap};
use std::ops::Range;

use unicode_segmentation::UnicodeSegmentation as _;

use super::SummarySentence;
use super::rank::{Graph, rank};
use super::words::Vocabulary;

/// Picks up to three sentences by the paper's section 4: similarity is the count of shared stems over the sum of the
/// logarithms of both lengths. The sentences come back in the order of the text.
pub(super) fn summarize(unwrapped: &str, sentences: &[Range<usize>], vocabulary: &Vocabulary) -> Vec<SummarySentence> {
    let mut numbers: HashMap<String, usize> = HashMap::new();
    let bags: Vec<BTreeSet<usize>> = sentences
        .iter()
        .map(|range| bag(unwrapped.get(range.clone()).unwrap_or_default(), vocabulary, &mut numbers))
        .collect();
    let scores = rank(&similarities(&bags));
    let mut order: Vec<usize> = (0..sentences.len()).collect();
    order.sort_by(|a, b| {
        let score = |index: usize| scores.get(index).copied().unwrap_or_default();
        score(*b).total_cmp(&score(*a)).then(a.cmp(b))
    });
    let mut chosen: Vec<usize> = Vec::with_capacity(SENTENCES);
    for index in order {
        if chosen.len() == SENTENCES {
            break;
        }
        // Boilerplate repeats itself and would fill the summary with one sentence thrice.
        let repeats = chosen
            .iter()
            .any(|other| bags.get(*other) == bags.get(index) && bags.get(index).is_some_and(|bag| !bag.is_empty()));
        if !repeats {
            chosen.push(index);
        }
    }
    chosen.sort_unstable();
    chosen
        .into_iter()
        .filter_map(|index| sentences.get(index))
        .filter_map(|range| {
            let text = unwrapped.get(range.clone())?;
            Some(SummarySentence {
                text: text.split_whitespace().collect::<Vec<_>>().join(" "),
                start: range.start,
                end: range.end,
            })
        })
        .collect()
}

fn bag(sentence: &str, vocabulary: &Vocabulary, numbers: &mut HashMap<String, usize>) -> BTreeSet<usize> {
    sentence
        .unicode_words()
        .take(MAX_WORDS)
        .filter_map(|word| vocabulary.content_stem(&word.to_lowercase()))
        .map(|stem| {
            let next = numbers.len();
            *numbers.entry(stem).or_insert(next)
        })
        .collect()
}

fn similarities(bags: &[BTreeSet<usize>]) -> Graph {
    let mut graph: Graph = vec![Vec::new(); bags.len()];
    for (i, a) in bags.iter().enumerate() {
        for (j, b) in bags.iter().enumerate().skip(i + 1) {
            let weight = similarity(a, b);
            if weight > 0.0 {
                for (from, to) in [(i, j), (j, i)] {
                    if let Some(edges) = graph.get_mut(from) {
                        edges.push((to, weight));
                    }
                }
            }
        }
    }
    graph
}

#[expect(clippy::cast_precision_loss, reason = "sentences have few words")]
fn similarity(a: &BTreeSet<usize>, b: &BTreeSet<usize>) -> f64 {
    let shared = a.intersection(b).count() as f64;
    // One-word sentences would divide by the logarithm of one.
    let lengths = (a.len().max(2) as f64).ln() + (b.len().max(2) as f64).ln();
    shared / lengths
}

const SENTENCES: usize = 3;
/// What is longer has no sentence marks, and would win by length alone.
const MAX_WORDS: usize = 120;

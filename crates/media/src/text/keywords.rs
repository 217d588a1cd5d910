use std::collections::{BTreeMap, HashMap};

use unicode_segmentation::UnicodeSegmentation as _;

use super::Keyword;
use super::rank::{Graph, rank};
use super::words::Vocabulary;

/// Extracts keywords as the paper's section 3 does: words that stand near one another share an edge, the best third are
/// candidates, and candidates that stand side by side make a phrase.
pub(super) fn extract(text: &str, vocabulary: &Vocabulary, most: usize) -> Vec<Keyword> {
    let tokens = tokens(text, vocabulary);
    let vertices = vertices(&tokens);
    let scores = rank(&neighbors(&tokens, &vertices));

    let mut order: Vec<usize> = (0..scores.len()).collect();
    order.sort_by(|a, b| score(&scores, *b).total_cmp(&score(&scores, *a)).then(a.cmp(b)));
    let keep = (order.len() / 3).clamp(most.min(order.len()), MAX_CANDIDATES.max(most));
    let candidates: HashMap<usize, f64> =
        order.into_iter().take(keep).map(|vertex| (vertex, score(&scores, vertex))).collect();

    let mut phrases: BTreeMap<Vec<usize>, Phrase> = BTreeMap::new();
    for run in runs(&tokens, &vertices, &candidates) {
        let key: Vec<usize> = run.iter().map(|(vertex, _)| *vertex).collect();
        let spelled = run.iter().map(|(_, word)| *word).collect::<Vec<_>>().join(" ");
        let phrase = phrases.entry(key).or_default();
        phrase.count += 1;
        *phrase.spellings.entry(spelled).or_default() += 1;
    }
    best(phrases, &candidates, most)
}

#[derive(Default)]
struct Phrase {
    count: u64,
    spellings: BTreeMap<String, u64>,
}

/// A word with its stem, or a gap where a stop word or a mark stands.
struct Token {
    word: String,
    stem: Option<String>,
    /// Whether the word directly follows the one before, with nothing but space between.
    adjacent: bool,
}

fn tokens(text: &str, vocabulary: &Vocabulary) -> Vec<Token> {
    let mut tokens = Vec::new();
    let mut end = 0;
    for (start, word) in text.unicode_word_indices() {
        let between = text.get(end..start).unwrap_or_default();
        let adjacent = between.chars().all(|c| c == ' ' || c == '-') && between.len() <= 2;
        end = start + word.len();
        let word = word.to_lowercase();
        let stem = vocabulary.content_stem(&word);
        tokens.push(Token { word, stem, adjacent });
    }
    tokens
}

/// Numbers the stems, the most frequent first, so that a long text keeps its common words when the rest is cut.
fn vertices(tokens: &[Token]) -> HashMap<&str, usize> {
    let mut counts: HashMap<&str, usize> = HashMap::new();
    for stem in tokens.iter().filter_map(|token| token.stem.as_deref()) {
        *counts.entry(stem).or_default() += 1;
    }
    let mut stems: Vec<(&str, usize)> = counts.into_iter().collect();
    stems.sort_by(|a, b| b.1.cmp(&a.1).then(a.0.cmp(b.0)));
    stems.into_iter().take(MAX_VERTICES).enumerate().map(|(index, (stem, _))| (stem, index)).collect()
}

fn neighbors(tokens: &[Token], vertices: &HashMap<&str, usize>) -> Graph {
    let words: Vec<usize> = tokens.iter().filter_map(|token| vertices.get(token.stem.as_deref()?).copied()).collect();
    let mut weights: BTreeMap<(usize, usize), f64> = BTreeMap::new();
    for window in 1..WINDOW {
        for (a, b) in words.iter().zip(words.iter().skip(window)) {
            if a != b {
                *weights.entry((*a.min(b), *a.max(b))).or_default() += 1.0;
            }
        }
    }
    let mut graph: Graph = vec![Vec::new(); vertices.len()];
    for ((a, b), weight) in weights {
        for (from, to) in [(a, b), (b, a)] {
            if let Some(edges) = graph.get_mut(from) {
                edges.push((to, weight));
            }
        }
    }
    graph
}

/// Returns runs of up to three adjacent candidates, each with the word as it is spelled there.
fn runs<'a>(
    tokens: &'a [Token],
    vertices: &HashMap<&str, usize>,
    candidates: &HashMap<usize, f64>,
) -> Vec<Vec<(usize, &'a str)>> {
    let mut runs: Vec<Vec<(usize, &str)>> = Vec::new();
    let mut open = false;
    for token in tokens {
        let vertex =
            token.stem.as_deref().and_then(|stem| vertices.get(stem)).filter(|vertex| candidates.contains_key(vertex));
        let Some(vertex) = vertex else {
            open = false;
            continue;
        };
        match runs.last_mut() {
            Some(run) if open && token.adjacent && run.len() < MAX_PHRASE => {
                run.push((*vertex, &token.word));
            }
            _ => runs.push(vec![(*vertex, &token.word)]),
        }
        open = true;
    }
    runs
}

/// Scores phrases and drops those that a better one already says.
fn best(phrases: BTreeMap<Vec<usize>, Phrase>, candidates: &HashMap<usize, f64>, most: usize) -> Vec<Keyword> {
    let mut scored: Vec<(f64, Vec<usize>, Phrase)> = phrases
        .into_iter()
        // A phrase that stands once is chance as often as it is a term; its words compete alone.
        .filter(|(key, phrase)| key.len() == 1 || phrase.count > 1 || candidates.len() <= SHORT_TEXT)
        .map(|(key, phrase)| {
            let sum: f64 = key.iter().filter_map(|vertex| candidates.get(vertex)).sum();
            (sum, key, phrase)
        })
        .collect();
    scored.sort_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1)));
    let top = scored.first().map_or(1.0, |(score, ..)| *score);

    let mut said: Vec<Vec<usize>> = Vec::new();
    let mut keywords = Vec::new();
    for (score, key, phrase) in scored {
        if keywords.len() == most {
            break;
        }
        if said.iter().any(|other| key.iter().all(|word| other.contains(word))) {
            continue;
        }
        let spelling =
            phrase.spellings.into_iter().max_by(|a, b| a.1.cmp(&b.1).then(b.0.cmp(&a.0))).map(|(spelling, _)| spelling);
        keywords.push(Keyword { phrase: spelling.unwrap_or_default(), score: score / top, count: phrase.count });
        said.push(key);
    }
    keywords
}

fn score(scores: &[f64], vertex: usize) -> f64 {
    scores.get(vertex).copied().unwrap_or_default()
}

/// Words up to three apart are neighbors; the paper found little gain in wider windows.
const WINDOW: usize = 4;
const MAX_PHRASE: usize = 3;
const MAX_VERTICES: usize = 2_000;
const MAX_CANDIDATES: usize = 60;
const SHORT_TEXT: usize = 20;

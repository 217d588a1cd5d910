//! What a look-up by meaning answers wrongly, with and without the content gate.
//!
//! 222 labeled pairs of questions: 60 that may share an answer, 162 that must not, since a number, a negation, the order
//! or a name differs. The built-in embedder knows spelling alone, so it misses paraphrases in other words; none with
//! weights is measured here. The pairs were written by the authors of the gate: take its rows for the best case.
//!
//! `cargo run --release --example semantic_lookup`
#![expect(clippy::print_stdout, reason = "an example shows what it does")]

use std::error::Error;

use bedplate_cache::semantic::{
    ContentGate, LabeledScore, Namespace, NgramEmbedder, SemanticConfig, SemanticIndex, calibrate, wilson,
};

struct Pair<'a> {
    same: bool,
    kind: &'a str,
    asked: &'a str,
    stored: &'a str,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let pairs = pairs(include_str!("../crates/cache/tests/data/semantic_pairs.tsv"));
    let scores: Vec<f32> = pairs.iter().map(|pair| cosine(pair.asked, pair.stored)).collect();

    println!("{:>9} {:>5}  {:>10}  {:>22}  {:>22}", "threshold", "gate", "paraphrases", "false hits", "95 % interval");
    for threshold in [0.5, 0.6, 0.7, 0.8, 0.9, 0.95] {
        for gate in [false, true] {
            let outcome = look_up(&pairs, threshold, gate).await?;
            let of = |count: u64, all: u64| format!("{count} of {all} ({:.1} %)", percent(count, all));
            let (low, high) = wilson(outcome.false_hits, outcome.different);
            println!(
                "{threshold:>9} {:>5}  {:>11}  {:>22}  {:>9.1} % to {:>5.1} %",
                if gate { "yes" } else { "no" },
                format!("{} of {}", outcome.hits, outcome.same),
                of(outcome.false_hits, outcome.different),
                low * 100.0,
                high * 100.0,
            );
        }
    }

    println!("\nfalse hits at 0.6 by what differs");
    for kind in ["numbers", "negation", "order", "entities"] {
        let of_kind: Vec<Pair<'_>> = pairs.iter().filter(|pair| pair.kind == kind).map(Pair::again).collect();
        let (without, with) = (look_up(&of_kind, 0.6, false).await?, look_up(&of_kind, 0.6, true).await?);
        println!(
            "{kind:>9}: {:>3} of {:>3} without the gate, {:>2} with it",
            without.false_hits, without.different, with.false_hits
        );
    }
    println!("\nwhat the gate lets pass");
    for pair in pairs.iter().filter(|pair| !pair.same && ContentGate::new().check(pair.asked, pair.stored).is_ok()) {
        println!("  {} | {}", pair.asked, pair.stored);
    }

    println!("\nthe lowest threshold whose hits are right to 95 %");
    for gate in [false, true] {
        let passed = pairs
            .iter()
            .zip(&scores)
            .filter(|(pair, _)| !gate || ContentGate::new().check(pair.asked, pair.stored).is_ok());
        let labeled: Vec<LabeledScore> = passed.map(|(pair, score)| LabeledScore::new(*score, pair.same)).collect();
        let name = if gate { "with the gate" } else { "without it" };
        match calibrate(&labeled, 0.95) {
            Some(found) => println!(
                "{name:>14}: {:.3}, precision {:.1} % ({:.1} to {:.1} %), {} hits",
                found.threshold,
                found.precision * 100.0,
                found.precision_interval.0 * 100.0,
                found.precision_interval.1 * 100.0,
                found.hits
            ),
            None => println!("{name:>14}: there is none"),
        }
    }
    Ok(())
}

#[derive(Default)]
struct Outcome {
    same: u64,
    hits: u64,
    different: u64,
    false_hits: u64,
}

/// Stores one question of each pair in a namespace of its own and asks for the other.
async fn look_up(pairs: &[Pair<'_>], threshold: f32, gate: bool) -> Result<Outcome, Box<dyn Error>> {
    let mut config = SemanticConfig::serve(threshold);
    config.gate = gate;
    let index = SemanticIndex::new(NgramEmbedder::new(), config)?;
    let mut outcome = Outcome::default();
    for (number, pair) in pairs.iter().enumerate() {
        let space = Namespace::new(&format!("pair {number}"), "any")?;
        index.insert(&space, pair.stored, number).await?;
        let hit = index.lookup(&space, pair.asked, |_| true).await?.hit().is_some();
        let (all, hits) = if pair.same {
            (&mut outcome.same, &mut outcome.hits)
        } else {
            (&mut outcome.different, &mut outcome.false_hits)
        };
        *all += 1;
        *hits += u64::from(hit);
    }
    Ok(outcome)
}

impl Pair<'_> {
    fn again(&self) -> Self {
        Self { ..*self }
    }
}

fn pairs(table: &str) -> Vec<Pair<'_>> {
    let row = |line| -> Option<Pair<'_>> {
        let mut cells = str::split(line, '\t');
        let (label, kind, _language) = (cells.next()?, cells.next()?, cells.next()?);
        Some(Pair { same: label == "same", kind, asked: cells.next()?, stored: cells.next()? })
    };
    table.lines().filter(|line| !line.starts_with('#') && !line.starts_with("label\t")).filter_map(row).collect()
}

fn cosine(one: &str, other: &str) -> f32 {
    let [one, other] = [one, other].map(|text| NgramEmbedder::new().vector(text));
    one.iter().zip(&other).map(|(one, other)| one * other).sum()
}

#[expect(clippy::cast_precision_loss, reason = "some hundred pairs")]
fn percent(count: u64, all: u64) -> f64 {
    if all == 0 { 0.0 } else { count as f64 * 100.0 / all as f64 }
}

//! Look-up by meaning.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use bedplate_cache::ManualClock;
use bedplate_cache::semantic::{
    EmbedError, Embedder, Lookup, Namespace, NgramEmbedder, Refusal, SemanticConfig, SemanticError, SemanticIndex,
    SemanticMode, wilson,
};

fn space(tenant: &str) -> Namespace {
    Namespace::new(tenant, "model").unwrap()
}

fn index(change: impl FnOnce(&mut SemanticConfig)) -> SemanticIndex<u32> {
    let mut config = SemanticConfig::serve(0.6);
    change(&mut config);
    SemanticIndex::new(NgramEmbedder::new(), config).unwrap()
}

#[tokio::test]
async fn a_paraphrase_hits_in_its_own_namespace_alone() {
    let index = index(|_| ());
    index.insert(&space("a"), "How do I reset my password?", 1).await.unwrap();
    let asked = "how can I reset the password";
    let found = index.lookup(&space("a"), asked, |_| true).await.unwrap().hit().unwrap();
    assert_eq!((*found.value, found.margin), (1, None));
    assert!(found.score > 0.6 && found.score <= 1.0001);
    for other in [space("b"), Namespace::new("a", "another model").unwrap()] {
        assert!(matches!(index.lookup(&other, asked, |_| true).await.unwrap(), Lookup::Absent));
    }
    assert_eq!(Namespace::new("", "m").unwrap_err().field(), "tenant");
    assert_eq!(Namespace::new("t", "").unwrap_err().field(), "model");
}

#[tokio::test]
async fn the_gate_the_margin_and_the_closure_each_refuse() {
    let index = index(|config| config.margin = 0.05);
    index.insert(&space("a"), "Is it safe to take two tablets a day?", 1).await.unwrap();
    for (asked, refusal) in [
        ("Is it safe to take three tablets a day?", Refusal::Numbers),
        ("Is it not safe to take two tablets a day?", Refusal::Negation),
    ] {
        let found = index.lookup(&space("a"), asked, |_| true).await.unwrap();
        assert!(matches!(found, Lookup::Refused(reason) if reason == refusal), "{found:?}");
    }
    let asked = "Is it safe to take two tablets per day?";
    let found = index.lookup(&space("a"), asked, |candidate| candidate.value != &1).await.unwrap();
    assert!(matches!(found, Lookup::Unverified));

    index.insert(&space("a"), "Is it safe to take two tablets daily?", 2).await.unwrap();
    let found = index.lookup(&space("a"), "Is it safe to take two tablets?", |_| true).await.unwrap();
    assert!(matches!(found, Lookup::Ambiguous), "{found:?}");
    let stats = index.stats();
    assert_eq!((stats.refused, stats.unverified, stats.ambiguous, stats.hits), (2, 1, 1, 0));
}

#[tokio::test]
async fn questions_that_share_an_answer_are_no_rivals() {
    let index = index(|config| config.margin = 0.3);
    let answer = Arc::new(7);
    for asked in ["opening hours of the library", "library opening hours"] {
        index.insert(&space("a"), asked, Arc::clone(&answer)).await.unwrap();
    }
    let found = index.lookup(&space("a"), "the opening hours of the library", |_| true).await.unwrap();
    assert_eq!(found.hit().map(|found| *found.value), Some(7));
}

#[tokio::test]
async fn in_the_shadow_hits_are_counted_and_not_served() {
    let index = index(|config| config.mode = SemanticMode::Shadow);
    index.insert(&space("a"), "reset my password", 1).await.unwrap();
    assert!(matches!(index.lookup(&space("a"), "reset my password", |_| true).await.unwrap(), Lookup::Shadowed));
    assert_eq!((index.stats().shadow_hits, index.stats().hits), (1, 0));
    assert_eq!(SemanticConfig::default().mode, SemanticMode::Shadow, "nothing is served unasked");
}

#[tokio::test]
async fn a_false_hit_is_taken_out_and_a_new_answer_replaces_the_old() {
    let index = index(|_| ());
    let first = index.insert(&space("a"), "reset my password", 1).await.unwrap();
    let second = index.insert(&space("a"), "reset my password", 2).await.unwrap();
    assert!(!index.evict_false_hit(&space("a"), first), "it was replaced");
    let found = index.lookup(&space("a"), "reset my password", |_| true).await.unwrap().hit().unwrap();
    assert_eq!((*found.value, found.id), (2, second));
    assert!(!index.evict_false_hit(&space("b"), second));
    assert!(index.evict_false_hit(&space("a"), second));
    assert!(matches!(index.lookup(&space("a"), "reset my password", |_| true).await.unwrap(), Lookup::Absent));
    let stats = index.stats();
    assert_eq!((stats.false_hits, stats.entries, stats.bytes), (1, 0, 0));
}

#[tokio::test]
async fn time_and_bounds_are_kept_and_what_is_used_stays() {
    let clock = Arc::new(ManualClock::new());
    let index =
        index(|config| (config.max_entries, config.ttl) = (20, Duration::from_secs(10)))
            .clock(Arc::<ManualClock>::clone(&clock));
    let word = |n: u32| format!("question about {}", ["alpha", "beta", "gamma"][n as usize % 3].repeat(n as usize + 1));
    index.insert(&space("a"), "the one that is used", 1000).await.unwrap();
    for n in 0..60 {
        index.insert(&space(["a", "b"][n as usize % 2]), &word(n), n).await.unwrap();
        assert!(index.stats().entries <= 20);
        assert!(index.lookup(&space("a"), "the one that is used", |_| true).await.unwrap().hit().is_some());
    }
    assert!(index.stats().evicted >= 41);
    clock.advance(Duration::from_secs(10));
    assert!(index.lookup(&space("a"), "the one that is used", |_| true).await.unwrap().hit().is_none());
    assert!(index.remove_namespace(&space("a")) > 0);
    index.remove_namespace(&space("b"));
    assert_eq!((index.stats().entries, index.stats().bytes), (0, 0));
}

#[derive(Debug, Default)]
struct Wild {
    fails: AtomicBool,
}

#[async_trait]
impl Embedder for Wild {
    fn id(&self) -> &'static str {
        "wild"
    }

    fn dimensions(&self) -> usize {
        2
    }

    async fn embed(&self, texts: &[&str]) -> Result<Vec<Vec<f32>>, EmbedError> {
        if self.fails.load(Ordering::SeqCst) {
            return Err(EmbedError::new("no model"));
        }
        Ok(match *texts.first().unwrap() {
            "none" => Vec::new(),
            "long" => vec![vec![1.0; 3]],
            "nan" => vec![vec![f32::NAN, 1.0]],
            "zero" => vec![vec![0.0, 0.0]],
            _ => vec![vec![3.0, 4.0]],
        })
    }
}

#[tokio::test]
async fn what_an_embedder_must_not_return_is_an_error() {
    let wild = Arc::new(Wild::default());
    let index = SemanticIndex::new(Arc::clone(&wild), SemanticConfig::serve(0.9)).unwrap();
    for text in ["none", "long", "nan", "zero"] {
        assert!(matches!(index.insert(&space("a"), text, 1).await, Err(SemanticError::BadVector { expected: 2, .. })));
    }
    index.insert(&space("a"), "fine", 1).await.unwrap();
    wild.fails.store(true, Ordering::SeqCst);
    let error = index.lookup(&space("a"), "fine", |_| true).await.unwrap_err();
    assert!(error.is_transient());
    let long = "x".repeat(8193);
    assert!(matches!(index.insert(&space("a"), &long, 1).await, Err(SemanticError::TooLong { limit: 8192, .. })));
}

#[test]
fn settings_that_cannot_be_are_refused() {
    let refused = |change: fn(&mut SemanticConfig)| {
        let mut config = SemanticConfig::default();
        change(&mut config);
        SemanticIndex::<u32>::new(NgramEmbedder::new(), config).unwrap_err().field()
    };
    assert_eq!(refused(|config| config.threshold = f32::NAN), "threshold");
    assert_eq!(refused(|config| config.margin = -0.1), "margin");
    assert_eq!(refused(|config| config.max_entries = 0), "max_entries");
    assert_eq!(refused(|config| config.max_text = 0), "max_text");
    assert_eq!(refused(|config| config.ttl = Duration::ZERO), "ttl");
}

/// The labeled pairs: whether they may share an answer, what is asked, what was asked.
fn pairs() -> Vec<(bool, &'static str, &'static str)> {
    let table = include_str!("../../data/semantic_pairs.tsv");
    let rows = table.lines().filter(|line| !line.starts_with('#') && !line.starts_with("label\t"));
    rows.map(|row| {
        let mut cells = row.split('\t');
        let same = cells.next() == Some("same");
        (same, cells.nth(2).unwrap(), cells.next().unwrap())
    })
    .collect()
}

/// Hits among the pairs that may share an answer, and among those that must not.
async fn hits(threshold: f32, gate: bool) -> [u64; 2] {
    let index = index(|config| (config.threshold, config.gate) = (threshold, gate));
    let mut hits = [0, 0];
    for (number, (same, asked, stored)) in pairs().into_iter().enumerate() {
        let space = space(&number.to_string());
        index.insert(&space, stored, 1).await.unwrap();
        let hit = index.lookup(&space, asked, |_| true).await.unwrap().hit().is_some();
        let [right, wrong] = &mut hits;
        *(if same { right } else { wrong }) += u64::from(hit);
    }
    hits
}

#[tokio::test]
async fn the_gate_takes_nearly_all_false_hits_and_leaves_most_right_ones() {
    let different = pairs().iter().filter(|(same, ..)| !same).count();
    assert!(pairs().len() >= 200 && different >= 150, "{} pairs", pairs().len());
    let ([right_without, wrong_without], [right, wrong]) = (hits(0.6, false).await, hits(0.6, true).await);
    let (_, high) = wilson(wrong, different as u64);
    assert!(high < 0.08, "{wrong} false hits of {different}: up to {high}");
    assert!(wrong * 20 < wrong_without, "{wrong_without} without the gate, {wrong} with it");
    assert!(right * 10 >= right_without * 7, "{right_without} right hits without the gate, {right} with it");
}

//! A model without weights: it answers with sentences of the context, word for word.
//!
//! # Why
//!
//! A service that falls back from a provider to nothing has no fall-back. Quoting the sentences of the given texts that
//! best match the question is dull, but it is immediate, deterministic, needs no network, and cannot invent. Sentences
//! are ranked by BM25 (Robertson and Zaragoza, "The Probabilistic Relevance Framework", 2009) over stemmed words, each
//! sentence being a document; without a question, by the words they share with all others. The alternative, a small
//! language model, costs a file of weights and seconds of processor time, and then belongs behind the same trait.

use std::collections::{HashMap, HashSet};

use async_trait::async_trait;
use rust_stemmers::{Algorithm, Stemmer};
use serde::{Deserialize, Serialize};
use tokio::runtime::Handle;
use unicode_segmentation::UnicodeSegmentation as _;

use crate::{Completion, ConfigError, FinishReason, Model, ModelError, ModelId, Prompt, Usage};

/// The settings of an [`ExtractiveModel`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct ExtractiveConfig {
    /// How many sentences an answer has at most, 1 to 20, default 3. One may miss half of an answer, many bury it.
    pub sentences: usize,
    /// How many sentences of the context are read, 1 to 100,000, default 5,000; the rest is passed over. Ranking costs
    /// about a microsecond a word.
    pub max_context_sentences: usize,
}

impl Default for ExtractiveConfig {
    fn default() -> Self {
        Self { sentences: 3, max_context_sentences: 5_000 }
    }
}

/// Answers with the sentences of the context that match the question best, in their order.
///
/// Its [`confidence`](Completion::confidence) is the share of the question's distinct content words that the quoted
/// sentences contain. A question that shares no word with the context is answered with the context's most central
/// sentences and a confidence of 0.0; a prompt without context has nothing to quote and is refused.
#[derive(Debug)]
pub struct ExtractiveModel {
    id: ModelId,
    config: ExtractiveConfig,
}

impl ExtractiveModel {
    /// Returns the model with its default settings.
    #[must_use]
    pub fn new() -> Self {
        Self { id: ModelId::new("extractive@1"), config: ExtractiveConfig::default() }
    }

    /// Returns the model with these settings.
    ///
    /// # Errors
    /// [`ConfigError`] names a setting out of bounds.
    pub fn with_config(config: ExtractiveConfig) -> Result<Self, ConfigError> {
        let invalid = |field, value: usize, expected| Err(ConfigError { field, value: value.to_string(), expected });
        if !(1..=20).contains(&config.sentences) {
            return invalid("extractive.sentences", config.sentences, "1 to 20 sentences");
        }
        if !(1..=100_000).contains(&config.max_context_sentences) {
            return invalid("extractive.max_context_sentences", config.max_context_sentences, "1 to 100000 sentences");
        }
        Ok(Self { id: ModelId::new("extractive@1"), config })
    }

    fn answer(&self, prompt: &Prompt) -> Result<Completion, ModelError> {
        prompt.validate()?;
        let context: Vec<String> = prompt.context_texts().iter().map(|text| unwrap_lines(text)).collect();
        let sentences: Vec<&str> = context
            .iter()
            .flat_map(|text| text.split('\n'))
            .flat_map(str::unicode_sentences)
            .map(str::trim)
            .filter(|sentence| !sentence.is_empty())
            .take(self.config.max_context_sentences)
            .collect();
        if sentences.is_empty() {
            return Err(ModelError::InvalidPrompt {
                field: "prompt.context",
                value: "empty".to_owned(),
                expected: "a text to answer from",
            });
        }
        let index = Index::new(&sentences);
        let question = words(prompt.question());
        let mut scores = index.score(&question);
        if scores.iter().all(|score| *score <= 0.0) {
            scores = index.centrality();
        }
        let mut ranked: Vec<usize> = (0..sentences.len()).collect();
        ranked.sort_by(|a, b| {
            let score = |index: &usize| scores.get(*index).copied().unwrap_or(0.0);
            score(b).total_cmp(&score(a)).then(a.cmp(b))
        });
        ranked.truncate(self.config.sentences);
        let positive: Vec<usize> =
            ranked.iter().copied().filter(|index| scores.get(*index).is_some_and(|score| *score > 0.0)).collect();
        let mut chosen = if positive.is_empty() { ranked } else { positive };
        chosen.sort_unstable();

        let quoted: Vec<&str> = chosen.iter().filter_map(|index| sentences.get(*index).copied()).collect();
        let (text, finish) = cut(&quoted.join(" "), prompt.output_limit());
        let usage =
            Usage::estimate(prompt.context_texts().iter().map(String::as_str).chain([prompt.question()]), &text);
        let mut completion = Completion::new(self.id.clone(), text, usage);
        completion.finish = finish;
        completion.confidence = Some(coverage(&question, &quoted));
        Ok(completion)
    }
}

/// The context in bytes that is ranked on the caller's thread: less than a millisecond's work.
const MOST_ON_THE_SPOT: usize = 16 * 1024;

impl Default for ExtractiveModel {
    fn default() -> Self {
        Self::new()
    }
}

#[async_trait]
impl Model for ExtractiveModel {
    fn id(&self) -> &ModelId {
        &self.id
    }

    /// Ranks long contexts on a thread for blocking work, where there is a runtime that has such threads.
    async fn generate(&self, prompt: &Prompt) -> Result<Completion, ModelError> {
        let length: usize = prompt.context_texts().iter().map(String::len).sum();
        let Some(runtime) = Handle::try_current().ok().filter(|_| length > MOST_ON_THE_SPOT) else {
            return self.answer(prompt);
        };
        let (model, owned) = (Self { id: self.id.clone(), config: self.config }, prompt.clone());
        let ranked = runtime.spawn_blocking(move || model.answer(&owned)).await;
        ranked.unwrap_or_else(|_| self.answer(prompt))
    }
}

/// The words of each sentence, and in how many sentences each word stands.
struct Index {
    sentences: Vec<HashMap<String, f64>>,
    lengths: Vec<f64>,
    frequency: HashMap<String, f64>,
}

impl Index {
    fn new(sentences: &[&str]) -> Self {
        let mut index = Self { sentences: Vec::new(), lengths: Vec::new(), frequency: HashMap::new() };
        for sentence in sentences {
            let mut counts = HashMap::<String, f64>::new();
            let mut length = 0.0;
            for word in words(sentence) {
                *counts.entry(word).or_default() += 1.0;
                length += 1.0;
            }
            for word in counts.keys() {
                *index.frequency.entry(word.clone()).or_default() += 1.0;
            }
            index.sentences.push(counts);
            index.lengths.push(length);
        }
        index
    }

    /// BM25 of each sentence for the question, with the usual k1 = 1.2 and b = 0.75.
    fn score(&self, question: &[String]) -> Vec<f64> {
        const K1: f64 = 1.2;
        const B: f64 = 0.75;
        #[expect(clippy::cast_precision_loss, reason = "counts of sentences are far below 2^52")]
        let total = self.sentences.len() as f64;
        let mean_length = (self.lengths.iter().sum::<f64>() / total).max(1.0);
        let question: HashSet<&String> = question.iter().collect();
        self.sentences
            .iter()
            .zip(&self.lengths)
            .map(|(counts, length)| {
                question
                    .iter()
                    .filter_map(|word| Some((counts.get(*word)?, self.frequency.get(*word)?)))
                    .map(|(count, sentences)| {
                        let rarity = (1.0 + (total - sentences + 0.5) / (sentences + 0.5)).ln();
                        rarity * count * (K1 + 1.0) / (count + K1 * (1.0 - B + B * length / mean_length))
                    })
                    .sum()
            })
            .collect()
    }

    /// How much of each sentence's vocabulary other sentences share; earlier sentences win ties.
    fn centrality(&self) -> Vec<f64> {
        self.sentences
            .iter()
            .zip(&self.lengths)
            .map(|(counts, length)| {
                let shared: f64 =
                    counts.keys().filter_map(|word| self.frequency.get(word)).map(|sentences| sentences - 1.0).sum();
                shared / (length + 1.0).ln().max(1.0)
            })
            .collect()
    }
}

/// The share of the question's distinct words that stand in the quoted sentences.
fn coverage(question: &[String], quoted: &[&str]) -> f64 {
    let question: HashSet<&String> = question.iter().collect();
    let answer: HashSet<String> = quoted.iter().flat_map(|sentence| words(sentence)).collect();
    let found = question.iter().filter(|word| answer.contains(**word)).count();
    if question.is_empty() {
        return 0.0;
    }
    #[expect(clippy::cast_precision_loss, reason = "counts of words are far below 2^52")]
    let share = found as f64 / question.len() as f64;
    share
}

/// Stemmed content words, in lower case.
fn words(text: &str) -> Vec<String> {
    let stemmer = Stemmer::create(Algorithm::English);
    text.unicode_words()
        .map(str::to_lowercase)
        .filter(|word| !STOP_WORDS.contains(&word.as_str()))
        .map(|word| stemmer.stem(&word).into_owned())
        .collect()
}

/// Joins the lines of hard-wrapped paragraphs; an empty line stays the end of a paragraph.
fn unwrap_lines(text: &str) -> String {
    let mut paragraphs: Vec<String> = vec![String::new()];
    for line in text.lines().map(str::trim) {
        match paragraphs.last_mut() {
            Some(paragraph) if !line.is_empty() => {
                if !paragraph.is_empty() {
                    paragraph.push(' ');
                }
                paragraph.push_str(line);
            }
            _ => paragraphs.push(String::new()),
        }
    }
    paragraphs.join("\n")
}

/// Cuts the answer after so many tokens of four characters, at a character's end.
fn cut(text: &str, tokens: Option<u32>) -> (String, FinishReason) {
    let limit = tokens.map_or(usize::MAX, |tokens| usize::try_from(tokens).unwrap_or(usize::MAX).saturating_mul(4));
    match text.char_indices().nth(limit) {
        Some((end, _)) => (text.get(..end).unwrap_or(text).to_owned(), FinishReason::Length),
        None => (text.to_owned(), FinishReason::Stop),
    }
}

/// Words that say nothing about what a sentence is about.
const STOP_WORDS: &[&str] = &[
    "a", "about", "an", "and", "any", "are", "as", "at", "be", "been", "but", "by", "can", "could", "did", "do",
    "does", "for", "from", "had", "has", "have", "he", "her", "his", "how", "i", "if", "in", "into", "is", "it", "its",
    "may", "me", "my", "no", "not", "of", "on", "or", "our", "she", "should", "so", "some", "such", "than", "that",
    "the", "their", "them", "then", "there", "these", "they", "this", "to", "was", "we", "were", "what", "when",
    "where", "which", "who", "whom", "why", "will", "with", "would", "you", "your",
];

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    const ENGINE: &str = "The bedplate carries the engine. It is cast in one piece,\nso that the bearings stay in line. \
        Steam enters the cylinder through the slide valve.\n\nThe governor closes the throttle when the load falls.";

    #[test]
    fn the_sentence_that_answers_is_quoted_word_for_word() {
        let prompt = Prompt::new("Why do the bearings stay in line?").context(ENGINE);
        let completion = ExtractiveModel::new().answer(&prompt).unwrap();
        assert_eq!(completion.text, "It is cast in one piece, so that the bearings stay in line.");
        assert_eq!(completion.confidence, Some(1.0));
        assert!(completion.usage.estimated);
    }

    #[test]
    fn words_match_in_their_other_forms() {
        let prompt = Prompt::new("What closed the throttles?").context(ENGINE);
        let completion = ExtractiveModel::new().answer(&prompt).unwrap();
        assert_eq!(completion.text, "The governor closes the throttle when the load falls.");
    }

    #[test]
    fn an_unrelated_question_is_answered_without_confidence() {
        let prompt = Prompt::new("Quantum entanglement?").context(ENGINE);
        let completion = ExtractiveModel::new().answer(&prompt).unwrap();
        assert_eq!(completion.confidence, Some(0.0));
        for sentence in completion.text.unicode_sentences() {
            assert!(ENGINE.replace('\n', " ").contains(sentence.trim()));
        }
    }

    #[test]
    fn the_answer_is_cut_at_its_bound() {
        let prompt = Prompt::new("governor").context(ENGINE).max_output_tokens(3);
        let completion = ExtractiveModel::new().answer(&prompt).unwrap();
        assert_eq!(completion.text, "The governor");
        assert_eq!(completion.finish, FinishReason::Length);
    }

    #[test]
    fn without_context_there_is_nothing_to_quote() {
        let error = ExtractiveModel::new().answer(&Prompt::new("Why?")).unwrap_err();
        assert!(matches!(error, ModelError::InvalidPrompt { field: "prompt.context", .. }));
        assert!(!error.is_transient());
    }

    #[tokio::test]
    async fn a_long_context_is_ranked_elsewhere_with_the_same_answer() {
        let long = ENGINE.repeat(200);
        assert!(long.len() > MOST_ON_THE_SPOT);
        let prompt = Prompt::new("What closes the throttle?").context(long);
        let model = ExtractiveModel::new();
        assert_eq!(model.generate(&prompt).await.unwrap(), model.answer(&prompt).unwrap());
    }

    #[test]
    fn settings_out_of_bounds_are_named() {
        let config = ExtractiveConfig { sentences: 0, ..ExtractiveConfig::default() };
        assert_eq!(ExtractiveModel::with_config(config).unwrap_err().field, "extractive.sentences");
    }

    proptest::proptest! {
        #[test]
        fn any_text_is_quoted_or_refused(context in ".{0,400}", question in ".{0,60}") {
            match ExtractiveModel::new().answer(&Prompt::new(question).context(context.clone())) {
                Ok(completion) => {
                    // Taken in their order, some sentences of the context make up the whole answer.
                    let unwrapped = unwrap_lines(&context);
                    let mut ends = BTreeSet::from([0]);
                    for sentence in unwrapped.split('\n').flat_map(str::unicode_sentences) {
                        let sentence = sentence.trim();
                        let from = |end: usize| if end == 0 { 0 } else { end + 1 };
                        let starts = ends.clone().into_iter().map(from);
                        ends.extend(starts.filter_map(|start| {
                            let quoted = completion.text.get(start..)?.starts_with(sentence);
                            quoted.then_some(start + sentence.len())
                        }));
                    }
                    proptest::prop_assert!(ends.contains(&completion.text.len()));
                    proptest::prop_assert!(completion.confidence.is_some_and(|share| (0.0..=1.0).contains(&share)));
                }
                Err(ModelError::InvalidPrompt { .. }) => {}
                Err(other) => proptest::prop_assert!(false, "{other:?}"),
            }
        }
    }
}

//! Refuses what a score cannot see.
//!
//! The gate compares two texts word by word and knows some hundred words of English and German. It is
//! meant to refuse too much: a refusal costs one call of the model, a false hit gives a wrong answer. In
//! other languages digits, names in capitals, order and the substitution of single words still count;
//! negation and opposites do not.

use std::collections::BTreeSet;
use std::fmt;

use super::words::{denied_by, folded, is_direction, is_function_word, is_negation, number_word, opposite};

/// Compares what is asked with what was asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct ContentGate;

/// Why two texts are not taken for the same question.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Refusal {
    /// Their numbers differ.
    Numbers,
    /// One denies what the other does not, or they hold opposites.
    Negation,
    /// The same words stand in another order, where order counts.
    Order,
    /// A name differs, or a single word was put in the place of another.
    Entities,
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Numbers => "numbers differ",
            Self::Negation => "negation differs",
            Self::Order => "order differs",
            Self::Entities => "entities differ",
        })
    }
}

impl ContentGate {
    /// Makes one.
    pub const fn new() -> Self {
        Self
    }

    /// Checks two texts against each other.
    ///
    /// # Errors
    ///
    /// The first [`Refusal`], if they are not to be taken for the same.
    #[expect(clippy::unused_self, reason = "a gate with settings will need it")]
    pub fn check(self, asked: &str, stored: &str) -> Result<(), Refusal> {
        let (asked, stored) = (Content::of(asked), Content::of(stored));
        if asked.numbers != stored.numbers {
            return Err(Refusal::Numbers);
        }
        if asked.negations % 2 != stored.negations % 2
            || asked.contradicts(&stored)
            || asked.denies(&stored)
            || stored.denies(&asked)
        {
            return Err(Refusal::Negation);
        }
        if asked.names_something_else_than(&stored) || stored.names_something_else_than(&asked) {
            return Err(Refusal::Entities);
        }
        if asked.reorders(&stored) {
            return Err(Refusal::Order);
        }
        if asked.substitutes_in(&stored) {
            return Err(Refusal::Entities);
        }
        Ok(())
    }
}

/// What of a text is compared.
struct Content {
    /// In their order, so that "2 of 3" is not "3 of 2".
    numbers: Vec<String>,
    negations: usize,
    opposites: BTreeSet<(usize, bool)>,
    /// Words that are written as names, folded.
    names: BTreeSet<String>,
    /// All words, folded.
    words: Vec<String>,
    /// The words that say something, folded.
    telling: Vec<String>,
    directed: bool,
    genitive: bool,
}

impl Content {
    fn of(text: &str) -> Self {
        let words = folded(text);
        let telling: Vec<String> =
            words.iter().filter(|word| !is_function_word(word) && !is_negation(word)).cloned().collect();
        Self {
            numbers: numbers(text),
            negations: words.iter().filter(|word| is_negation(word)).count(),
            opposites: words.iter().filter_map(|word| opposite(word)).collect(),
            names: names(text),
            directed: words.iter().any(|word| is_direction(word)),
            genitive: words.iter().any(|word| word == "of" || word == "des"),
            words,
            telling,
        }
    }

    /// Of a pair of opposites, each holds a side, and not the same.
    fn contradicts(&self, other: &Self) -> bool {
        let sides = |of: &Self, pair: usize| [false, true].map(|side| of.opposites.contains(&(pair, side)));
        let differs = |pair: usize| {
            let (here, there) = (sides(self, pair), sides(other, pair));
            here != there && here != [false; 2] && there != [false; 2]
        };
        self.opposites.iter().any(|(pair, _)| differs(*pair))
    }

    /// A word of the other stands here with a syllable that denies it.
    fn denies(&self, other: &Self) -> bool {
        let denied = |word: &str| {
            denied_by(word).any(|rest| {
                let is_rest = |word: &String| word == rest;
                other.words.iter().any(is_rest) && !self.words.iter().any(is_rest)
            })
        };
        self.words.iter().any(|word| denied(word) && !other.words.contains(word))
    }

    fn names_something_else_than(&self, other: &Self) -> bool {
        self.names.iter().any(|name| !other.words.iter().any(|word| same_stem(name, word)))
    }

    fn reorders(&self, other: &Self) -> bool {
        let shared = |of: &Self, with: &Self| -> Vec<String> {
            let mut shared: Vec<String> = Vec::new();
            for word in &of.telling {
                if with.telling.contains(word) && !shared.contains(word) {
                    shared.push(word.clone());
                }
            }
            shared
        };
        let (here, there) = (shared(self, other), shared(other, self));
        if here == there {
            return false;
        }
        if self.directed || other.directed {
            return true;
        }
        // Without a word of direction, order counts where nothing else differs: who bites whom. A genitive
        // may change places: "hours of the library" are "the library's hours".
        let all_shared = here.len() == self.telling.len() && there.len() == other.telling.len();
        all_shared && self.genitive == other.genitive
    }

    /// Everything is the same but single words, each in the place of another.
    fn substitutes_in(&self, other: &Self) -> bool {
        if self.telling.len() != other.telling.len() {
            return false;
        }
        let differing = self.telling.iter().zip(&other.telling).filter(|(here, there)| !same_stem(here, there)).count();
        differing > 0 && differing * 2 <= self.telling.len().max(2)
    }
}

/// The numbers of a text: digits with what stands within them, and number words.
fn numbers(text: &str) -> Vec<String> {
    let mut found = Vec::new();
    for token in text.split(|letter: char| letter.is_whitespace() || "()[]{}\"'?!;".contains(letter)) {
        let token = token.trim_matches(|letter: char| ".,:".contains(letter));
        if token.chars().any(char::is_numeric) {
            // "1,000" and "1.000" are not told apart from "1.0" by more than what is written.
            found.push(token.to_lowercase());
        } else {
            let words = folded(token);
            found.extend(words.iter().filter_map(|word| number_word(word)).map(str::to_owned));
        }
    }
    found
}

/// Words written as names: with a capital, unless they are function words, and all with an odd spelling.
fn names(text: &str) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    let tokens = text.split(|letter: char| !(letter.is_alphanumeric() || "_".contains(letter)));
    for (at, token) in tokens.filter(|token| !token.is_empty()).enumerate() {
        let lower = token.to_lowercase();
        let odd = token.chars().skip(1).any(|letter| letter.is_uppercase() || letter == '_' || letter.is_numeric());
        let capital = token.chars().next().is_some_and(char::is_uppercase);
        // At the beginning every word has a capital: there, a verb may be exchanged for another one, and
        // a name is left to the check for substitution.
        if odd || (capital && at > 0 && !is_function_word(&lower)) {
            found.extend(folded(&lower));
        }
    }
    found
}

/// Forms of one word: equal, or alike up to a short ending.
fn same_stem(one: &str, other: &str) -> bool {
    if one == other {
        return true;
    }
    let shared = one.chars().zip(other.chars()).take_while(|(one, other)| one == other).count();
    let (short, long) = {
        let [one, other] = [one, other].map(|word| word.chars().count());
        (one.min(other), one.max(other))
    };
    shared >= 4 && long - shared <= 3 && short - shared <= 2
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn check(asked: &str, stored: &str) -> Result<(), Refusal> {
        ContentGate::new().check(asked, stored)
    }

    #[test]
    fn what_means_something_else_is_refused_for_its_reason() {
        for (asked, stored, refusal) in [
            ("invoices over 100 euros", "invoices over 1000 euros", Refusal::Numbers),
            ("two seats to Rome", "three seats to Rome", Refusal::Numbers),
            ("is it safe to eat", "is it not safe to eat", Refusal::Negation),
            ("Geht das ohne Konto?", "Geht das mit Konto?", Refusal::Negation),
            ("Welche Städte haben keine U-Bahn?", "Welche Städte haben eine U-Bahn?", Refusal::Negation),
            ("how do I enable it", "how do I disable it", Refusal::Negation),
            ("Ist der Ausweis gültig?", "Ist der Ausweis ungültig?", Refusal::Negation),
            ("is this pattern regular", "is this pattern irregular", Refusal::Negation),
            ("convert euros to dollars", "convert dollars to euros", Refusal::Order),
            ("dog bites man", "man bites dog", Refusal::Order),
            ("What is the capital of France?", "What is the capital of Norway?", Refusal::Entities),
            ("weather in paris", "weather in london", Refusal::Entities),
            ("Paris hotels", "London hotels", Refusal::Entities),
        ] {
            assert_eq!(check(asked, stored), Err(refusal), "{asked} | {stored}");
            assert_eq!(check(stored, asked), Err(refusal), "{stored} | {asked}");
        }
    }

    #[test]
    fn what_means_the_same_may_pass() {
        for (asked, stored) in [
            ("How do I reset my password?", "how can I reset my password"),
            ("please explain the return policy", "What is the return policy?"),
            ("Wie ändere ich mein Passwort?", "Wie kann ich mein Passwort ändern?"),
            ("opening hours of the library", "What are the library's opening hours?"),
        ] {
            assert_eq!(check(asked, stored), Ok(()), "{asked} | {stored}");
        }
    }

    proptest! {
        #[test]
        fn it_never_panics_and_a_text_is_itself(one in "\\PC{0,60}", other in "\\PC{0,60}") {
            let gate = ContentGate::new();
            prop_assert_eq!(gate.check(&one, &one), Ok(()));
            prop_assert_eq!(gate.check(&one, &other).is_ok(), gate.check(&other, &one).is_ok());
        }
    }
}

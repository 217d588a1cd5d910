use std::collections::HashSet;

use rust_stemmers::{Algorithm, Stemmer};

use super::stop_words;

/// Knows which words of a language carry meaning, and what they have in common.
pub(super) struct Vocabulary {
    stop_words: HashSet<&'static str>,
    stemmer: Option<Stemmer>,
}

impl Vocabulary {
    /// Without a list for the language, only short words and numbers are left out.
    pub(super) fn new(code: Option<&str>) -> Self {
        Self {
            stop_words: code.and_then(stop_words::list).unwrap_or_default().split_whitespace().collect(),
            stemmer: code.and_then(algorithm).map(Stemmer::create),
        }
    }

    /// Returns the stem of a word in lower case, or `None` where the word says nothing by itself.
    pub(super) fn content_stem(&self, lower: &str) -> Option<String> {
        let ideograph = lower.chars().next().is_some_and(is_ideograph);
        let characters = lower.chars().count();
        if (characters < 3 && !ideograph)
            || characters > MAX_WORD
            || !lower.chars().any(char::is_alphabetic)
            || self.stop_words.contains(lower)
        {
            return None;
        }
        // "l'eau" and "it's" are one word each; the stop word may stand on either side of the apostrophe.
        if let Some((head, tail)) = lower.split_once(['\'', '’'])
            && (self.stop_words.contains(head) || tail.len() <= 2)
            && (self.stop_words.contains(tail) || tail.chars().count() < 3)
        {
            return None;
        }
        Some(match &self.stemmer {
            Some(stemmer) => stemmer.stem(lower).into_owned(),
            None => lower.to_owned(),
        })
    }
}

/// Tells whether most letters belong to a script that sets no spaces between words.
pub(super) fn needs_dictionary(text: &str) -> bool {
    let (mut spaced, mut unspaced) = (0_u32, 0_u32);
    for character in text.chars().filter(|c| c.is_alphabetic()).take(2_000) {
        if is_unspaced(character) {
            unspaced += 1;
        } else {
            spaced += 1;
        }
    }
    unspaced > spaced
}

/// Returns how long an adult reads, in seconds (see [`super::TextReport::reading_seconds`]).
pub(super) fn reading_seconds(text: &str, words: u64) -> f64 {
    let ideographs = text.chars().filter(|c| is_ideograph(*c)).count() as u64;
    let rest = words.saturating_sub(ideographs);
    #[expect(clippy::cast_precision_loss, reason = "word counts stay far below 2^52")]
    let minutes = rest as f64 / WORDS_A_MINUTE + ideographs as f64 / IDEOGRAPHS_A_MINUTE;
    minutes * 60.0
}

fn is_ideograph(character: char) -> bool {
    matches!(character, '\u{3400}'..='\u{4dbf}' | '\u{4e00}'..='\u{9fff}' | '\u{20000}'..='\u{3134f}')
}

/// Thai, Lao, Myanmar, Khmer, kana and ideographs.
fn is_unspaced(character: char) -> bool {
    is_ideograph(character)
        || matches!(character, '\u{0e00}'..='\u{0eff}' | '\u{1000}'..='\u{109f}' | '\u{1780}'..='\u{17ff}' | '\u{3040}'..='\u{30ff}')
}

fn algorithm(code: &str) -> Option<Algorithm> {
    Some(match code {
        "ara" => Algorithm::Arabic,
        "dan" => Algorithm::Danish,
        "nld" => Algorithm::Dutch,
        "eng" => Algorithm::English,
        "fin" => Algorithm::Finnish,
        "fra" => Algorithm::French,
        "deu" => Algorithm::German,
        "ell" => Algorithm::Greek,
        "hun" => Algorithm::Hungarian,
        "ita" => Algorithm::Italian,
        "nob" => Algorithm::Norwegian,
        "por" => Algorithm::Portuguese,
        "ron" => Algorithm::Romanian,
        "rus" => Algorithm::Russian,
        "spa" => Algorithm::Spanish,
        "swe" => Algorithm::Swedish,
        "tam" => Algorithm::Tamil,
        "tur" => Algorithm::Turkish,
        _ => return None,
    })
}

/// Longer runs of letters are encoded data rather than words.
const MAX_WORD: usize = 40;
const WORDS_A_MINUTE: f64 = 238.0;
const IDEOGRAPHS_A_MINUTE: f64 = 260.0;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn function_words_and_numbers_say_nothing() {
        let english = Vocabulary::new(Some("eng"));
        for word in ["the", "which", "it's", "42", "of"] {
            assert_eq!(english.content_stem(word), None, "{word}");
        }
        assert_eq!(english.content_stem("harbors"), english.content_stem("harbor"));
        let french = Vocabulary::new(Some("fra"));
        assert_eq!(french.content_stem("dans"), None);
        assert!(french.content_stem("l'eau").is_some());
    }

    #[test]
    fn scripts_without_spaces_are_told() {
        assert!(needs_dictionary("素早い茶色の狐がのろまな犬を飛び越える"));
        assert!(!needs_dictionary("Быстрая лиса (狐) прыгает"));
    }

    #[test]
    fn reading_takes_a_minute_for_238_words() {
        let text = "word ".repeat(238);
        assert!((reading_seconds(&text, 238) - 60.0).abs() < 1e-9);
    }
}

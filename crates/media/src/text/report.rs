use std::fmt;

use serde::{Deserialize, Serialize};

use crate::report::counted;
use crate::{Depth, Warning};

/// Says what a text contains.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct TextReport {
    /// How far the analysis went.
    pub depth: Depth,
    /// The length in bytes of UTF-8.
    pub bytes: u64,
    /// The number of Unicode scalar values.
    pub characters: u64,
    /// The number of words (UAX #29). In Chinese and Japanese each ideograph counts as one.
    pub words: u64,
    /// The number of lines.
    pub lines: u64,
    /// The number of sentences (UAX #29 with common abbreviations joined); absent where merely inspected.
    pub sentences: Option<u64>,
    /// The number of paragraphs, set apart by blank lines; absent where merely inspected.
    pub paragraphs: Option<u64>,
    /// The time an adult takes to read it silently, in seconds, at 238 words a minute (Brysbaert 2019), or at 260
    /// ideographs a minute.
    pub reading_seconds: f64,
    /// The language; absent where none fits, or merely inspected.
    pub language: Option<Language>,
    /// The keywords, best first.
    pub keywords: Vec<Keyword>,
    /// Up to three sentences that stand for the text, in its order.
    pub summary: Vec<SummarySentence>,
    /// What the report lacks.
    pub warnings: Vec<Warning>,
}

/// Names the language of a text.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Language {
    /// The ISO 639-3 code, e.g. `"eng"`.
    pub code: String,
    /// The English name, e.g. `"English"`.
    pub name: String,
    /// The lead over the next best language, from 0 to 1.
    pub confidence: f64,
    /// Whether the text is long and clear enough to rely on the answer. A few words often are not.
    pub reliable: bool,
}

/// Names what a text is about.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Keyword {
    /// One to three words, in lower case.
    pub phrase: String,
    /// The weight, 1 for the best keyword of the text.
    pub score: f64,
    /// How often the phrase stands in the text.
    pub count: u64,
}

/// Holds a sentence of a summary.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct SummarySentence {
    /// The sentence, with each run of white space made one space.
    pub text: String,
    /// The offset of its first byte in the text.
    pub start: usize,
    /// The offset behind its last byte in the text.
    pub end: usize,
}

impl fmt::Display for TextReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.language {
            Some(language) if language.reliable => {
                write!(f, "{} ({})", language.name, language.code)?;
            }
            Some(language) => write!(f, "perhaps {} ({})", language.name, language.code)?,
            None => write!(f, "text in an unknown language")?,
        }
        write!(f, ", {}", counted(self.words, "word"))?;
        if let Some(sentences) = self.sentences {
            write!(f, ", {}", counted(sentences, "sentence"))?;
        }
        write!(f, ", {:.0} s to read", self.reading_seconds)?;
        if !self.keywords.is_empty() {
            let phrases: Vec<&str> = self.keywords.iter().map(|word| &*word.phrase).collect();
            write!(f, "\nkeywords: {}", phrases.join(", "))?;
        }
        for sentence in &self.summary {
            write!(f, "\n> {}", sentence.text)?;
        }
        for warning in self.warnings.iter().take(2) {
            write!(f, "\nnote: {warning}")?;
        }
        Ok(())
    }
}

//! What a text contains: language, counts, keywords and a summary.
//!
//! Everything is counted over Unicode text segmentation (UAX #29) after hard-wrapped lines are joined, since a line end is a
//! sentence end there. Keywords and summary are both `TextRank` (Mihalcea & Tarau, "`TextRank`: Bringing Order into Texts",
//! EMNLP 2004): one graph of words, one of sentences, ranked by the same damped walk. It needs no corpus and no weights, which
//! supervised extraction would, and prefers what the text itself repeats.

mod keywords;
mod language;
mod rank;
mod report;
mod sentences;
mod stop_words;
mod summary;
mod words;

pub use self::report::{Keyword, Language, SummarySentence, TextReport};

use unicode_segmentation::UnicodeSegmentation as _;

use crate::check::require_size;
use crate::{Depth, Limits, MediaError, Warning, WarningKind};

/// Analyzes a text: language, counts, keywords and a summary of up to three sentences.
///
/// # Errors
///
/// [`MediaError::Empty`] and [`MediaError::TooLarge`].
///
/// # Examples
///
/// ```
/// use bedplate_media::{Limits, text};
///
/// let report = text::analyze(
///     "The harbor wakes before the city does. Boats return with the night's catch, and the market opens.",
///     &Limits::default(),
/// )?;
/// assert_eq!(report.sentences, Some(2));
/// assert_eq!(report.language.map(|language| language.code), Some("eng".to_owned()));
/// # Ok::<(), bedplate_media::MediaError>(())
/// ```
pub fn analyze(text: &str, limits: &Limits) -> Result<TextReport, MediaError> {
    let mut report = inspect(text, limits)?;
    report.depth = Depth::Analyzed;
    report.language = language::detect(text);
    let code = report.language.as_ref().map(|language| &*language.code);
    let vocabulary = words::Vocabulary::new(code);

    let unwrapped = sentences::unwrap_lines(text);
    let sentences = sentences::split(&unwrapped);
    report.sentences = Some(sentences.len() as u64);
    report.paragraphs = Some(sentences::paragraphs(text));

    if limits.text.max_keywords > 0 {
        if words::needs_dictionary(&unwrapped) {
            report.warnings.push(Warning::new(
                WarningKind::NotMeasurable,
                "keywords need words set apart by spaces, which this script has not",
            ));
        } else {
            report.keywords = keywords::extract(&unwrapped, &vocabulary, limits.text.max_keywords);
        }
    }
    if sentences.len() > limits.text.max_sentences {
        report.warnings.push(Warning::new(
            WarningKind::LimitReached,
            format!("the summary weighs the first {} of {} sentences", limits.text.max_sentences, sentences.len()),
        ));
    }
    let ranked = sentences.get(..limits.text.max_sentences).unwrap_or(&sentences);
    report.summary = summary::summarize(&unwrapped, ranked, &vocabulary);
    Ok(report)
}

/// Counts characters, words and lines alone, the cheap form of [`analyze`].
///
/// # Errors
///
/// As [`analyze`].
pub fn inspect(text: &str, limits: &Limits) -> Result<TextReport, MediaError> {
    if text.is_empty() {
        return Err(MediaError::Empty);
    }
    require_size(text.as_bytes(), limits.text.max_bytes)?;
    let words = text.unicode_words().count() as u64;
    Ok(TextReport {
        depth: Depth::Inspected,
        bytes: text.len() as u64,
        characters: text.chars().count() as u64,
        words,
        lines: text.lines().count() as u64,
        sentences: None,
        paragraphs: None,
        reading_seconds: words::reading_seconds(text, words),
        language: None,
        keywords: Vec::new(),
        summary: Vec::new(),
        warnings: Vec::new(),
    })
}

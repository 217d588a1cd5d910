use super::Language;

/// Detects the language over the beginning of the text, which tells it as surely as the whole.
pub(super) fn detect(text: &str) -> Option<Language> {
    let sample = text.get(..text.floor_char_boundary(SAMPLE))?;
    let found = whatlang::detect(sample)?;
    Some(Language {
        code: found.lang().code().to_owned(),
        name: found.lang().eng_name().to_owned(),
        confidence: found.confidence(),
        reliable: found.is_reliable(),
    })
}

const SAMPLE: usize = 16 << 10;

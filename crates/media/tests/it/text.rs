use bedplate_media::text::{TextReport, analyze, inspect};
use bedplate_media::{Depth, Limits, MediaError, WarningKind};

use crate::samples::ENGLISH;

fn report(text: &str) -> TextReport {
    analyze(text, &Limits::default()).unwrap()
}

#[test]
fn languages_are_told_apart() {
    for (code, text) in [
        ("eng", ENGLISH),
        (
            "deu",
            "Die Fischer kehren am frühen Morgen in den Hafen zurück, und der Markt öffnet, sobald die Boote entladen sind.",
        ),
        ("fra", "Les pêcheurs rentrent au port avant l'aube, et le marché ouvre dès que les bateaux sont déchargés."),
        (
            "spa",
            "Los pescadores vuelven al puerto antes del amanecer, y el mercado abre cuando los barcos están descargados.",
        ),
        (
            "ita",
            "I pescatori tornano al porto prima dell'alba, e il mercato apre quando le barche sono state scaricate.",
        ),
        ("rus", "Рыбаки возвращаются в гавань до рассвета, и рынок открывается, как только лодки разгружены."),
        ("jpn", "漁師たちは夜明け前に港に戻り、船の荷下ろしが終わると市場が開く。"),
    ] {
        let language = report(text).language.unwrap();
        assert_eq!(language.code, code);
        assert!(language.reliable, "{code}: {}", language.confidence);
    }
}

#[test]
fn a_few_words_are_no_reliable_witness() {
    let language = report("Der Fuchs springt").language;
    assert!(language.is_none_or(|language| !language.reliable));
    assert_eq!(report("12345 67890").language, None);
}

#[test]
fn counts_agree_with_counting_by_hand() {
    let report = report("One two three.\nFour five? Six!\n\nSeven.");
    assert_eq!(report.depth, Depth::Analyzed);
    assert_eq!((report.words, report.sentences, report.paragraphs, report.lines), (7, Some(4), Some(2), 4));
    assert_eq!((report.bytes, report.characters), (38, 38));
    assert!((report.reading_seconds - 7.0 / 238.0 * 60.0).abs() < 1e-9);
}

#[test]
fn the_summary_quotes_the_text_in_its_order() {
    let report = report(ENGLISH);
    assert_eq!(report.summary.len(), 3);
    let mut end = 0;
    for sentence in &report.summary {
        assert!(sentence.start >= end, "out of order");
        end = sentence.end;
        let quoted = ENGLISH[sentence.start..sentence.end].split_whitespace().collect::<Vec<_>>();
        assert_eq!(quoted.join(" "), sentence.text);
        assert!(sentence.text.ends_with('.'), "{}", sentence.text);
    }
    // The text is about boats, fish and the harbor; a sentence without any of them is no summary of it.
    let all = report.summary.iter().map(|sentence| &*sentence.text).collect::<String>();
    assert!(all.contains("harbor") && all.contains("boats"), "{all}");
}

#[test]
fn keywords_are_what_the_text_repeats() {
    let report = report(ENGLISH);
    let phrases: Vec<&str> = report.keywords.iter().map(|keyword| &*keyword.phrase).collect();
    assert!(phrases.contains(&"fish market"), "{phrases:?}");
    assert!(phrases.iter().take(4).any(|phrase| phrase.contains("harbor")), "{phrases:?}");
    assert!(!phrases.contains(&"the") && !phrases.contains(&"and"), "{phrases:?}");
    assert!((report.keywords[0].score - 1.0).abs() < 1e-12);
    assert!(report.keywords.is_sorted_by(|a, b| a.score >= b.score));
    assert!(report.keywords.len() <= 10);
}

#[test]
fn scripts_without_spaces_get_a_summary_and_a_note() {
    let report = report("狐は速い動物です。犬はよく眠る動物です。狐は犬を飛び越える。空は青い。");
    assert_eq!(report.sentences, Some(4));
    assert!(report.keywords.is_empty());
    assert_eq!(report.summary.len(), 3);
    assert!(report.warnings.iter().any(|warning| warning.kind == WarningKind::NotMeasurable));
}

#[test]
fn limits_bound_the_summary_and_refuse_the_rest() {
    let mut limits = Limits::default();
    limits.text.max_sentences = 3;
    limits.text.max_keywords = 2;
    let report = analyze(ENGLISH, &limits).unwrap();
    assert!(report.keywords.len() <= 2);
    let third = report.summary.last().unwrap().end;
    assert!(third <= ENGLISH.find("Old fishermen").unwrap());
    assert!(report.warnings.iter().any(|warning| warning.kind == WarningKind::LimitReached));
    limits.text.max_bytes = 10;
    assert!(matches!(analyze(ENGLISH, &limits), Err(MediaError::TooLarge { limit: 10, .. })));
    assert!(matches!(analyze("", &limits), Err(MediaError::Empty)));
}

#[test]
fn inspection_counts_alone_and_reports_survive_json() {
    let inspected = inspect(ENGLISH, &Limits::default()).unwrap();
    let analyzed = report(ENGLISH);
    assert_eq!(inspected.depth, Depth::Inspected);
    assert_eq!(inspected.words, analyzed.words);
    assert!(inspected.language.is_none() && inspected.summary.is_empty());
    let json = serde_json::to_string(&analyzed).unwrap();
    assert_eq!(serde_json::from_str::<TextReport>(&json).unwrap(), analyzed);
    let lines = analyzed.to_string().lines().count();
    assert!((2..=8).contains(&lines), "{analyzed}");
}

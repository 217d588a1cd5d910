use super::*;

fn sentences(text: &str) -> Vec<String> {
    let unwrapped = unwrap_lines(text);
    assert_eq!(unwrapped.len(), text.len());
    split(&unwrapped)
        .into_iter()
        .map(|range| {
            unwrapped[range]
                .split_whitespace()
                .collect::<Vec<_>>()
                .join(" ")
        })
        .collect()
}

#[test]
fn hard_wrapped_lines_are_one_sentence() {
    let text = "The quick brown fox that lives behind the old mill\r\njumps over the dog, and then it runs away again.\nIt sleeps.";
    assert_eq!(
        sentences(text),
        [
            "The quick brown fox that lives behind the old mill jumps over the dog, and then it runs away again.",
            "It sleeps."
        ]
    );
}

#[test]
fn lists_headings_and_verses_keep_their_lines() {
    assert_eq!(sentences("Shopping\n- apples\n- pears\n").len(), 3);
    assert_eq!(sentences("Roses are red,\nViolets are blue.\n").len(), 2);
    assert_eq!(
        sentences(
            "# A heading that goes on for rather more than forty-five characters\nThen text."
        )
        .len(),
        2
    );
}

#[test]
fn abbreviations_and_initials_do_not_end_a_sentence() {
    assert_eq!(
        sentences("Dr. Smith met J. Doe. They spoke, e.g. About rain."),
        ["Dr. Smith met J. Doe.", "They spoke, e.g. About rain."]
    );
}

#[test]
fn other_scripts_have_sentences_too() {
    assert_eq!(sentences("狐は速い。犬は眠る。").len(), 2);
    assert_eq!(sentences("Быстрая лиса. Ленивая собака!").len(), 2);
}

#[test]
fn paragraphs_are_set_apart_by_blank_lines() {
    assert_eq!(paragraphs("a\nb\n\n \nc\n"), 2);
    assert_eq!(paragraphs("\n\n"), 0);
}

//! Patterns against examples and a naive matcher.

use proptest::prelude::*;

use super::*;

#[test]
fn examples() {
    let table = [
        ("", "", true),
        ("", "a", false),
        ("*", "", true),
        ("*", "any/thing:at all", true),
        ("a*", "b", false),
        ("product:*:price", "product:7:price", true),
        ("product:*:price", "product:7:8:price", true),
        ("product:*:price", "product:7:prices", false),
        ("*ab*ab", "xxabxxabab", true),
        ("?", "ü", true),
        ("?", "", false),
        ("[abc]x", "bx", true),
        ("[a-c]x", "dx", false),
        ("[^a-c]x", "dx", true),
        ("[!a-c]x", "ax", false),
        ("[a-]", "-", true),
        ("[\\]]", "]", true),
        ("\\*", "*", true),
        ("\\*", "x", false),
    ];
    for (pattern, text, fits) in table {
        let glob = Glob::new(pattern).expect(pattern);
        assert_eq!(glob.fits(text), fits, "{pattern} on {text}");
    }
}

#[test]
fn what_is_no_pattern_is_named_with_its_place() {
    let long = "x".repeat(1025);
    for (pattern, at, reason) in [
        ("a[bc", 1, "not closed"),
        ("[", 0, "not closed"),
        ("x[]", 1, "empty"),
        ("[z-a]", 0, "before it begins"),
        ("[a-\\]]", 0, "before it begins"),
        ("ab\\", 2, "nothing after"),
        ("[\\", 1, "nothing after"),
        (long.as_str(), 1024, "more than 1024"),
    ] {
        let error = Glob::new(pattern).expect_err(pattern);
        assert_eq!(error.at(), at, "{error}");
        assert!(error.to_string().contains(reason), "{error}");
        assert!(error.pattern().len() <= 1024);
    }
}

#[test]
fn many_stars_do_not_explode() {
    let glob = Glob::new(&"*a".repeat(500)).expect("a pattern");
    assert!(!glob.fits(&"a".repeat(499)));
    assert!(!glob.fits(&format!("{}b", "a".repeat(20_000))));
}

/// The definition, written as it is said.
fn naive(pattern: &[char], text: &[char]) -> bool {
    match (pattern.split_first(), text.split_first()) {
        (None, None) => true,
        (Some(('*', after)), _) => (0..=text.len()).any(|skipped| naive(after, &text[skipped..])),
        (Some(('?', after)), Some((_, rest))) => naive(after, rest),
        (Some((own, after)), Some((c, rest))) if own == c => naive(after, rest),
        _ => false,
    }
}

proptest! {
    #[test]
    fn it_fits_what_the_definition_fits(pattern in "[ab*?]{0,8}", text in "[ab]{0,10}") {
        let (glob, chars) = (Glob::new(&pattern).expect("no class, no escape"), |text: &str| text.chars().collect::<Vec<_>>());
        prop_assert_eq!(glob.fits(&text), naive(&chars(&pattern), &chars(&text)));
    }

    #[test]
    fn no_text_makes_it_panic(pattern in ".{0,40}", text in ".{0,40}") {
        if let Ok(glob) = Glob::new(&pattern) {
            let _fits = glob.fits(&text);
        }
    }
}

//! Prefixes and globs as other nodes and the tier know them.

use std::collections::VecDeque;
use std::sync::Arc;

use crate::invalidation::{Glob, Scope};
use crate::remote::{CompiledPattern, Stamp};

use super::KeyText;

/// What a text must be to be meant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Pattern {
    Prefix(Arc<str>),
    Glob(Glob),
}

impl Pattern {
    pub(crate) fn to_wire(&self) -> String {
        match self {
            Self::Prefix(prefix) => format!("p{prefix}"),
            Self::Glob(glob) => format!("g{glob}"),
        }
    }

    /// Reads what came over the wire; `None` for what is no pattern.
    pub(crate) fn from_wire(text: &str) -> Option<Self> {
        if let Some(prefix) = text.strip_prefix('p') {
            return Some(Self::Prefix(Arc::from(prefix)));
        }
        text.strip_prefix('g').and_then(|glob| Glob::new(glob).ok()).map(Self::Glob)
    }

    pub(crate) fn fits(&self, text: &str) -> bool {
        match self {
            Self::Prefix(prefix) => text.starts_with(&**prefix),
            Self::Glob(glob) => glob.fits(text),
        }
    }

    pub(crate) fn scope<K: 'static>(self, keys: KeyText<K>) -> Scope<K> {
        let name = self.to_wire();
        Scope::Pattern { name, fits: Box::new(move |key| self.fits(&keys.text(key))) }
    }
}

/// What a link is to make of a pattern.
pub(crate) fn compile(pattern: &str) -> CompiledPattern {
    let pattern = Pattern::from_wire(pattern);
    Box::new(move |key| {
        let fits = |pattern: &Pattern| std::str::from_utf8(key).is_ok_and(|text| pattern.fits(text));
        pattern.as_ref().is_some_and(fits)
    })
}

/// The patterns that were invalidated, here or elsewhere: a tier knows none, so what it gives out is
/// compared with them.
#[derive(Debug, Default)]
pub(crate) struct Patterns {
    recent: VecDeque<(Stamp, Pattern)>,
    /// Everything older is taken for old, since patterns that it would have to be compared with were
    /// forgotten.
    floor: Option<Stamp>,
}

impl Patterns {
    pub(crate) fn note(&mut self, stamp: Stamp, pattern: Pattern) {
        // Words of two nodes may come in any order.
        let known = self.recent.iter().find(|(_, known)| *known == pattern).map(|(stamp, _)| *stamp);
        let stamp = known.map_or(stamp, |known| known.max(stamp));
        self.recent.retain(|(_, known)| *known != pattern);
        self.recent.push_back((stamp, pattern));
        if self.recent.len() > MAX_PATTERNS
            && let Some((forgotten, _)) = self.recent.pop_front()
        {
            self.floor = self.floor.max(Some(forgotten));
        }
    }

    /// Tells whether a value of this key and stamp was invalidated.
    pub(crate) fn hide(&self, key: &str, stamp: Stamp) -> bool {
        self.floor.is_some_and(|floor| stamp < floor)
            || self.recent.iter().any(|(newer, pattern)| stamp < *newer && pattern.fits(key))
    }
}

/// Each is matched against the key of a value from the tier that is older.
const MAX_PATTERNS: usize = 256;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::remote::NodeId;

    fn at(millis: u64) -> Stamp {
        Stamp::new(millis, 0, NodeId::new(1))
    }

    #[test]
    fn what_is_older_and_fits_is_hidden() {
        let mut patterns = Patterns::default();
        patterns.note(at(10), Pattern::Prefix("a".into()));
        patterns.note(at(20), Pattern::Glob(Glob::new("*b").unwrap()));
        assert!(patterns.hide("ax", at(9)));
        assert!(!patterns.hide("ax", at(10)));
        assert!(patterns.hide("xb", at(19)));
        assert!(!patterns.hide("xc", at(1)));
    }

    #[test]
    fn what_was_forgotten_hides_all_that_is_older() {
        let mut patterns = Patterns::default();
        for n in 0..=u64::try_from(MAX_PATTERNS).unwrap() {
            patterns.note(at(n + 10), Pattern::Prefix(n.to_string().into()));
        }
        assert!(patterns.hide("anything", at(9)));
        assert!(!patterns.hide("anything", at(10)));
        assert_eq!(patterns.recent.len(), MAX_PATTERNS);
    }

    #[test]
    fn an_older_word_of_the_same_pattern_takes_nothing_back() {
        let mut patterns = Patterns::default();
        patterns.note(at(20), Pattern::Prefix("a".into()));
        patterns.note(at(10), Pattern::Prefix("a".into()));
        assert!(patterns.hide("ax", at(15)));
    }

    #[test]
    fn the_wire_keeps_a_pattern_and_refuses_what_is_none() {
        for pattern in
            [Pattern::Prefix("".into()), Pattern::Prefix("g*".into()), Pattern::Glob(Glob::new("a?[b]").unwrap())]
        {
            assert_eq!(Pattern::from_wire(&pattern.to_wire()), Some(pattern));
        }
        assert_eq!(Pattern::from_wire("g["), None);
        assert_eq!(Pattern::from_wire("x"), None);
        assert!(!compile("g[")(b"anything"));
        assert!(compile("pa")(b"ab") && !compile("pa")(b"\xff"));
    }
}

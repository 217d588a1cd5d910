//! Characters to the units of the engine, which counts a character beyond the basic plane as two, as JavaScript does.

use yrs::types::text::YChange;
use yrs::{Any, Out, Text as _, TextRef, Transaction};

/// How many characters a text has, and which of them are two units wide.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Widths {
    /// Every character is one unit wide, as almost always.
    Narrow(usize),
    /// The width of each character.
    Mixed(Vec<u8>),
}

/// Counts the characters of a text. If something is in it that no text shows, as a hostile replica can bring about, its
/// units are counted instead, so that it can still be edited.
pub(super) fn count(text: &TextRef, transaction: &Transaction<'_>) -> Widths {
    let mut widths = Widths::Narrow(0);
    for piece in text.diff(transaction, YChange::identity) {
        let end = widths.len();
        match piece.insert {
            Out::Any(Any::String(string)) => drop(widths.insert(end, &string)),
            _object => drop(widths.insert(end, OBJECT)),
        }
    }
    let units = text.len(transaction);
    if widths.units(0..widths.len()) == units {
        widths
    } else {
        Widths::Narrow(usize::try_from(units).unwrap_or(usize::MAX))
    }
}

/// Stands for an embedded object, which is one unit wide.
const OBJECT: &str = "\u{fffc}";

impl Widths {
    pub(super) const fn len(&self) -> usize {
        match self {
            Self::Narrow(len) => *len,
            Self::Mixed(widths) => widths.len(),
        }
    }

    /// Takes note of an insertion before the character `at`, and returns the unit there.
    pub(super) fn insert(&mut self, at: usize, text: &str) -> u32 {
        let unit = self.units(0..at);
        let widths = text.chars().map(|c| if c.len_utf16() == 2 { 2 } else { 1 });
        match self {
            Self::Narrow(len) if widths.clone().all(|width| width == 1) => *len += widths.count(),
            Self::Narrow(len) => {
                let mut all = vec![1; *len];
                all.splice(at..at, widths);
                *self = Self::Mixed(all);
            }
            Self::Mixed(all) => drop(all.splice(at..at, widths)),
        }
        unit
    }

    /// Takes note of a deletion from the character `at` on, and returns the unit there and how many units go.
    pub(super) fn delete(&mut self, at: usize, len: usize) -> (u32, u32) {
        let gone = (self.units(0..at), self.units(at..at + len));
        match self {
            Self::Narrow(all) => *all -= len,
            Self::Mixed(all) => {
                all.drain(at..at + len);
                if all.iter().all(|width| *width == 1) {
                    *self = Self::Narrow(all.len());
                }
            }
        }
        gone
    }

    fn units(&self, range: std::ops::Range<usize>) -> u32 {
        match self {
            Self::Narrow(_) => u32::try_from(range.len()).unwrap_or(u32::MAX),
            Self::Mixed(all) => all.get(range).unwrap_or_default().iter().map(|width| u32::from(*width)).sum(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wide_characters_take_two_units_until_they_are_gone() {
        let mut widths = Widths::Narrow(0);
        assert_eq!(widths.insert(0, "ab"), 0);
        assert_eq!(widths.insert(1, "🦀"), 1);
        assert_eq!(widths.insert(3, "é"), 4);
        assert_eq!(widths, Widths::Mixed(vec![1, 2, 1, 1]));
        assert_eq!(widths.delete(1, 2), (1, 3));
        assert_eq!(widths, Widths::Narrow(2));
    }
}

use std::fmt::{self, Write as _};

/// A field's value; texts stand in the bytes beside it, so that recording one allocates nothing once those have grown.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Value {
    I64(i64),
    U64(u64),
    F64(f64),
    Bool(bool),
    Text(Text),
}

/// A place in [`Texts`].
#[derive(Debug, Clone, Copy)]
pub(crate) struct Text {
    start: u32,
    len: u32,
    /// Whether JSON needs no escapes for it, looked at once.
    plain: bool,
}

pub(crate) type Attribute = (&'static str, Value);

impl Text {
    pub(crate) const EMPTY: Self = Self { start: 0, len: 0, plain: true };

    pub(crate) const fn plain(self) -> bool {
        self.plain
    }

    /// The same text where its bytes were appended to others.
    pub(crate) const fn moved(self, by: u32) -> Self {
        Self { start: self.start.saturating_add(by), ..self }
    }
}

impl Value {
    pub(crate) const fn moved(self, by: u32) -> Self {
        match self {
            Self::Text(text) => Self::Text(text.moved(by)),
            other => other,
        }
    }
}

/// The bytes of texts, one after another.
#[derive(Debug, Clone, Default)]
pub(crate) struct Texts(Vec<u8>);

impl Texts {
    /// More than this is not kept of one span or trace segment's part: places are 32 bits wide.
    pub(crate) const MAX: usize = 256 * 1024;

    pub(crate) fn clear(&mut self) {
        // What one huge span grew is not kept forever.
        if self.0.capacity() > 16 * 1024 {
            self.0 = Vec::new();
        }
        self.0.clear();
    }

    pub(crate) fn len(&self) -> u32 {
        u32::try_from(self.0.len()).unwrap_or(u32::MAX)
    }

    pub(crate) const fn capacity(&self) -> usize {
        self.0.capacity()
    }

    /// Appends a text, cut to `limit` bytes.
    pub(crate) fn push(&mut self, text: &str, limit: usize) -> Text {
        let start = self.0.len();
        let cut = if text.len() <= limit { text } else { text.get(..floor_boundary(text, limit)).unwrap_or_default() };
        self.0.extend_from_slice(cut.as_bytes());
        self.end(start)
    }

    /// Appends what a value's `Debug` or `Display` writes, cut to `limit` bytes; what lies beyond is not even formatted.
    pub(crate) fn push_args(&mut self, text: fmt::Arguments<'_>, limit: usize) -> Text {
        let start = self.0.len();
        // An error says that the limit was reached, or comes from the value itself; what was written stands.
        let _cut = Bounded { bytes: &mut self.0, left: limit }.write_fmt(text);
        self.end(start)
    }

    /// Forgets the texts, with what they have grown.
    pub(crate) fn empty(&mut self) {
        self.0.clear();
    }

    /// A copy of so many bytes from here.
    pub(crate) fn part(&self, from: usize, bytes: u32) -> Self {
        Self(self.0.get(from..from + bytes as usize).unwrap_or_default().to_vec())
    }

    pub(crate) fn append(&mut self, other: &Self) {
        self.0.extend_from_slice(&other.0);
    }

    pub(crate) fn bytes(&self, text: Text) -> &[u8] {
        let start = text.start as usize;
        self.0.get(start..start + text.len as usize).unwrap_or_default()
    }

    pub(crate) fn get(&self, text: Text) -> &str {
        // Only whole texts are pushed, so the places are those of valid UTF-8.
        std::str::from_utf8(self.bytes(text)).unwrap_or_default()
    }

    /// Writes over a text of at least this length, else appends; so a field recorded in a loop does not grow the bytes.
    pub(crate) fn replace(&mut self, old: Text, text: Text) -> Text {
        if text.len > old.len || text.start + text.len != self.len() {
            return text;
        }
        let (from, to) = (text.start as usize, old.start as usize);
        self.0.copy_within(from.., to);
        self.0.truncate(from);
        Text { start: old.start, ..text }
    }

    #[inline]
    fn end(&self, start: usize) -> Text {
        let plain = self.0.get(start..).is_none_or(|bytes| bytes.iter().all(|byte| is_plain(*byte)));
        let len = self.0.len() - start;
        Text { start: u32::try_from(start).unwrap_or(u32::MAX), len: u32::try_from(len).unwrap_or(u32::MAX), plain }
    }
}

/// Whether a byte stands for itself in a JSON string.
pub(crate) const fn is_plain(byte: u8) -> bool {
    byte >= 0x20 && byte != b'"' && byte != b'\\'
}

fn floor_boundary(text: &str, limit: usize) -> usize {
    (0..=limit.min(text.len())).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0)
}

struct Bounded<'a> {
    bytes: &'a mut Vec<u8>,
    left: usize,
}

impl fmt::Write for Bounded<'_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let fits = floor_boundary(text, self.left);
        self.bytes.extend_from_slice(text.get(..fits).unwrap_or_default().as_bytes());
        self.left -= fits;
        if fits == text.len() { Ok(()) } else { Err(fmt::Error) }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn texts_come_back_cut_at_a_character(parts in prop::collection::vec(any::<String>(), 1..8), limit in 0_usize..40) {
            let mut texts = Texts::default();
            let places: Vec<Text> = parts.iter().enumerate().map(|(index, part)| {
                if index % 2 == 0 { texts.push(part, limit) } else { texts.push_args(format_args!("{part}"), limit) }
            }).collect();
            for (part, place) in parts.iter().zip(places) {
                let got = texts.get(place);
                prop_assert!(part.starts_with(got) && got.len() <= limit);
                prop_assert!(got.len() == part.len() || got.len() + 4 > limit);
                prop_assert_eq!(place.plain(), got.bytes().all(is_plain));
            }
        }
    }

    #[test]
    fn a_value_written_again_and_again_takes_no_more_room() {
        let mut texts = Texts::default();
        let mut place = texts.push("waiting for a worker", 100);
        let beside = texts.push("beside", 100);
        for _ in 0..1_000 {
            let new = texts.push("done", 100);
            place = texts.replace(place, new);
        }
        assert_eq!((texts.get(place), texts.get(beside), texts.len()), ("done", "beside", 26));
    }
}

//! JSON by hand, into bytes that are used again.

use std::io::Write as _;

use crate::trace::value::{Texts, Value, is_plain};

pub(crate) fn value(out: &mut Vec<u8>, value: Value, texts: &Texts) {
    match value {
        Value::Text(text) if text.plain() => {
            out.push(b'"');
            out.extend_from_slice(texts.bytes(text));
            out.push(b'"');
        }
        Value::Text(text) => string(out, texts.get(text)),
        Value::Bool(true) => out.extend_from_slice(b"true"),
        Value::Bool(false) => out.extend_from_slice(b"false"),
        Value::U64(number) => integer(out, number),
        Value::I64(number) => {
            if number < 0 {
                out.push(b'-');
            }
            integer(out, number.unsigned_abs());
        }
        // What JSON has no number for is a string. Writing to a vector cannot fail.
        Value::F64(number) if number.is_finite() => {
            let _infallible = write!(out, "{number:?}");
        }
        Value::F64(number) => {
            let _infallible = write!(out, "\"{number}\"");
        }
    }
}

pub(crate) fn string(out: &mut Vec<u8>, text: &str) {
    out.push(b'"');
    let bytes = text.as_bytes();
    let mut from = 0;
    for (at, byte) in bytes.iter().enumerate() {
        if is_plain(*byte) {
            continue;
        }
        out.extend_from_slice(bytes.get(from..at).unwrap_or_default());
        from = at + 1;
        match byte {
            b'"' => out.extend_from_slice(b"\\\""),
            b'\\' => out.extend_from_slice(b"\\\\"),
            b'\n' => out.extend_from_slice(b"\\n"),
            b'\r' => out.extend_from_slice(b"\\r"),
            b'\t' => out.extend_from_slice(b"\\t"),
            control => {
                out.extend_from_slice(b"\\u00");
                hex(out, u128::from(*control), 2);
            }
        }
    }
    out.extend_from_slice(bytes.get(from..).unwrap_or_default());
    out.push(b'"');
}

pub(crate) fn integer(out: &mut Vec<u8>, mut number: u64) {
    let mut digits = [0; 20];
    let mut used = 0;
    for place in digits.iter_mut().rev() {
        *place = digit(number % 10);
        number /= 10;
        used += 1;
        if number == 0 {
            break;
        }
    }
    out.extend_from_slice(digits.get(digits.len() - used..).unwrap_or_default());
}

pub(crate) fn hex(out: &mut Vec<u8>, number: u128, digits: u32) {
    for place in (0..digits).rev() {
        let nibble = u8::try_from(number >> (4 * place) & 0xf).unwrap_or(0);
        out.push(if nibble < 10 { b'0' + nibble } else { b'a' + nibble - 10 });
    }
}

/// The second that was last written, since most lines of a thread fall into the same.
#[derive(Debug, Default)]
pub(crate) struct LastSecond {
    second: u64,
    text: Vec<u8>,
}

impl LastSecond {
    /// Writes nanoseconds since the Unix epoch as RFC 3339 has it, in UTC with microseconds.
    pub(crate) fn write(&mut self, out: &mut Vec<u8>, nanos: u64) {
        let second = nanos / 1_000_000_000;
        if self.text.is_empty() || self.second != second {
            self.second = second;
            self.text.clear();
            date(&mut self.text, second);
        }
        out.extend_from_slice(&self.text);
        let micros = nanos % 1_000_000_000 / 1_000;
        out.push(b'.');
        padded(out, micros, 6);
        out.push(b'Z');
    }
}

/// The civil date of days since the epoch, by Howard Hinnant's `days_to_civil`, for days that are never negative.
fn date(out: &mut Vec<u8>, second: u64) {
    let (days, rest) = (second / 86_400 + 719_468, second % 86_400);
    let (era, day_of_era) = (days / 146_097, days % 146_097);
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted + 2) / 5 + 1;
    let month = if shifted < 10 { shifted + 3 } else { shifted - 9 };
    let year = year_of_era + era * 400 + u64::from(month <= 2);
    for (number, digits, after) in [(year, 4, b'-'), (month, 2, b'-'), (day, 2, b'T')] {
        padded(out, number, digits);
        out.push(after);
    }
    padded(out, rest / 3_600, 2);
    out.push(b':');
    padded(out, rest % 3_600 / 60, 2);
    out.push(b':');
    padded(out, rest % 60, 2);
}

fn padded(out: &mut Vec<u8>, number: u64, digits: u32) {
    for place in (0..digits).rev() {
        out.push(digit(number / 10_u64.pow(place) % 10));
    }
}

fn digit(number: u64) -> u8 {
    b'0' + u8::try_from(number).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn written(write: impl FnOnce(&mut Vec<u8>)) -> String {
        let mut out = Vec::new();
        write(&mut out);
        String::from_utf8(out).unwrap()
    }

    proptest! {
        #[test]
        fn strings_are_what_serde_reads(text in any::<String>()) {
            let json = written(|out| string(out, &text));
            prop_assert_eq!(serde_json::from_str::<String>(&json).unwrap(), text);
        }

        #[test]
        fn numbers_are_what_serde_reads(signed in any::<i64>(), unsigned in any::<u64>(), float in any::<f64>()) {
            let texts = Texts::default();
            let json = |number| written(|out| value(out, number, &texts));
            prop_assert_eq!(json(Value::I64(signed)), signed.to_string());
            prop_assert_eq!(json(Value::U64(unsigned)), unsigned.to_string());
            let read: serde_json::Value = serde_json::from_str(&json(Value::F64(float))).unwrap();
            if float.is_finite() {
                let back = read.as_f64().unwrap();
                prop_assert!((back - float).abs() <= float.abs() * 1e-15, "{back} for {float}");
            } else {
                prop_assert!(read.is_string());
            }
        }

        #[test]
        fn times_are_those_of_a_calendar(nanos in 0_u64..8_000_000_000_000_000_000) {
            let time = written(|out| LastSecond::default().write(out, nanos));
            let truth = jiff::Timestamp::from_nanosecond(i128::from(nanos / 1_000 * 1_000)).unwrap();
            prop_assert_eq!(time, format!("{truth:.6}"));
        }
    }
}

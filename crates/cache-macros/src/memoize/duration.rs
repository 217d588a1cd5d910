//! Durations as they are written: `250ms`, `60s`, `5m`, `1h 30m`, `7d`.

use syn::{Error, LitStr, Result};

/// Returns the milliseconds that a text says; more than zero.
pub(super) fn milliseconds(text: &LitStr) -> Result<u64> {
    let wrong = || {
        let expected = "expected a duration of more than zero such as \"250ms\", \"60s\", \"5m\", \"1h 30m\" or \"7d\"";
        Error::new_spanned(text, expected)
    };
    parse(&text.value()).filter(|milliseconds| *milliseconds > 0).ok_or_else(wrong)
}

fn parse(text: &str) -> Option<u64> {
    let mut rest = text.trim();
    let mut sum = 0u64;
    let mut last = u64::MAX;
    while !rest.is_empty() {
        let (number, after) = rest.split_at(rest.find(|c: char| !c.is_ascii_digit())?);
        let after = after.trim_start();
        let (unit, after) = after.split_at(after.find(|c: char| !c.is_ascii_alphabetic()).unwrap_or(after.len()));
        let scale = match unit {
            "ms" => 1,
            "s" => 1000,
            "m" => 60 * 1000,
            "h" => 60 * 60 * 1000,
            "d" => 24 * 60 * 60 * 1000,
            _ => return None,
        };
        // Large units first, each once: what is written otherwise was meant otherwise.
        if scale >= last {
            return None;
        }
        last = scale;
        sum = sum.checked_add(number.parse::<u64>().ok()?.checked_mul(scale)?)?;
        rest = after.trim_start();
    }
    Some(sum)
}

#[cfg(test)]
mod tests {
    use super::parse;

    #[test]
    fn units_add_up() {
        let cases =
            [("250ms", 250), ("60s", 60_000), ("1h 30m", 5_400_000), ("1h30m", 5_400_000), (" 7 d ", 604_800_000)];
        for (text, milliseconds) in cases {
            assert_eq!(parse(text), Some(milliseconds), "{text}");
        }
    }

    #[test]
    fn what_is_no_duration_is_none() {
        for text in
            ["60", "s", "-1s", "1.5s", "1x", "1s1s", "1m1h", "99999999999999999999s", "1s,", "18446744073709551615d"]
        {
            assert_eq!(parse(text), None, "{text}");
        }
    }
}

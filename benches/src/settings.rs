//! How long and how often to measure.

use std::time::Duration;

/// How long and how often to measure, and which cases.
#[derive(Debug, Clone)]
#[must_use]
pub struct Settings {
    pub(crate) rounds: usize,
    pub(crate) sample: Duration,
    pub(crate) filter: Option<String>,
    pub(crate) smoke: bool,
}

impl Settings {
    /// Makes settings that give figures: 41 rounds of samples of about 4 ms.
    pub const fn full() -> Self {
        Self { rounds: 41, sample: Duration::from_millis(4), filter: None, smoke: false }
    }

    /// Makes settings that only show that everything runs: 3 rounds of samples of about 100 µs.
    pub const fn smoke() -> Self {
        Self { rounds: 3, sample: Duration::from_micros(100), filter: None, smoke: true }
    }

    /// Reads the process's arguments, and `BEDPLATE_BENCH_SMOKE`.
    pub fn from_process() -> Self {
        #[expect(
            clippy::disallowed_methods,
            reason = "a bench is a program: CI asks it for a smoke run through the environment"
        )]
        let asked = std::env::var("BEDPLATE_BENCH_SMOKE").is_ok_and(|value| value != "0" && !value.is_empty());
        Self::from_args(std::env::args().skip(1), asked)
    }

    /// Reads arguments: `--smoke` and `--test` ask for a smoke run, a word is a filter, other
    /// options are cargo's and mean nothing here.
    fn from_args(args: impl IntoIterator<Item = String>, smoke: bool) -> Self {
        let (options, words): (Vec<_>, Vec<_>) = args.into_iter().partition(|arg| arg.starts_with('-'));
        let smoke = smoke || options.iter().any(|option| option == "--smoke" || option == "--test");
        let mut settings = if smoke { Self::smoke() } else { Self::full() };
        settings.filter = words.into_iter().next();
        settings
    }

    /// Tells whether the filter, if there is one, lets this name pass.
    pub fn wants(&self, name: &str) -> bool {
        self.selects(name)
    }

    pub(crate) fn selects(&self, case: &str) -> bool {
        self.filter.as_ref().is_none_or(|filter| case.contains(filter.as_str()))
    }

    /// Tells whether this is a smoke run, so that a target can prepare less.
    pub const fn is_smoke(&self) -> bool {
        self.smoke
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(args: &[&str]) -> Settings {
        Settings::from_args(args.iter().map(|arg| (*arg).to_owned()), false)
    }

    #[test]
    fn what_cargo_passes_is_accepted() {
        let settings = parse(&["--bench", "--nocapture", "hit"]);
        assert!(!settings.is_smoke() && settings.selects("hit_u64") && !settings.selects("miss"));
        assert!(parse(&["--smoke", "--bench"]).is_smoke());
        assert!(parse(&["--test"]).is_smoke());
        assert!(Settings::from_args([], true).is_smoke());
    }
}

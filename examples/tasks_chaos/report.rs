use std::fmt;

/// What a case found, and which targets it missed.
pub(crate) struct Report {
    case: &'static str,
    store: &'static str,
    figures: Vec<(&'static str, String)>,
    misses: Vec<String>,
}

impl Report {
    pub(crate) fn new(case: &'static str, store: &'static str) -> Self {
        Self { case, store, figures: Vec::new(), misses: Vec::new() }
    }

    pub(crate) fn figure(&mut self, name: &'static str, value: impl fmt::Display) {
        self.figures.push((name, value.to_string()));
    }

    /// Adds a figure that must not be above its target.
    pub(crate) fn at_most(&mut self, name: &'static str, value: u64, target: u64) {
        self.figure(name, value);
        if value > target {
            self.misses.push(format!("{name} is {value}, the target is at most {target}"));
        }
    }

    /// Adds a figure that must not be below its target.
    pub(crate) fn at_least(&mut self, name: &'static str, value: u64, target: u64) {
        self.figure(name, value);
        if value < target {
            self.misses.push(format!("{name} is {value}, the target is at least {target}"));
        }
    }

    pub(crate) fn misses(&self) -> &[String] {
        &self.misses
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "CHAOS {} {}", self.case.to_uppercase(), self.store)?;
        self.figures.iter().try_for_each(|(name, value)| write!(f, " {name}={value}"))
    }
}

/// The value below which 99 of 100 are; 0 of none.
pub(crate) fn p99(mut values: Vec<u64>) -> u64 {
    values.sort_unstable();
    let rank = (values.len() * 99).div_ceil(100);
    values.get(rank.saturating_sub(1)).copied().unwrap_or(0)
}

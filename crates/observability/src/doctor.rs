use std::fmt;

use serde::{Deserialize, Serialize};

/// Where a setting comes from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum Source {
    /// Nobody set it; of the parts of [`Logs`](crate::Logs) and [`Traces`](crate::Traces), also what the program set to
    /// the value it has by default.
    Default,
    /// The program set it.
    Code,
    /// This variable of the environment set it.
    Environment(String),
}

/// A setting as it holds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Setting {
    /// Its name.
    pub name: String,
    /// Its value.
    pub value: String,
    /// Where it comes from.
    pub source: Source,
}

/// What a check found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Finding {
    /// The check's name.
    pub check: String,
    /// Whether all is well.
    pub ok: bool,
    /// What was seen.
    pub detail: String,
}

/// The settings as they hold, where each comes from, and what checks found; displayed as a table.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Doctor {
    /// The settings.
    pub settings: Vec<Setting>,
    /// The checks' findings.
    pub findings: Vec<Finding>,
}

impl Doctor {
    /// Returns whether every check found all well.
    #[must_use]
    pub fn is_healthy(&self) -> bool {
        self.findings.iter().all(|finding| finding.ok)
    }
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::Code => f.write_str("code"),
            Self::Environment(name) => f.write_str(name),
        }
    }
}

impl fmt::Display for Doctor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Between lines, so that who prints it ends the last.
        let mut end = "";
        for Setting { name, value, source } in &self.settings {
            write!(f, "{end}{name:<28} {value:<40} ({source})")?;
            end = "\n";
        }
        for Finding { check, ok, detail } in &self.findings {
            write!(f, "{end}{} {check:<26} {detail}", if *ok { "ok  " } else { "FAIL" })?;
            end = "\n";
        }
        Ok(())
    }
}

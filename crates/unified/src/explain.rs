use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;

use serde::Serialize;
use serde_json::Value;

use crate::{BuildError, Mode, Settings};

/// Where a setting's value comes from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum SettingSource {
    /// The mode's preset.
    Mode(Mode),
    /// A configuration file, or a text given in its place.
    File(PathBuf),
    /// A call of the builder.
    Code,
}

impl fmt::Display for SettingSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Mode(mode) => write!(f, "mode {mode}"),
            Self::File(path) => write!(f, "file {}", path.display()),
            Self::Code => f.write_str("code"),
        }
    }
}

/// One effective setting.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Setting {
    /// Its path, as `cache.max_bytes`.
    pub key: String,
    /// Its value.
    pub value: Value,
    /// Where the value comes from.
    pub source: SettingSource,
}

/// Every effective setting of a system with where it comes from, sorted by path. Displays as a table.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Explanation {
    /// The mode that was chosen.
    pub mode: Mode,
    /// The settings.
    pub settings: Vec<Setting>,
}

impl Explanation {
    /// Returns the setting of this path.
    #[must_use]
    pub fn setting(&self, key: &str) -> Option<&Setting> {
        self.settings.iter().find(|setting| setting.key == key)
    }
}

impl fmt::Display for Explanation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let width = self.settings.iter().map(|setting| setting.key.len()).max().unwrap_or(0);
        write!(f, "mode {}", self.mode)?;
        for Setting { key, value, source } in &self.settings {
            write!(f, "\n  {key:<width$}  {:<12}  {source}", value.to_string())?;
        }
        Ok(())
    }
}

/// Settings that remember, for each value, which layer gave it.
#[derive(Debug, Clone)]
pub(crate) struct Layered {
    pub(crate) settings: Settings,
    mode: Mode,
    sources: BTreeMap<String, SettingSource>,
}

impl Layered {
    pub(crate) fn new(mode: Mode) -> Self {
        Self { settings: mode.settings(), mode, sources: BTreeMap::new() }
    }

    /// Lays a TOML text over the settings.
    pub(crate) fn overlay(&mut self, text: &str, path: PathBuf) -> Result<(), BuildError> {
        let source = SettingSource::File(path);
        let parsed: toml::Table = toml::from_str(text).map_err(|error| BuildError::file(&source, error))?;
        let layer = serde_json::to_value(parsed).map_err(|error| BuildError::file(&source, error))?;
        let mut merged = self.tree();
        merge(&mut merged, &layer);
        self.settings = serde_path_to_error::deserialize(merged)
            .map_err(|error| BuildError::setting(error.path().to_string(), &source, error.inner()))?;
        for key in flatten(&layer).into_keys() {
            self.sources.insert(key, source.clone());
        }
        Ok(())
    }

    /// Lets code change the settings, and notes what it changed.
    pub(crate) fn change(&mut self, change: impl FnOnce(&mut Settings)) {
        let before = flatten(&self.tree());
        change(&mut self.settings);
        for (key, value) in flatten(&self.tree()) {
            if before.get(&key) != Some(&value) {
                self.sources.insert(key, SettingSource::Code);
            }
        }
    }

    pub(crate) fn explain(&self) -> Explanation {
        let settings = flatten(&self.tree())
            .into_iter()
            .map(|(key, value)| {
                let source = self.sources.get(&key).cloned().unwrap_or(SettingSource::Mode(self.mode));
                Setting { key, value, source }
            })
            .collect();
        Explanation { mode: self.mode, settings }
    }

    fn tree(&self) -> Value {
        serde_json::to_value(&self.settings).unwrap_or(Value::Null)
    }
}

fn merge(base: &mut Value, layer: &Value) {
    match (base, layer) {
        (Value::Object(base), Value::Object(layer)) => {
            for (key, value) in layer {
                merge(base.entry(key).or_insert(Value::Null), value);
            }
        }
        (base, layer) => *base = layer.clone(),
    }
}

/// The leaves of a tree by their paths.
fn flatten(tree: &Value) -> BTreeMap<String, Value> {
    fn walk(prefix: &str, value: &Value, leaves: &mut BTreeMap<String, Value>) {
        match value {
            Value::Object(fields) => {
                for (key, value) in fields {
                    let path = if prefix.is_empty() { key.clone() } else { format!("{prefix}.{key}") };
                    walk(&path, value, leaves);
                }
            }
            leaf => {
                leaves.insert(prefix.to_owned(), leaf.clone());
            }
        }
    }
    let mut leaves = BTreeMap::new();
    walk("", tree, &mut leaves);
    leaves
}

/// A setting that cannot be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{field} is {value}, expected {expected}")]
#[non_exhaustive]
pub struct ConfigError {
    /// The setting.
    pub field: &'static str,
    /// What was given.
    pub value: String,
    /// What would be right.
    pub expected: &'static str,
}

/// Telemetry that cannot be installed for the whole process.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum InstallError {
    /// Another subscriber is installed already; one process has one.
    #[error("a global tracing subscriber is installed already, expected install to be called once and first")]
    AlreadyInstalled,
    /// A setting that cannot be.
    #[error(transparent)]
    Config(#[from] ConfigError),
}

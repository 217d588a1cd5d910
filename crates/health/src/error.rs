/// A health service that cannot be built.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// A setting lies outside its bounds.
    #[error("{field} is {value}, expected {expected}")]
    OutOfBounds {
        /// The setting.
        field: &'static str,
        /// What was given.
        value: String,
        /// What would be right.
        expected: &'static str,
    },
    /// Two components have one name.
    #[error("component.name {name:?} is given twice, expected each name once")]
    DuplicateName {
        /// The name.
        name: String,
    },
    /// A component has no check.
    #[error("component {name:?} has no check, expected a call of check or check_fn")]
    MissingCheck {
        /// The component's name.
        name: String,
    },
    /// No tokio runtime is current to run the checks on.
    #[error("no tokio runtime is current, expected start to be called within one")]
    NoRuntime,
}

/// What a running health service refuses.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum HealthError {
    /// No component has this name.
    #[error("no component is named {name:?}, expected one of: {known}")]
    UnknownComponent {
        /// The name that was asked for.
        name: String,
        /// The names there are, separated by commas.
        known: String,
    },
    /// The health service is stopped.
    #[error("the health service is stopped")]
    Stopped,
}

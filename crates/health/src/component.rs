use std::fmt;
use std::sync::Arc;

use crate::check::CheckFn;
use crate::{Check, ConfigError, Outcome, Policy};

/// One thing to watch: its name, its check, and how much it matters.
#[must_use]
pub struct Component {
    pub(crate) name: String,
    pub(crate) check: Option<Arc<dyn Check>>,
    pub(crate) policy: Option<Policy>,
    pub(crate) required: bool,
}

impl Component {
    /// The longest name, in bytes.
    pub const MAX_NAME_BYTES: usize = 64;

    /// Names a required component, which must then be given a check. Names are 1 to 64 bytes long.
    pub fn new(name: impl Into<String>) -> Self {
        Self { name: name.into(), check: None, policy: None, required: true }
    }

    /// Sets the check.
    pub fn check(mut self, check: impl Check) -> Self {
        self.check = Some(Arc::new(check));
        self
    }

    /// Sets a check from an async closure that returns an [`Outcome`] or a `Result<(), impl Display>`.
    pub fn check_fn<F, Fut, R>(self, check: F) -> Self
    where
        F: Fn() -> Fut + Send + Sync + 'static,
        Fut: Future<Output = R> + Send + 'static,
        R: Into<Outcome> + 'static,
    {
        self.check(CheckFn(check))
    }

    /// Sets when it is checked and what changes its status, in place of the service's defaults.
    pub const fn policy(mut self, policy: Policy) -> Self {
        self.policy = Some(policy);
        self
    }

    /// Says that the system works without it: however ill, it makes the system no worse than `DEGRADED`.
    pub const fn optional(mut self) -> Self {
        self.required = false;
        self
    }

    pub(crate) fn validate(&self) -> Result<Arc<dyn Check>, ConfigError> {
        if self.name.is_empty() || self.name.len() > Self::MAX_NAME_BYTES {
            return Err(ConfigError::OutOfBounds {
                field: "component.name",
                value: format!("{} bytes long", self.name.len()),
                expected: "1 to 64 bytes",
            });
        }
        if let Some(policy) = &self.policy {
            policy.validate()?;
        }
        self.check.clone().ok_or_else(|| ConfigError::MissingCheck { name: self.name.clone() })
    }
}

impl fmt::Debug for Component {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Component")
            .field("name", &self.name)
            .field("policy", &self.policy)
            .field("required", &self.required)
            .finish_non_exhaustive()
    }
}

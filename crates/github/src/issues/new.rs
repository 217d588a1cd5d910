use serde::Serialize;

use crate::ConfigError;

/// An issue to create.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[must_use]
pub struct NewIssue {
    title: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    body: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    labels: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    assignees: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    milestone: Option<u64>,
}

impl NewIssue {
    /// Begins an issue by its title, 1 to 256 characters.
    pub fn new(title: impl Into<String>) -> Self {
        Self { title: title.into(), body: None, labels: Vec::new(), assignees: Vec::new(), milestone: None }
    }

    /// Sets the text, in Markdown, up to 65,536 characters.
    pub fn body(mut self, body: impl Into<String>) -> Self {
        self.body = Some(body.into());
        self
    }

    /// Adds a label. GitHub leaves out labels, without a word, if the token may not set them.
    pub fn label(mut self, label: impl Into<String>) -> Self {
        self.labels.push(label.into());
        self
    }

    /// Adds an assignee by login. GitHub leaves out those who cannot be assigned, without a word.
    pub fn assignee(mut self, login: impl Into<String>) -> Self {
        self.assignees.push(login.into());
        self
    }

    /// Sets the milestone by its number.
    pub const fn milestone(mut self, number: u64) -> Self {
        self.milestone = Some(number);
        self
    }

    pub(crate) fn validate(&self) -> Result<(), ConfigError> {
        let refused = |field, value, expected| Err(ConfigError { field, value, expected });
        let title = self.title.chars().count();
        if self.title.trim().is_empty() || title > 256 {
            return refused("title", format!("{title} characters"), "1 to 256 characters, and not blank");
        }
        let body = self.body.as_ref().map_or(0, |body| body.chars().count());
        if body > 65_536 {
            return refused("body", format!("{body} characters"), "at most 65536 characters");
        }
        if self.labels.len() > 100 || self.labels.iter().any(|label| label.trim().is_empty()) {
            return refused("labels", format!("{:?}", self.labels.len()), "at most 100 labels, and none blank");
        }
        if self.assignees.len() > 10 || self.assignees.iter().any(|login| login.trim().is_empty()) {
            return refused("assignees", format!("{:?}", self.assignees.len()), "at most 10 logins, and none blank");
        }
        Ok(())
    }
}

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize};

/// An issue, or a pull request, which GitHub counts among them.
///
/// All but the number may be missing from an answer, and fields that this version does not know are passed over: a
/// server's update must not turn a success into a failure.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Issue {
    /// The number within its repository.
    pub number: u64,
    /// The id across GitHub.
    #[serde(default)]
    pub id: u64,
    /// The id for GraphQL; its form says nothing.
    #[serde(default, deserialize_with = "or_default")]
    pub node_id: String,
    /// The title.
    #[serde(default, deserialize_with = "or_default")]
    pub title: String,
    /// The text, in Markdown.
    #[serde(default)]
    pub body: Option<String>,
    /// Whether it is open.
    #[serde(default, deserialize_with = "or_default")]
    pub state: IssueState,
    /// Why it is in that state: `completed`, `not_planned`, `duplicate`, `reopened`.
    #[serde(default)]
    pub state_reason: Option<String>,
    /// The labels.
    #[serde(default, deserialize_with = "or_default")]
    pub labels: Vec<Label>,
    /// Who opened it; `None` if the account is gone.
    #[serde(default)]
    pub user: Option<User>,
    /// Who it is assigned to.
    #[serde(default, deserialize_with = "or_default")]
    pub assignees: Vec<User>,
    /// The milestone.
    #[serde(default)]
    pub milestone: Option<Milestone>,
    /// Whether only collaborators may comment.
    #[serde(default)]
    pub locked: bool,
    /// How many comments it has.
    #[serde(default)]
    pub comments: u64,
    /// Where people read it.
    #[serde(default, deserialize_with = "or_default")]
    pub html_url: String,
    /// When it was opened, by RFC 3339.
    #[serde(default, deserialize_with = "or_default")]
    pub created_at: String,
    /// When it last changed, by RFC 3339.
    #[serde(default, deserialize_with = "or_default")]
    pub updated_at: String,
    /// When it was closed, by RFC 3339.
    #[serde(default)]
    pub closed_at: Option<String>,
    /// What a pull request has and an issue has not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pull_request: Option<serde_json::Value>,
}

impl Issue {
    /// Says whether it is a pull request.
    #[must_use]
    pub const fn is_pull_request(&self) -> bool {
        self.pull_request.is_some()
    }
}

/// Whether an issue is open.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum IssueState {
    /// It is open.
    #[default]
    Open,
    /// It is closed.
    Closed,
    /// A state that this version does not know.
    #[serde(untagged)]
    Other(String),
}

impl fmt::Display for IssueState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Open => "open",
            Self::Closed => "closed",
            Self::Other(state) => state,
        })
    }
}

/// A label.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Label {
    /// The name.
    pub name: String,
    /// The color, six hexadecimal digits without `#`; empty if the answer does not say.
    pub color: String,
    /// What it means.
    pub description: Option<String>,
}

impl<'de> Deserialize<'de> for Label {
    /// Reads a label from an object, or from its name alone, as old servers give it.
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Form {
            Name(String),
            Object { name: Option<String>, color: Option<String>, description: Option<String> },
        }
        Ok(match Form::deserialize(deserializer)? {
            Form::Name(name) => Self { name, ..Self::default() },
            Form::Object { name, color, description } => {
                Self { name: name.unwrap_or_default(), color: color.unwrap_or_default(), description }
            }
        })
    }
}

/// An account.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct User {
    /// The name by which it is mentioned.
    #[serde(default, deserialize_with = "or_default")]
    pub login: String,
    /// The id.
    #[serde(default)]
    pub id: u64,
}

/// A milestone.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Milestone {
    /// The number within its repository, which is not its id.
    #[serde(default)]
    pub number: u64,
    /// The title.
    #[serde(default, deserialize_with = "or_default")]
    pub title: String,
}

/// Reads `null` as the default.
fn or_default<'de, D: Deserializer<'de>, T: Default + Deserialize<'de>>(deserializer: D) -> Result<T, D::Error> {
    Ok(Option::deserialize(deserializer)?.unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_is_enough_and_the_unknown_is_passed_over() {
        let issue: Issue =
            serde_json::from_str(r#"{"number": 3, "title": null, "labels": null, "news": {"x": 1}}"#).unwrap();
        assert_eq!((issue.number, issue.title.as_str(), issue.state), (3, "", IssueState::Open));
        let issue: Issue = serde_json::from_str(
            r#"{"number": 4, "state": "archived", "labels": ["bug", {"name": "ui", "color": null}], "pull_request": {}}"#,
        )
        .unwrap();
        assert_eq!(issue.state, IssueState::Other("archived".to_owned()));
        assert_eq!(issue.labels.iter().map(|label| label.name.as_str()).collect::<Vec<_>>(), ["bug", "ui"]);
        assert!(issue.is_pull_request());
        assert!(serde_json::from_str::<Issue>(r#"{"title": "no number"}"#).is_err());
    }
}

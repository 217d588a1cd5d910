mod model;
mod new;
mod query;

use std::collections::HashSet;

use http::header::LINK;

use crate::call::Call;
use crate::{GitHub, GitHubError, RepoName, link};

pub use model::{Issue, IssueState, Label, Milestone, User};
pub use new::NewIssue;
pub use query::{Direction, IssueQuery, IssueSort, StateFilter};

/// The issues of one repository.
#[derive(Debug, Clone)]
pub struct Issues {
    client: GitHub,
    path: String,
}

/// What a query found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct IssueList {
    /// The issues, each once, in the server's order.
    pub issues: Vec<Issue>,
    /// Whether they are all; if not, the query's limit was reached.
    pub complete: bool,
    /// How many pull requests, which GitHub lists as issues, were left out.
    pub pull_requests_left_out: usize,
}

impl Issues {
    pub(crate) fn new(client: GitHub, repo: &RepoName) -> Self {
        Self { client, path: format!("/repos/{}/{}/issues", repo.owner(), repo.name()) }
    }

    /// Creates an issue. It is never tried again after a failure that may have created it.
    ///
    /// # Errors
    /// [`GitHubError::Invalid`] before anything is sent; [`GitHubError::OutcomeUnknown`] if it may have been created:
    /// look before you repeat it; else any other [`GitHubError`], and it was not created.
    ///
    /// # Cancel safety
    /// Not cancel safe: dropped while it waits for the answer, the issue may have been created.
    ///
    /// # Examples
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// use bedplate_github::{GitHub, NewIssue, Request};
    ///
    /// let github = GitHub::builder(|request: Request| {
    ///     assert_eq!(request.uri(), "https://api.github.com/repos/octo/hello/issues");
    ///     Ok(http::Response::builder().status(201).body(r#"{"number": 7, "title": "It rains"}"#.into()).unwrap())
    /// })
    /// .build()?;
    /// let issue = github.repo("octo", "hello")?.issues().create(NewIssue::new("It rains").label("bug")).await?;
    /// assert_eq!(issue.number, 7);
    /// # Ok(())
    /// # }
    /// ```
    pub async fn create(&self, issue: NewIssue) -> Result<Issue, GitHubError> {
        issue.validate()?;
        let body = serde_json::to_vec(&issue)
            .map_err(|error| GitHubError::Malformed { reason: "the issue is no JSON", source: Some(error) })?;
        let uri = self.client.shared.base.join(&self.path)?;
        let (issue, _) = self.client.call(Call::post("issues.create", uri, body.into())).await?;
        Ok(issue)
    }

    /// Returns one issue, or pull request, by its number.
    ///
    /// # Errors
    /// [`GitHubError::NotFound`] if there is none; else any other [`GitHubError`].
    ///
    /// # Cancel safety
    /// Changes nothing.
    pub async fn get(&self, number: u64) -> Result<Issue, GitHubError> {
        let uri = self.client.shared.base.join(&format!("{}/{number}", self.path))?;
        let (issue, _) = self.client.call(Call::get("issues.get", uri)).await?;
        Ok(issue)
    }

    /// Returns the issues that match, page by page until the last, or until the query's limit.
    ///
    /// Pages follow the server's own links, which must stay on its host. Issues that change meanwhile may be missed, or
    /// move to a later page, where they are left out as known; sort by creation to miss none.
    ///
    /// # Errors
    /// Any [`GitHubError`] of one of the pages.
    ///
    /// # Cancel safety
    /// Changes nothing.
    pub async fn list(&self, query: &IssueQuery) -> Result<IssueList, GitHubError> {
        query.validate()?;
        let base = &self.client.shared.base;
        let mut next = Some(base.join(&format!("{}?{}", self.path, query.encode()))?);
        let mut list = IssueList::default();
        let mut known = HashSet::new();
        let mut visited = HashSet::new();
        while let Some(uri) = next.take() {
            if !visited.insert(uri.to_string()) {
                return Err(GitHubError::Malformed { reason: "its pages lead in a circle", source: None });
            }
            let (page, answer) = self.client.call::<Vec<Issue>>(Call::get("issues.list", uri)).await?;
            let link = answer.headers().get(LINK).and_then(|link| link.to_str().ok()).and_then(link::next);
            next = link.map(|link| base.follow("link", link)).transpose()?;
            for issue in page {
                if !known.insert(issue.number) {
                    continue;
                }
                if issue.is_pull_request() && !query.includes_pull_requests() {
                    list.pull_requests_left_out += 1;
                } else if list.issues.len() == query.limited_to() {
                    return Ok(list);
                } else {
                    list.issues.push(issue);
                }
            }
            if visited.len() >= query.pages() && next.is_some() {
                return Ok(list);
            }
        }
        list.complete = true;
        Ok(list)
    }
}

use crate::ConfigError;
use crate::target::encode;

/// Which issues to list; by default the open ones, newest first, up to 1,000.
#[derive(Debug, Clone, PartialEq, Eq)]
#[must_use]
pub struct IssueQuery {
    state: StateFilter,
    labels: Vec<String>,
    since: Option<String>,
    sort: IssueSort,
    direction: Direction,
    per_page: usize,
    limit: usize,
    pull_requests: bool,
}

/// Which states are listed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum StateFilter {
    /// Open issues.
    #[default]
    Open,
    /// Closed issues.
    Closed,
    /// Both.
    All,
}

/// What issues are sorted by.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum IssueSort {
    /// When they were opened.
    #[default]
    Created,
    /// When they last changed.
    Updated,
    /// How many comments they have.
    Comments,
}

/// Which end comes first.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Direction {
    /// The smallest or oldest first.
    Ascending,
    /// The largest or newest first.
    #[default]
    Descending,
}

impl IssueQuery {
    /// Begins a query of the open issues.
    pub const fn new() -> Self {
        Self {
            state: StateFilter::Open,
            labels: Vec::new(),
            since: None,
            sort: IssueSort::Created,
            direction: Direction::Descending,
            per_page: 100,
            limit: 1_000,
            pull_requests: false,
        }
    }

    /// Sets which states are listed.
    pub const fn state(mut self, state: StateFilter) -> Self {
        self.state = state;
        self
    }

    /// Adds a label that each issue must have; without commas.
    pub fn label(mut self, label: impl Into<String>) -> Self {
        self.labels.push(label.into());
        self
    }

    /// Leaves out what has not changed since this time, by RFC 3339.
    pub fn since(mut self, time: impl Into<String>) -> Self {
        self.since = Some(time.into());
        self
    }

    /// Sets the order.
    pub const fn sort(mut self, sort: IssueSort, direction: Direction) -> Self {
        self.sort = sort;
        self.direction = direction;
        self
    }

    /// Sets how many issues come with one request, 1 to 100, default 100.
    pub const fn per_page(mut self, issues: usize) -> Self {
        self.per_page = issues;
        self
    }

    /// Sets how many issues are listed at most, 1 to 100,000, default 1,000. It bounds the requests too: to four times
    /// the pages that it takes, as pull requests may fill them.
    pub const fn limit(mut self, issues: usize) -> Self {
        self.limit = issues;
        self
    }

    /// Lists pull requests too, which GitHub counts among the issues.
    pub const fn include_pull_requests(mut self) -> Self {
        self.pull_requests = true;
        self
    }

    pub(crate) const fn includes_pull_requests(&self) -> bool {
        self.pull_requests
    }

    pub(crate) const fn limited_to(&self) -> usize {
        self.limit
    }

    pub(crate) const fn pages(&self) -> usize {
        4 * self.limit.div_ceil(self.per_page)
    }

    pub(crate) fn validate(&self) -> Result<(), ConfigError> {
        let refused = |field, value, expected| Err(ConfigError { field, value, expected });
        if !(1..=100).contains(&self.per_page) {
            return refused("per_page", self.per_page.to_string(), "1 to 100");
        }
        if !(1..=100_000).contains(&self.limit) {
            return refused("limit", self.limit.to_string(), "1 to 100000");
        }
        if let Some(label) = self.labels.iter().find(|label| label.contains(',') || label.is_empty()) {
            return refused("labels", format!("{label:?}"), "names without commas, and not empty");
        }
        Ok(())
    }

    pub(crate) fn encode(&self) -> String {
        let state = match self.state {
            StateFilter::Open => "open",
            StateFilter::Closed => "closed",
            StateFilter::All => "all",
        };
        let sort = match self.sort {
            IssueSort::Created => "created",
            IssueSort::Updated => "updated",
            IssueSort::Comments => "comments",
        };
        let direction = match self.direction {
            Direction::Ascending => "asc",
            Direction::Descending => "desc",
        };
        let mut query = format!("state={state}&sort={sort}&direction={direction}&per_page={}", self.per_page);
        if !self.labels.is_empty() {
            query.push_str("&labels=");
            query.push_str(&encode(&self.labels.join(",")));
        }
        if let Some(since) = &self.since {
            query.push_str("&since=");
            query.push_str(&encode(since));
        }
        query
    }
}

impl Default for IssueQuery {
    fn default() -> Self {
        Self::new()
    }
}

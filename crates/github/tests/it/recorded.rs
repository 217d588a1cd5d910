//! Traffic that was recorded from api.github.com, and GitHub's own examples.

use std::sync::Arc;

use bedplate_github::{GitHub, Issue, IssueQuery, IssueState, NewIssue, Request, TransportError, TransportErrorKind};
use parking_lot::Mutex;
use serde::Deserialize;
use serde_json::Value;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Exchange {
    method: String,
    path: String,
    status: u16,
    response: Value,
    raw_headers: Vec<String>,
    #[serde(default)]
    body: Value,
}

/// Answers each request by the first exchange of its method and path that was not used yet; a request with more of a
/// query than was recorded will do.
fn replay(json: &str) -> (GitHub, Arc<Mutex<Vec<Exchange>>>) {
    let exchanges: Vec<Exchange> = serde_json::from_str(json).unwrap();
    let exchanges = Arc::new(Mutex::new(exchanges));
    let left = Arc::clone(&exchanges);
    let transport = move |request: Request| {
        let mut left = left.lock();
        let path = request.uri().path_and_query().unwrap().as_str();
        let fits = |exchange: &Exchange| {
            let bare = |path: &str| path.split('?').next().unwrap_or_default().to_owned();
            let same = exchange.path == path || (bare(&exchange.path) == bare(path) && path.contains("state="));
            exchange.method.eq_ignore_ascii_case(request.method().as_str()) && (same || exchange.path == bare(path))
        };
        let Some(at) = left.iter().position(fits) else {
            return Err(TransportError::new(TransportErrorKind::NotSent));
        };
        let exchange = left.remove(at);
        if request.method() == "POST" {
            let sent: Value = serde_json::from_slice(request.body()).unwrap();
            assert_eq!(sent["title"], exchange.body["title"]);
        }
        let mut answer = http::Response::builder().status(exchange.status);
        for pair in exchange.raw_headers.chunks(2) {
            answer = answer.header(&pair[0], &pair[1]);
        }
        Ok(answer.body(exchange.response.to_string().into()).unwrap())
    };
    (GitHub::builder(transport).max_attempts(1).build().unwrap(), exchanges)
}

#[tokio::test]
async fn thirteen_recorded_issues_are_created_and_listed_in_five_pages() {
    let (github, left) = replay(include_str!("../data/fixtures/paginate-issues.json"));
    let name = left.lock()[1].path.split('/').nth(3).unwrap().to_owned();
    let issues = github.repo("octokit-fixture-org", &name).unwrap().issues();
    for number in 1..=13 {
        let title = left.lock()[1].body["title"].as_str().unwrap().to_owned();
        let created = issues.create(NewIssue::new(title.as_str())).await.unwrap();
        assert_eq!((created.number, created.title), (number, title));
    }
    let list = issues.list(&IssueQuery::new().per_page(3)).await.unwrap();
    let numbers: Vec<_> = list.issues.iter().map(|issue| issue.number).collect();
    assert_eq!(numbers, (1..=13).rev().collect::<Vec<_>>());
    assert!(list.complete);
    let first = &list.issues[0];
    assert_eq!((&first.state, first.user.is_some(), first.created_at.len()), (&IssueState::Open, true, 20));
    assert_eq!(github.rate_limit().unwrap().limit, 5000);
    assert_eq!(github.stats().requests, 18);
    assert_eq!(left.lock().len(), 2, "all but the making and the removal of the repository was used");
}

#[tokio::test]
async fn the_issue_of_another_recording_is_read() {
    let (github, left) = replay(include_str!("../data/fixtures/lock-issue.json"));
    let name = left.lock()[1].path.split('/').nth(3).unwrap().to_owned();
    let title = left.lock()[1].body["title"].as_str().unwrap().to_owned();
    let issues = github.repo("octokit-fixture-org", &name).unwrap().issues();
    let issue = issues.create(NewIssue::new(title)).await.unwrap();
    assert!(issue.number == 1 && !issue.locked && issue.html_url.ends_with("/issues/1"));
    assert!(issues.get(2).await.is_err(), "what was not recorded is no answer");
}

#[test]
fn githubs_own_examples_are_read() {
    let examples: Value = serde_json::from_str(include_str!("../data/openapi/examples.json")).unwrap();
    let mut read = 0;
    for (operation, statuses) in examples.as_object().unwrap() {
        for bodies in statuses.as_object().unwrap().values() {
            for body in bodies.as_object().unwrap().values() {
                let issues: Vec<Issue> = if body.is_array() {
                    serde_json::from_value(body.clone()).unwrap()
                } else {
                    vec![serde_json::from_value(body.clone()).unwrap()]
                };
                for issue in issues {
                    assert!(issue.number > 0 && !issue.title.is_empty(), "{operation}");
                    assert!(!matches!(issue.state, IssueState::Other(_)), "{operation}");
                    assert!(issue.labels.iter().all(|label| !label.name.is_empty()), "{operation}");
                    read += 1;
                }
            }
        }
    }
    assert!(read >= 4, "{read}");
}

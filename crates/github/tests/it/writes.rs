use std::time::Duration;

use async_trait::async_trait;
use bedplate_github::{
    GitHub, GitHubError, NewIssue, Outcome, Request, Response, Transport, TransportError, TransportErrorKind,
};
use bedplate_recovery::{Classify as _, ErrorClass};
use tokio::time::Instant;

use crate::{Fake, issues};

fn unknown(error: &GitHubError) -> &GitHubError {
    let GitHubError::OutcomeUnknown { operation: "issues.create", source, .. } = error else { panic!("{error:?}") };
    assert!(error.is_outcome_unknown() && !error.is_transient());
    assert_eq!((error.outcome(), error.class()), (Outcome::Unknown, ErrorClass::Permanent));
    source
}

#[tokio::test(start_paused = true)]
async fn a_create_that_may_have_been_done_is_never_repeated() {
    for status in [500, 502, 503, 504] {
        let fake = Fake::new().answer(status, &[], "");
        let error = fake.issues().create(NewIssue::new("t")).await.unwrap_err();
        assert!(matches!(unknown(&error), GitHubError::Server(_)));
        assert_eq!(fake.asked(), 1);
    }
    let fake = Fake::new().fail(TransportErrorKind::Interrupted);
    let github = fake.builder().build().unwrap();
    let error = issues(&github).create(NewIssue::new("t")).await.unwrap_err();
    assert!(matches!(unknown(&error), GitHubError::Transport(_)));
    assert_eq!((fake.asked(), github.stats().outcome_unknown), (1, 1));
}

#[tokio::test]
async fn an_unreadable_success_says_where_the_issue_is() {
    let location = "https://api.github.com/repos/octo/hello/issues/7";
    let fake = Fake::new().answer(201, &[("location", location)], "<html>");
    let error = fake.issues().create(NewIssue::new("t")).await.unwrap_err();
    assert!(matches!(unknown(&error), GitHubError::Malformed { .. }));
    let GitHubError::OutcomeUnknown { location: Some(found), .. } = error else { panic!("{error:?}") };
    assert_eq!(found, location);
}

#[tokio::test(start_paused = true)]
async fn a_create_that_was_surely_not_done_is_repeated() {
    let fake = Fake::new().fail(TransportErrorKind::NotSent).answer(201, &[], r#"{"number": 1}"#);
    assert_eq!(fake.issues().create(NewIssue::new("t")).await.unwrap().number, 1);
    assert_eq!(fake.asked(), 2);
}

#[tokio::test]
async fn a_refusal_is_final_and_names_the_fields() {
    let body = r#"{"message": "Validation Failed", "errors": [{"resource": "Issue", "field": "milestone", "code": "invalid"}]}"#;
    let fake = Fake::new().answer(422, &[], body);
    let error = fake.issues().create(NewIssue::new("t")).await.unwrap_err();
    assert_eq!(error.to_string(), "refused as invalid: 422 Validation Failed; Issue milestone invalid");
    assert_eq!((fake.asked(), error.class()), (1, ErrorClass::CallerFault));
    for (status, word) in [(401, "unauthorized"), (403, "forbidden"), (410, "not_found"), (409, "unexpected")] {
        let fake = Fake::new().answer(status, &[], "{}");
        let error = fake.issues().create(NewIssue::new("t")).await.unwrap_err();
        assert_eq!((error.as_str(), fake.asked(), error.outcome()), (word, 1, Outcome::NotDone));
    }
}

/// Never answers.
struct Silent;

#[async_trait]
impl Transport for Silent {
    async fn send(&self, _request: Request) -> Result<Response, TransportError> {
        std::future::pending().await
    }
}

#[tokio::test(start_paused = true)]
async fn silence_ends_at_the_time_limit() {
    let github = GitHub::builder(Silent).timeout(Duration::from_secs(5)).max_attempts(2).build().unwrap();
    let started = Instant::now();
    let error = issues(&github).create(NewIssue::new("t")).await.unwrap_err();
    assert!(matches!(unknown(&error), GitHubError::TimedOut { .. }));
    assert_eq!(started.elapsed(), Duration::from_secs(5));
    let error = issues(&github).get(1).await.unwrap_err();
    assert!(matches!(error, GitHubError::TimedOut { .. }) && error.is_transient());
    assert_eq!(github.stats().requests, 3);
}

use bedplate_github::{
    Direction, GitHubError, IssueQuery, IssueSort, NewIssue, StateFilter, Token, TransportErrorKind,
};

use crate::{Fake, issues};

#[tokio::test]
async fn a_create_is_one_request_with_everything_in_it() {
    let fake = Fake::new().answer(201, &[], r#"{"number": 7, "title": "It rains"}"#);
    let github = fake
        .builder()
        .base_url("https://ghe.corp/api/v3/")
        .user_agent("weather/1")
        .token(Token::new("ghp_x").unwrap())
        .build()
        .unwrap();
    let new = NewIssue::new("It rains").body("All day").label("bug").assignee("mona").milestone(2);
    let issue = issues(&github).create(new).await.unwrap();
    assert_eq!((issue.number, issue.title.as_str()), (7, "It rains"));
    let asked = fake.asked.lock();
    let request = &asked[0];
    assert_eq!(
        (request.method().as_str(), request.uri().to_string().as_str()),
        ("POST", "https://ghe.corp/api/v3/repos/octo/hello/issues")
    );
    let header = |name: &str| request.headers()[name].to_str().unwrap().to_owned();
    assert_eq!(header("accept"), "application/vnd.github+json");
    assert_eq!(header("x-github-api-version"), "2022-11-28");
    assert_eq!(header("user-agent"), "weather/1");
    assert_eq!(header("authorization"), "Bearer ghp_x");
    let body: serde_json::Value = serde_json::from_slice(request.body()).unwrap();
    assert_eq!(
        body,
        serde_json::json!({"title": "It rains", "body": "All day", "labels": ["bug"], "assignees": ["mona"], "milestone": 2})
    );
}

#[tokio::test]
async fn what_github_would_refuse_is_never_sent() {
    let fake = Fake::new();
    let issues = fake.issues();
    let field = |error: GitHubError| match error {
        GitHubError::Invalid(error) => error.field,
        other => panic!("{other}"),
    };
    assert_eq!(field(issues.create(NewIssue::new(" ")).await.unwrap_err()), "title");
    assert_eq!(field(issues.create(NewIssue::new("t").body("x".repeat(65_537))).await.unwrap_err()), "body");
    assert_eq!(field(issues.create(NewIssue::new("t").label("")).await.unwrap_err()), "labels");
    assert_eq!(field(issues.list(&IssueQuery::new().per_page(0)).await.unwrap_err()), "per_page");
    assert_eq!(field(issues.list(&IssueQuery::new().label("a,b")).await.unwrap_err()), "labels");
    let github = fake.builder().build().unwrap();
    for (owner, repo, field) in
        [("", "r", "owner"), ("a/b", "r", "owner"), ("o", "..", "repo"), ("o", "a?b", "repo"), ("o", "é", "repo")]
    {
        assert_eq!(github.repo(owner, repo).unwrap_err().field, field);
    }
    for (builder, field) in [
        (fake.builder().base_url("http://ghe.corp"), "base_url"),
        (fake.builder().user_agent("a\nb"), "user_agent"),
        (fake.builder().max_attempts(0), "max_attempts"),
        (fake.builder().timeout(std::time::Duration::ZERO), "timeout"),
    ] {
        assert_eq!(builder.build().unwrap_err().field, field);
    }
    assert_eq!(fake.asked(), 0);
}

const NEXT: &str = r#"<https://api.github.com/repositories/1/issues?page=2>; rel="next""#;

#[tokio::test]
async fn pages_are_followed_and_pull_requests_told_apart() {
    let first = r#"[{"number": 4}, {"number": 3, "pull_request": {"url": "x"}}]"#;
    let second = r#"[{"number": 4}, {"number": 2}]"#;
    let fake = Fake::new().answer(200, &[("link", NEXT)], first).answer(200, &[], second);
    let query = IssueQuery::new()
        .state(StateFilter::All)
        .label("good first issue")
        .since("2026-01-01T00:00:00Z")
        .sort(IssueSort::Updated, Direction::Ascending)
        .per_page(2);
    let list = fake.issues().list(&query).await.unwrap();
    let numbers: Vec<_> = list.issues.iter().map(|issue| issue.number).collect();
    assert_eq!((numbers, list.complete, list.pull_requests_left_out), (vec![4, 2], true, 1));
    assert_eq!(
        fake.uris(),
        [
            "https://api.github.com/repos/octo/hello/issues?state=all&sort=updated&direction=asc&per_page=2&labels=good%20first%20issue&since=2026-01-01T00%3A00%3A00Z",
            "https://api.github.com/repositories/1/issues?page=2",
        ]
    );
    let fake = Fake::new().answer(200, &[], first);
    let list = fake.issues().list(&IssueQuery::new().include_pull_requests()).await.unwrap();
    assert_eq!(list.issues.iter().map(bedplate_github::Issue::is_pull_request).collect::<Vec<_>>(), [false, true]);
}

#[tokio::test]
async fn a_list_is_bounded_and_stays_on_its_server() {
    let fake = Fake::new().answer(200, &[("link", NEXT)], r#"[{"number": 2}, {"number": 1}]"#);
    let list = fake.issues().list(&IssueQuery::new().limit(1)).await.unwrap();
    assert_eq!((list.issues.len(), list.complete, fake.asked()), (1, false, 1));

    // Pages of pull requests alone come to an end too.
    let mut fake = Fake::new();
    for page in 0..4 {
        let link = format!(r#"</repositories/1/issues?page={page}>; rel="next""#);
        fake = fake.answer(200, &[("link", &link)], "[]");
    }
    let list = fake.issues().list(&IssueQuery::new().limit(1).per_page(1)).await.unwrap();
    assert_eq!((list.complete, fake.asked()), (false, 4));

    let fake = Fake::new().answer(200, &[("link", NEXT)], "[]").answer(200, &[("link", NEXT)], "[]");
    let error = fake.issues().list(&IssueQuery::new()).await.unwrap_err();
    assert!(matches!(error, GitHubError::Malformed { .. }), "{error}");

    let elsewhere = [("link", r#"<https://evil.example/issues?page=2>; rel="next""#)];
    let fake = Fake::new().answer(200, &elsewhere, "[]");
    let error = fake.issues().list(&IssueQuery::new()).await.unwrap_err();
    let GitHubError::Foreign { field, host, .. } = &error else { panic!("{error}") };
    assert_eq!((*field, host.as_str(), fake.asked()), ("link", "evil.example", 1));
}

#[tokio::test(start_paused = true)]
async fn a_read_is_tried_again_after_any_passing_failure() {
    let fake = Fake::new()
        .answer(502, &[], "<html><title>Unicorn</title>")
        .fail(TransportErrorKind::Interrupted)
        .answer(200, &[], r#"{"number": 7}"#);
    assert_eq!(fake.issues().get(7).await.unwrap().number, 7);
    assert_eq!(fake.asked(), 3);

    let fake = Fake::new().answer(404, &[("x-github-request-id", "A:1")], r#"{"message": "Not Found"}"#);
    let error = fake.issues().get(8).await.unwrap_err();
    assert_eq!(error.to_string(), "not found, or not visible to this token: 404 Not Found (request A:1)");
    assert!(!error.is_transient());

    let fake = Fake::new().answer(500, &[], "").answer(500, &[], "").answer(500, &[], "");
    let error = fake.issues().get(8).await.unwrap_err();
    assert!(matches!(error, GitHubError::Server(_)) && error.is_transient());
}

#[tokio::test]
async fn redirects_are_followed_within_the_server() {
    let moved = [("location", "https://api.github.com/repositories/1/issues/7")];
    let fake = Fake::new().answer(301, &moved, "").answer(200, &[], r#"{"number": 7}"#);
    assert_eq!(fake.issues().get(7).await.unwrap().number, 7);
    assert_eq!(fake.uris()[1], "https://api.github.com/repositories/1/issues/7");

    let fake =
        Fake::new().answer(307, &[("location", "/repositories/1/issues")], "").answer(201, &[], r#"{"number": 7}"#);
    fake.issues().create(NewIssue::new("t")).await.unwrap();
    let asked = fake.asked.lock().clone();
    assert_eq!((asked[1].method(), asked[1].body()), (asked[0].method(), asked[0].body()));

    // A write that would lose its body on the way is not done elsewhere.
    let fake = Fake::new().answer(302, &moved, "");
    let error = fake.issues().create(NewIssue::new("t")).await.unwrap_err();
    assert!(matches!(error, GitHubError::Unexpected(_)), "{error}");

    let fake = Fake::new().answer(307, &[("location", "https://evil.example/")], "");
    let error = fake.issues().create(NewIssue::new("t")).await.unwrap_err();
    assert!(matches!(error, GitHubError::Foreign { .. }));
    assert_eq!(fake.asked(), 1);

    let mut fake = Fake::new();
    for _ in 0..4 {
        fake = fake.answer(301, &moved, "");
    }
    assert!(fake.issues().get(7).await.is_err(), "a circle ends");
}

use std::time::Duration;

use bedplate_github::{GitHubError, NewIssue, RateLimitKind};
use tokio::time::{Instant, sleep};

use crate::{Fake, issues};

const SECONDARY: &str = r#"{"message": "You have exceeded a secondary rate limit. Please wait."}"#;

#[tokio::test(start_paused = true)]
async fn a_short_limit_is_waited_for_even_by_a_write() {
    let fake = Fake::new().answer(429, &[("retry-after", "5")], SECONDARY).answer(201, &[], r#"{"number": 1}"#);
    let started = Instant::now();
    fake.issues().create(NewIssue::new("t")).await.unwrap();
    assert!(started.elapsed() >= Duration::from_secs(5));
    assert_eq!(fake.asked(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_long_limit_fails_at_once_and_closes_the_door() {
    let fake = Fake::new().answer(403, &[], SECONDARY).answer(200, &[], r#"{"number": 1}"#);
    let github = fake.builder().build().unwrap();
    let started = Instant::now();
    let error = issues(&github).create(NewIssue::new("t")).await.unwrap_err();
    let GitHubError::RateLimited { kind: RateLimitKind::Secondary, rejection: Some(_), .. } = &error else {
        panic!("{error}")
    };
    assert_eq!((error.retry_after(), error.is_transient()), (Some(Duration::from_mins(1)), true));
    let error = issues(&github.clone()).get(1).await.unwrap_err();
    assert!(matches!(error, GitHubError::RateLimited { rejection: None, .. }), "{error}");
    assert_eq!((fake.asked(), started.elapsed()), (1, Duration::ZERO), "nothing is sent while the door is closed");
    sleep(Duration::from_secs(50)).await;
    // Ten seconds are left, which the client waits for by itself.
    issues(&github).get(1).await.unwrap();
    assert!(started.elapsed() >= Duration::from_mins(1));
    assert_eq!(github.stats().rate_limited, 3);
}

#[tokio::test]
async fn the_primary_limit_is_kept() {
    let headers = |left| {
        [
            ("date", "Tue, 19 Jul 2022 04:38:37 GMT"),
            ("x-ratelimit-limit", "5000"),
            ("x-ratelimit-remaining", left),
            ("x-ratelimit-reset", "1658208999"),
            ("x-ratelimit-resource", "core"),
        ]
    };
    let fake = Fake::new().answer(200, &headers("1"), r#"{"number": 1}"#).answer(
        403,
        &headers("0"),
        r#"{"message": "API rate limit exceeded for user ID 1."}"#,
    );
    let github = fake.builder().build().unwrap();
    assert_eq!(github.rate_limit(), None);
    issues(&github).get(1).await.unwrap();
    let limit = github.rate_limit().unwrap();
    assert_eq!(
        (limit.limit, limit.remaining, limit.reset, limit.resource.as_deref()),
        (5000, 1, 1_658_208_999, Some("core"))
    );
    let error = issues(&github).get(1).await.unwrap_err();
    assert!(matches!(error, GitHubError::RateLimited { kind: RateLimitKind::Primary, .. }), "{error}");
    // 3,482 seconds by the server's clock, and one more.
    assert_eq!(error.retry_after(), Some(Duration::from_secs(3_483)));
    assert_eq!(github.rate_limit().unwrap().remaining, 0);
}

#[tokio::test(start_paused = true)]
async fn a_missing_permission_is_no_limit() {
    let body = r#"{"message": "Resource not accessible by integration"}"#;
    let fake = Fake::new().answer(403, &[("x-ratelimit-remaining", "4999")], body).answer(200, &[], r#"{"number": 1}"#);
    let github = fake.builder().build().unwrap();
    let started = Instant::now();
    assert!(matches!(issues(&github).get(1).await.unwrap_err(), GitHubError::Forbidden(_)));
    issues(&github).get(1).await.unwrap();
    assert_eq!(started.elapsed(), Duration::ZERO);
}

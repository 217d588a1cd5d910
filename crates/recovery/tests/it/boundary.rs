//! Where errors end.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use bedplate_recovery::{Classify, ErrorBoundary, ErrorClass, ErrorReport, ErrorSink, Failure, Quota};
use parking_lot::Mutex;

#[derive(Default)]
struct Kept(Mutex<Vec<(String, String, u64)>>);

impl ErrorSink for Kept {
    fn record(&self, report: &ErrorReport<'_>) {
        self.0.lock().push((report.id.to_string(), report.message.to_owned(), report.suppressed));
    }
}

struct Broken;

impl ErrorSink for Broken {
    fn record(&self, _report: &ErrorReport<'_>) {
        panic!("the sink is broken");
    }
}

#[derive(Debug, thiserror::Error)]
#[error("cannot load the profile")]
struct LoadError(#[source] io::Error);

impl Classify for LoadError {
    fn class(&self) -> ErrorClass {
        self.0.class()
    }
}

#[tokio::test(start_paused = true)]
async fn an_error_is_recorded_once_with_its_causes_and_told_without_them() {
    let (kept, outer_kept) = (Arc::new(Kept::default()), Arc::new(Kept::default()));
    let inner = ErrorBoundary::new("inner", Arc::clone(&kept));
    let outer = ErrorBoundary::new("outer", Arc::clone(&outer_kept));
    let work = inner.run(async { Err::<(), _>(LoadError(io::Error::other("db-7 is on fire"))) });
    let caught = outer.run(work).await.unwrap_err();
    assert_eq!(*kept.0.lock(), [(caught.id().to_string(), "cannot load the profile: db-7 is on fire".to_owned(), 0)]);
    assert!(outer_kept.0.lock().is_empty());
    assert_eq!(caught.to_string(), format!("internal error (error {})", caught.id()));
}

#[tokio::test(start_paused = true)]
async fn a_callers_mistake_is_told_as_it_is_and_not_recorded() {
    let kept = Arc::new(Kept::default());
    let boundary = ErrorBoundary::new("http", Arc::clone(&kept));
    let mistake = io::Error::new(io::ErrorKind::InvalidInput, "page is -1, expected 1 or more");
    let caught = boundary.catch(&mistake);
    assert_eq!((caught.status(), caught.detail()), (400, "page is -1, expected 1 or more"));
    assert!(kept.0.lock().is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_panic_is_an_error_too_even_that_of_the_sink() {
    let kept = Arc::new(Kept::default());
    let boundary = ErrorBoundary::new("http", Arc::clone(&kept));
    let caught = boundary
        .run(async {
            tokio::task::yield_now().await;
            assert!(std::hint::black_box(7) < 3, "index 7 of 3");
            Ok::<(), io::Error>(())
        })
        .await
        .unwrap_err();
    assert_eq!((caught.status(), kept.0.lock()[0].1.as_str()), (500, "panicked: index 7 of 3"));

    let caught = ErrorBoundary::new("broken", Broken).catch(&io::Error::from(io::ErrorKind::TimedOut));
    assert_eq!(caught.status(), 504);
}

#[tokio::test(start_paused = true)]
async fn a_flood_is_recorded_at_its_quota_and_counted() {
    let kept = Arc::new(Kept::default());
    let quota = Quota::per_second(1).burst(2);
    let boundary = ErrorBoundary::with_quota("http", Arc::clone(&kept), quota).unwrap();
    for _ in 0..1_000 {
        boundary.catch(&io::Error::from(io::ErrorKind::ConnectionRefused));
    }
    assert_eq!((kept.0.lock().len(), boundary.counts()), (2, (2, 998)));
    tokio::time::sleep(Duration::from_secs(1)).await;
    boundary.catch(&io::Error::from(io::ErrorKind::ConnectionRefused));
    assert_eq!(kept.0.lock()[2].2, 998);
}

#[tokio::test(start_paused = true)]
async fn a_failure_of_a_pipeline_keeps_its_retry_after() {
    let failure: Failure<io::Error> =
        Failure::inner(io::Error::other("busy"), ErrorClass::Overload { after: Some(Duration::from_millis(1_500)) });
    let caught = ErrorBoundary::default().catch(&failure);
    assert_eq!((caught.status(), caught.retry_after()), (503, Some(Duration::from_millis(1_500))));
    #[cfg(feature = "http")]
    {
        let problem = bedplate_recovery::ProblemDetails::from(&caught);
        let id = caught.id();
        assert_eq!(
            serde_json::to_value(&problem).unwrap(),
            serde_json::json!({
                "type": "about:blank", "title": "Service Unavailable", "status": 503,
                "detail": "temporarily unavailable", "instance": format!("urn:error:{id}"), "retry_after": 2,
            })
        );
        assert_eq!(problem.into_response().headers()["retry-after"], "2");
    }
}

#[tokio::test(start_paused = true)]
async fn a_callers_mistake_inside_of_a_pipeline_is_told_in_its_own_words_and_what_was_caught_stays_so() {
    let kept = Arc::new(Kept::default());
    let (inner, outer) =
        (ErrorBoundary::new("inner", Arc::clone(&kept)), ErrorBoundary::new("outer", Arc::clone(&kept)));
    let pipeline = bedplate_recovery::Pipeline::builder("p").build().unwrap();
    let wrong =
        |_| async { Err::<(), _>(io::Error::new(io::ErrorKind::InvalidInput, "page is -1, expected 1 or more")) };
    let caught = outer.run_call(pipeline.run(wrong)).await.unwrap_err();
    assert_eq!((caught.status(), caught.detail()), (400, "page is -1, expected 1 or more"));
    let down = |_| inner.run(async { Err::<(), _>(io::Error::other("db-7 is on fire")) });
    let caught = outer.run_call(pipeline.run(down)).await.unwrap_err();
    assert_eq!((caught.status(), kept.0.lock().len()), (500, 1), "recorded once");
}

use std::panic::{AssertUnwindSafe, catch_unwind};

use bedplate_observability::{Observability, trace_function};
use tracing::instrument::WithSubscriber as _;

use super::logged;

#[trace_function]
fn add(a: u32, b: u32) -> u32 {
    a + b
}

#[trace_function("parse number", err)]
async fn parse(text: &str) -> Result<u32, std::num::ParseIntError> {
    if text.is_empty() {
        return Ok(0);
    }
    let number = text.parse()?;
    Ok(number)
}

#[trace_function]
fn boom(now: bool) {
    assert!(!now, "on purpose");
}

struct Counter(u32);

impl Counter {
    #[trace_function("count")]
    fn count<T: Into<u32>>(&mut self, by: T) -> &mut u32 {
        self.0 += by.into();
        &mut self.0
    }

    #[trace_function("count slowly")]
    async fn count_slowly(&mut self) -> impl Iterator<Item = u32> + use<> {
        tokio::task::yield_now().await;
        self.0 += 1;
        0..self.0
    }
}

#[trace_function]
fn evens(below: Option<u32>) -> Option<impl Iterator<Item = u32>> {
    let below = below?;
    Some((0..below).step_by(2))
}

#[test]
fn functions_keep_their_results_and_are_counted() {
    let telemetry = Observability::builder("test").build().unwrap();
    tracing::dispatcher::with_default(&telemetry.dispatch(), || {
        assert_eq!(add(1, 2), 3);
        let mut counter = Counter(0);
        assert_eq!(*counter.count(4_u8), 4);
        assert!(catch_unwind(AssertUnwindSafe(|| boom(true))).is_err());
        boom(false);
        assert_eq!(evens(Some(5)).unwrap().count(), 3);
    });
    let metrics = telemetry.metrics();
    assert_eq!((metrics.operations["add"].requests, metrics.operations["add"].errors), (1, 0));
    assert_eq!(metrics.operations["count"].requests, 1);
    assert_eq!((metrics.operations["boom"].requests, metrics.operations["boom"].errors), (2, 1));
}

#[tokio::test]
async fn async_functions_record_their_errors() {
    let telemetry = Observability::builder("test").build().unwrap();
    async {
        assert_eq!(parse("12").await, Ok(12));
        assert_eq!(parse("").await, Ok(0));
        assert!(parse("x").await.is_err());
        assert_eq!(Counter(1).count_slowly().await.count(), 2);
        drop(parse("never polled"));
    }
    .with_subscriber(telemetry.dispatch())
    .await;
    let metrics = telemetry.metrics();
    assert_eq!((metrics.operations["parse number"].requests, metrics.operations["parse number"].errors), (3, 1));
    assert_eq!(metrics.operations["count slowly"].requests, 1);
}

#[test]
fn an_error_is_logged_where_it_is_asked_for() {
    let (_, kept) = logged(
        |logs| logs,
        || {
            let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
            assert!(runtime.block_on(parse("x")).is_err());
        },
    );
    let lines = kept.lines();
    assert_eq!(lines.len(), 1);
    assert_eq!(lines[0]["message"], "parse number failed");
    assert_eq!(lines[0]["error"], "invalid digit found in string");
    assert_eq!(lines[0]["span"], "parse number");
}

#[test]
fn wrong_uses_do_not_compile() {
    trybuild::TestCases::new().compile_fail("tests/compile_fail/*.rs");
}

use std::panic::{AssertUnwindSafe, catch_unwind};

use bedplate_observability::testing::TestTelemetry;
use bedplate_observability::{
    ErrorType, Observability, RequestContext, SpanKind, SpanStatus, spawn_linked, spawn_traced, trace_function,
};
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

#[trace_function]
fn pick<'a, T>(map: &'a mut std::collections::BTreeMap<u32, Box<T>>, (key, _): (u32, u32)) -> Option<&'a mut T>
where
    T: std::fmt::Debug + ?Sized + 'static,
{
    map.get_mut(&key).map(|found| &mut **found)
}

#[trace_function]
fn first(of: &mut [u32]) -> &mut u32 {
    let Some(first) = of.first_mut() else { std::process::abort() };
    first
}

#[trace_function]
fn never() -> ! {
    std::panic::resume_unwind(Box::new("on purpose"))
}

#[trace_function]
async fn never_later() -> ! {
    loop {
        tokio::task::yield_now().await;
    }
}

#[trace_function]
fn factorial(n: u64) -> u64 {
    if n < 2 { 1 } else { n * factorial(n - 1) }
}

#[trace_function]
async fn descend(n: u32) -> u32 {
    if n == 0 { 0 } else { 1 + Box::pin(descend(n - 1)).await }
}

#[trace_function]
async fn borrowed<'a>(
    text: &'a str,
    mut parts: Vec<&'a str>,
) -> Result<Vec<&'a str>, Box<dyn std::error::Error + Send + Sync>> {
    parts.push(text.get(..2).ok_or("too short")?);
    Ok(parts)
}

#[bedplate_observability::test]
async fn functions_of_every_shape_are_traced(t: TestTelemetry) {
    let mut map = std::collections::BTreeMap::from([(1, Box::new(7_u32))]);
    *pick(&mut map, (1, 0)).unwrap() = 8;
    assert_eq!((map[&1].as_ref(), *first(&mut [1, 2])), (&8, 1));
    assert!(catch_unwind(AssertUnwindSafe(|| never())).is_err());
    assert_eq!((factorial(4), descend(3).await), (24, 3));
    assert_eq!(borrowed("abc", vec!["x"]).await.unwrap(), ["x", "ab"]);
    borrowed("a", vec![]).await.unwrap_err();
    assert!(futures_util::poll!(std::pin::pin!(never_later())).is_pending());
    t.span("never_later").attr("cancelled", true).once();
    t.operation("factorial").requests(4).in_flight(0);
    t.span("descend").child_of("descend").times(3);
    t.span("never").attr("error.type", "panic").failed().once();
    t.operation("borrowed").requests(2).errors(1);
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

#[derive(Debug, thiserror::Error)]
enum PayError {
    #[error("declined with {0}")]
    Declined(u32),
}

#[derive(Debug, thiserror::Error, ErrorType)]
enum StockError {
    #[error("gone")]
    #[error_type("out_of_stock")]
    Gone,
}

struct Card;

#[trace_function("charge card", kind = Client, level = "debug", attrs(payment.provider = "acme"), fields(amount, %currency, amount.cents = amount * 100), skip(_card))]
async fn charge(_card: &Card, amount: u64, currency: &str) -> Result<u64, PayError> {
    tokio::task::yield_now().await;
    if amount > 100 { Err(PayError::Declined(7)) } else { Ok(amount) }
}

#[trace_function]
fn reserve(left: u32) -> Result<u32, StockError> {
    left.checked_sub(1).ok_or(StockError::Gone)
}

#[trace_function]
fn generic<E>(error: E) -> Result<(), E> {
    Err(error)
}

#[trace_function("find", option)]
fn find(among: &[u32], what: u32) -> Option<usize> {
    among.iter().position(|one| *one == what)
}

#[trace_function]
async fn wait(panics: bool) {
    tokio::task::yield_now().await;
    assert!(!panics, "on purpose");
    std::future::pending::<()>().await;
}

#[async_trait::async_trait]
trait Store {
    async fn load(&self, key: u32) -> Result<u32, PayError>;
}

struct Memory;

#[async_trait::async_trait]
impl Store for Memory {
    #[trace_function("load", fields(key), err)]
    async fn load(&self, key: u32) -> Result<u32, PayError> {
        tokio::task::yield_now().await;
        tracing::info!("within");
        if key == 0 {
            return Err(PayError::Declined(0));
        }
        Ok(key)
    }
}

#[trace_function("returned")]
fn returned(value: u32) -> impl Future<Output = Result<u32, PayError>> {
    let doubled = value * 2;
    async move {
        tracing::info!("within");
        Ok(doubled)
    }
}

#[bedplate_observability::test]
async fn a_call_is_recorded_as_it_is_described(t: TestTelemetry) {
    assert_eq!(charge(&Card, 42, "EUR").await.unwrap(), 42);
    charge(&Card, 101, "EUR").await.unwrap_err();
    let charged = t.span("charge card").kind(SpanKind::Client).attr("amount", 42_u64).lacks("error.type").once();
    let names: Vec<&str> = charged.attributes.iter().map(|(name, _)| *name).collect();
    assert_eq!(names, ["operation", "payment.provider", "amount", "currency", "amount.cents"]);
    assert_eq!((charged.level, charged.status), (tracing::Level::DEBUG, SpanStatus::Unset));
    t.span("charge card").attr("currency", "EUR").attr("amount.cents", 10_100_u64).failed().once();
    t.span("charge card").attr("error.type", "PayError::Declined").once();
    t.operation("charge card").requests(2).errors(1).in_flight(0);
}

#[bedplate_observability::test]
fn errors_are_named_by_what_they_say_of_themselves(t: TestTelemetry) {
    reserve(0).unwrap_err();
    t.span("reserve").attr("error.type", "out_of_stock").once();
    generic(String::from("secret 4711")).unwrap_err();
    generic(7_u32).unwrap_err();
    assert_eq!(find(&[1, 2], 2), Some(1));
    assert_eq!(find(&[1, 2], 3), None);
    t.span("generic").attr("error.type", "String").once();
    t.span("generic").attr("error.type", "u32").once();
    t.span("find").attr("error.type", "none").failed().once();
    t.operation("find").requests(2).errors(1);
}

mod aliases {
    use super::{PayError, trace_function};

    type Fallible<T> = Result<T, PayError>;
    type Debugged = Result<u32, std::num::ParseIntError>;
    pub(super) struct Bare;
    type Unnamed<T> = Result<T, Bare>;

    #[trace_function]
    pub(super) fn aliased(fails: bool) -> Fallible<u32> {
        if fails { Err(PayError::Declined(1)) } else { Ok(1) }
    }

    #[trace_function]
    pub(super) async fn aliased_later(text: &str) -> Debugged {
        tokio::task::yield_now().await;
        text.parse()
    }

    #[trace_function]
    pub(super) fn unnamed<T>() -> Unnamed<T> {
        Err(Bare)
    }

    /// A value of a type that the function does not know is none.
    #[trace_function]
    pub(super) fn passed<T>(value: T) -> T {
        value
    }
}

/// Somebody else's word for something else.
mod foreign {
    use super::trace_function;

    #[derive(Debug, PartialEq)]
    pub(super) enum Result {
        Err(u32),
    }

    #[trace_function]
    pub(super) fn foreign() -> Result {
        Result::Err(7)
    }
}

use self::aliases::{aliased, aliased_later, passed, unnamed};

/// How the type is written says nothing of what it is.
#[bedplate_observability::test]
async fn a_result_is_told_by_its_type(t: TestTelemetry) {
    assert!(aliased(false).is_ok());
    t.span("aliased").lacks("error").once();
    assert!(aliased(true).is_err());
    t.span("aliased").attr("error.type", "PayError::Declined").failed().once();
    assert!(aliased_later("7").await.is_ok() && aliased_later("x").await.is_err());
    t.span("aliased_later").attr("error.type", "ParseIntError").failed().once();
    assert!(unnamed::<u32>().is_err());
    t.span("unnamed").attr("error.type", "Bare").failed().once();
    assert_eq!(foreign::foreign(), foreign::Result::Err(7));
    t.span("foreign").lacks("error").once();
    let _same = passed(passed(Err::<u32, &str>("handed through")));
    t.span("passed").lacks("error").times(2);
}

#[bedplate_observability::test]
async fn a_panic_is_a_failure_and_a_dropped_future_is_none(t: TestTelemetry) {
    let panicked = tokio::spawn(wait(true).with_current_subscriber()).await;
    assert!(panicked.unwrap_err().is_panic());
    t.span("wait").attr("error.type", "panic").failed().lacks("cancelled").once();
    {
        let mut waiting = std::pin::pin!(wait(false));
        assert!(futures_util::poll!(&mut waiting).is_pending());
        t.operation("wait").requests(1).in_flight(1);
    }
    let dropped = t.span("wait").attr("cancelled", true).once();
    assert_eq!(dropped.status, SpanStatus::Unset);
    t.operation("wait").requests(2).errors(1).cancelled(1).in_flight(0);
}

#[bedplate_observability::test(start_paused = true)]
async fn functions_that_return_their_future_are_traced_as_that(t: TestTelemetry) {
    assert_eq!(Memory.load(3).await.unwrap(), 3);
    Memory.load(0).await.unwrap_err();
    let later = returned(4);
    t.span("returned").never();
    assert_eq!(later.await.unwrap(), 8);
    t.span("load").attr("key", 3).event("within").once();
    t.span("load").attr("error.type", "PayError::Declined").event("load failed").once();
    t.log("within").in_span("load").times(2);
    t.log("within").in_span("returned").once();
    t.span("returned").once();
}

#[bedplate_observability::test]
fn an_operation_s_histogram_has_the_trace_as_an_example(t: TestTelemetry) {
    assert_eq!(reserve(2).unwrap(), 1);
    let histogram = t.telemetry().operations().histogram("reserve").unwrap();
    assert_eq!((histogram.count, histogram.buckets.len()), (1, 15));
    assert!(histogram.buckets.iter().all(|bucket| bucket.count == 1));
    let exemplar = histogram.buckets[0].exemplar.unwrap();
    assert_eq!(exemplar.trace_id, t.span("reserve").once().context.trace_id());
    assert_eq!(exemplar.value, t.span("reserve").once().duration());
}

#[bedplate_observability::test]
async fn spawned_tasks_belong_to_their_request(t: TestTelemetry) {
    RequestContext::new()
        .request_id("r-1")
        .scope(async {
            spawn_traced(async { tracing::info!("in the task") }).await.unwrap();
            spawn_linked("sweep", async { tracing::info!("linked") }).await.unwrap();
        })
        .await;
    t.log("in the task").in_span("request").field("request_id", "r-1").once();
    t.log("linked").in_span("sweep").field("request_id", "r-1").once();
    t.span("sweep").root().linked_to("request").once();
}

#[test]
#[should_panic(expected = "span \"charge\", kind Client found 0 times, expected 1; all spans:\n  charge Internal in -")]
fn an_assertion_that_does_not_hold_shows_what_was_there() {
    let t = TestTelemetry::new();
    t.in_scope(|| drop(tracing::info_span!("charge")));
    t.span("charge").kind(SpanKind::Client).once();
}

#[test]
fn wrong_uses_do_not_compile() {
    trybuild::TestCases::new().compile_fail("tests/compile_fail/*.rs");
}

fn log_in(line: &str) {
    RequestContext::new().user_id("u-7").record_on(&tracing::Span::current());
    tracing::info!("{line}");
}

#[trace_function]
async fn without_its_field() {
    log_in("without");
}

#[trace_function(attrs(user_id = tracing::field::Empty))]
async fn with_its_field() {
    log_in("with");
}

#[bedplate_observability::test]
async fn an_id_is_recorded_only_where_its_field_is(t: TestTelemetry) {
    without_its_field().await;
    with_its_field().await;
    assert!(t.log("without").once().get("user_id").is_none());
    t.log("with").field("user_id", "u-7").once();
    t.span("without_its_field").lacks("user_id").once();
}

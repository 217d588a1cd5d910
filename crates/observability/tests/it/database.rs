//! Calls to databases as spans and as a histogram.

use std::time::Duration;

use bedplate_observability::database::{DatabaseCall, DatabaseSpan};
use bedplate_observability::{
    AttributeValue, FinishedSpan, Observability, Query, SpanExt as _, SpanKind, SpanStatus, Traces,
};
use tracing::instrument::WithSubscriber as _;

#[derive(Debug)]
enum StoreError {
    PoolTimedOut,
    Database(&'static str),
}

impl StoreError {
    fn code(&self) -> Option<String> {
        match self {
            Self::PoolTimedOut => None,
            Self::Database(code) => Some((*code).to_owned()),
        }
    }
}

const JOBS: DatabaseCall<'static> =
    DatabaseCall::new("postgresql").namespace("shop").collection("jobs").server("db.internal", 5433);

fn telemetry() -> Observability {
    Observability::builder("test").traces(Traces::new().keep_all()).build().unwrap()
}

/// The one span of this name.
fn span(telemetry: &Observability, name: &str) -> FinishedSpan {
    let traces = telemetry.recorder().find(Query::new());
    let mut found = traces.into_iter().flat_map(|trace| trace.spans).filter(|span| span.name == name);
    let one = found.next().unwrap();
    assert!(found.next().is_none());
    one
}

fn has(span: &FinishedSpan, name: &str, value: impl Into<AttributeValue>) {
    let found = span.attributes.iter().find(|(known, _)| *known == name).map(|(_, value)| value);
    assert_eq!(found, Some(&value.into()), "{name} of {span:?}");
}

fn lacks(span: &FinishedSpan, names: &[&str]) {
    assert!(!span.attributes.iter().any(|(known, _)| names.contains(known)), "{span:?}");
}

#[tokio::test]
async fn a_call_is_a_client_span_and_one_value_of_the_histogram() {
    let telemetry = telemetry();
    let work = async {
        let outer = tracing::info_span!("request");
        let select = JOBS.operation("SELECT").query_text("SELECT * FROM jobs WHERE id = $1");
        let inner = || async {
            tokio::task::yield_now().await;
            Ok::<_, StoreError>(tracing::Span::current().context().unwrap().span_id())
        };
        let ran = tracing::Instrument::instrument(select.run(inner()), outer.clone());
        (ran.await.unwrap(), outer.context().unwrap().span_id())
    };
    let (current, outer) = work.with_subscriber(telemetry.dispatch()).await;
    let span = span(&telemetry, "SELECT jobs");
    assert_eq!((span.kind, span.parent, span.context.span_id()), (SpanKind::Client, Some(outer), current));
    assert_eq!(span.status, SpanStatus::Unset);
    has(&span, "db.system.name", "postgresql");
    has(&span, "db.namespace", "shop");
    has(&span, "db.collection.name", "jobs");
    has(&span, "db.operation.name", "SELECT");
    has(&span, "db.query.text", "SELECT * FROM jobs WHERE id = $1");
    has(&span, "server.address", "db.internal");
    has(&span, "server.port", 5433_u64);
    lacks(&span, &["error.type", "error", "db.response.status_code", "db.query.summary", "db.operation.batch.size"]);
    let metrics = telemetry.prometheus();
    let labels = "db_system_name=\"postgresql\",db_namespace=\"shop\",db_collection_name=\"jobs\",\
                  db_operation_name=\"SELECT\",server_address=\"db.internal\",server_port=\"5433\"";
    for bound in ["0.001", "0.005", "0.01", "0.05", "0.1", "0.5", "1", "5", "10", "+Inf"] {
        let line = format!("db_client_operation_duration_seconds_bucket{{{labels},le=\"{bound}\"}}");
        assert!(metrics.contains(&line), "{line} in {metrics}");
    }
    assert!(metrics.contains(&format!("db_client_operation_duration_seconds_count{{{labels}}} 1\n")), "{metrics}");
    let open = telemetry.exposition(Some("application/openmetrics-text; version=1.0.0")).body;
    assert!(open.contains(&format!("span_id=\"{current}\"")), "its exemplar: {open}");
    assert_eq!(telemetry.metrics().operations["SELECT jobs"].requests, 1);
}

#[tokio::test]
async fn an_error_is_named_by_the_database_s_code_or_by_its_type() {
    let telemetry = telemetry();
    let work = async {
        let insert = JOBS.operation("INSERT");
        let refused = async { Err::<(), _>(StoreError::Database("23505")) };
        assert!(insert.run_with_code(refused, StoreError::code).await.is_err());
        let late = async { Err::<(), _>(StoreError::PoolTimedOut) };
        assert!(JOBS.operation("UPDATE").run_with_code(late, StoreError::code).await.is_err());
        let unknown = async { Err::<(), _>(StoreError::Database("23505")) };
        assert!(JOBS.operation("DELETE").run(unknown).await.is_err());
    };
    work.with_subscriber(telemetry.dispatch()).await;
    let metrics = telemetry.prometheus();
    for (operation, code, error) in [
        ("INSERT", Some("23505"), "23505"),
        ("UPDATE", None, "StoreError::PoolTimedOut"),
        ("DELETE", None, "StoreError::Database"),
    ] {
        let span = span(&telemetry, &format!("{operation} jobs"));
        assert!(matches!(span.status, SpanStatus::Error(_)), "{span:?}");
        has(&span, "error.type", error);
        match code {
            Some(code) => has(&span, "db.response.status_code", code),
            None => lacks(&span, &["db.response.status_code"]),
        }
        let code = code.map(|code| format!("db_response_status_code=\"{code}\",")).unwrap_or_default();
        let line = format!("db_operation_name=\"{operation}\",{code}error_type=\"{error}\",");
        assert!(metrics.contains(&line), "{line} in {metrics}");
        assert_eq!(telemetry.metrics().operations[&format!("{operation} jobs")].errors, 1);
    }
}

#[tokio::test]
async fn a_call_that_is_dropped_is_cancelled_and_no_error() {
    let telemetry = telemetry();
    let work = async {
        let never = JOBS.operation("LISTEN").run(std::future::pending::<Result<(), StoreError>>());
        assert!(tokio::time::timeout(Duration::from_millis(1), never).await.is_err());
    };
    work.with_subscriber(telemetry.dispatch()).await;
    has(&span(&telemetry, "LISTEN jobs"), "cancelled", true);
    let counted = telemetry.metrics().operations["LISTEN jobs"];
    assert_eq!((counted.requests, counted.errors, counted.cancelled), (1, 0, 1));
    assert!(!telemetry.prometheus().contains("db_operation_name=\"LISTEN\""));
}

#[test]
fn batches_summaries_and_bare_calls_have_their_names() {
    let telemetry = telemetry();
    tracing::dispatcher::with_default(&telemetry.dispatch(), || {
        JOBS.operation("INSERT").batch_size(40).start().succeeded();
        JOBS.query_summary("INSERT jobs SELECT orders").start().succeeded();
        DatabaseCall::new("redis").operation("PING").batch_size(1).start().succeeded();
        DatabaseCall::new("sqlite").server("/var/lib/shop.db", 0).start().failed_with_code("SQLITE_BUSY");
    });
    let batch = span(&telemetry, "BATCH INSERT jobs");
    has(&batch, "db.operation.batch.size", 40_u64);
    has(&batch, "db.operation.name", "BATCH INSERT");
    has(&span(&telemetry, "INSERT jobs SELECT orders"), "db.query.summary", "INSERT jobs SELECT orders");
    lacks(&span(&telemetry, "PING"), &["db.operation.batch.size", "server.address", "db.namespace"]);
    let file = span(&telemetry, "/var/lib/shop.db");
    has(&file, "db.response.status_code", "SQLITE_BUSY");
    lacks(&file, &["server.port"]);
}

#[test]
fn calls_are_send() {
    const fn check<T: Send + Sync + 'static>() {}
    const fn send<T: Send>(_: &T) {}
    check::<DatabaseCall<'static>>();
    check::<DatabaseSpan<'static>>();
    send(&JOBS.run(async { Ok::<(), StoreError>(()) }));
}

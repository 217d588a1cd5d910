//! What several tests need.

use std::io::Write as _;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use bedplate::media::Modality;
use bedplate::server::router;
use bedplate::storage::Interaction;
use bedplate::{Bedplate, Input, Output, Processor, ProcessorError, RequestId};
use bytes::Bytes;

/// The content of one of the examples' files.
pub(crate) fn asset(name: &str) -> Bytes {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../examples/assets").join(name);
    std::fs::read(path).unwrap().into()
}

/// Serves the system's HTTP surface on a free port; its address as a URL.
pub(crate) async fn serve(system: Bedplate) -> String {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move { axum::serve(listener, router(system)).await.unwrap() });
    format!("http://{address}")
}

/// What was recorded of a request.
pub(crate) async fn record(system: &Bedplate, id: RequestId) -> Interaction {
    system.flush_records().await;
    system.store().interaction(id).await.unwrap().expect("the request is recorded")
}

/// A text processor whose calls end as the closure says; it is told how many calls there were before.
pub(crate) struct Scripted<F> {
    calls: Arc<AtomicU32>,
    script: F,
}

impl<F> Scripted<F>
where
    F: Fn(u32) -> Result<Output, ProcessorError> + Send + Sync + 'static,
{
    pub(crate) fn new(script: F) -> Self {
        Self { calls: Arc::default(), script }
    }

    /// The number of calls so far, also after the processor was given away.
    pub(crate) fn calls(&self) -> Arc<AtomicU32> {
        Arc::clone(&self.calls)
    }
}

impl<F> Processor for Scripted<F>
where
    F: Fn(u32) -> Result<Output, ProcessorError> + Send + Sync + 'static,
{
    fn name(&self) -> &'static str {
        "scripted"
    }

    fn version(&self) -> u32 {
        1
    }

    fn modality(&self) -> Modality {
        Modality::Text
    }

    fn process(&self, _: &Input) -> Result<Output, ProcessorError> {
        (self.script)(self.calls.fetch_add(1, Ordering::SeqCst))
    }

    fn degraded(&self, input: &Input) -> Option<Result<Output, ProcessorError>> {
        Some(Ok(Output::Json(serde_json::json!({ "bytes": input.content.len() }))))
    }
}

#[expect(clippy::unnecessary_wraps, reason = "what a script returns")]
pub(crate) fn done() -> Result<Output, ProcessorError> {
    Ok(Output::Json(serde_json::json!("done")))
}

/// Says on the standard error, past the test runner's capture, that a test did not run.
pub(crate) fn skipped(why: &str) {
    let test = std::thread::current().name().unwrap_or("a test").to_owned();
    let mut past_the_capture = std::io::stderr();
    writeln!(past_the_capture, "SKIPPED {test}: {why}").unwrap();
}

/// The address of a service, or `None` with a word on why the test is skipped; where services are required, a failure.
pub(crate) fn service(variable: &str) -> Option<String> {
    let url = std::env::var_os(variable).and_then(|url| url.into_string().ok());
    if url.is_none() {
        let how = r#"`scripts/services.sh up` starts the services, `eval "$(scripts/services.sh env)"` names them"#;
        missing(&format!("{variable} is not set; {how}"));
    }
    url
}

/// Says that a test is skipped for want of something; where services are required, a failure.
pub(crate) fn missing(why: &str) {
    assert!(std::env::var_os("BEDPLATE_REQUIRE_SERVICES").is_none(), "{why}");
    skipped(why);
}

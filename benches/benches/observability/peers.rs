//! The peers' pipelines, each with an exporter that does nothing.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use opentelemetry::trace::TracerProvider as _;
use opentelemetry_sdk::error::OTelSdkResult;
use opentelemetry_sdk::metrics::Temporality;
use opentelemetry_sdk::metrics::data::ResourceMetrics;
use opentelemetry_sdk::metrics::exporter::PushMetricExporter;
use opentelemetry_sdk::trace::{
    BatchConfigBuilder, BatchSpanProcessor, SdkTracer, SdkTracerProvider, SpanData, SpanExporter,
};
use tracing::Dispatch;
use tracing_subscriber::layer::SubscriberExt as _;

/// Takes everything and does nothing but count the spans, so that a case can tell that none was dropped on the way.
#[derive(Debug, Clone, Default)]
pub(crate) struct Null(Arc<AtomicU64>);

impl Null {
    fn take(&self, spans: usize) {
        self.0.fetch_add(spans as u64, Ordering::Relaxed);
    }

    pub(crate) fn taken(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

impl SpanExporter for Null {
    async fn export(&self, batch: Vec<SpanData>) -> OTelSdkResult {
        self.take(std::hint::black_box(batch).len());
        Ok(())
    }
}

/// Takes everything and does nothing.
#[derive(Debug, Clone, Copy)]
pub(crate) struct NullMetrics;

impl PushMetricExporter for NullMetrics {
    async fn export(&self, metrics: &ResourceMetrics) -> OTelSdkResult {
        std::hint::black_box(metrics);
        Ok(())
    }

    fn force_flush(&self) -> OTelSdkResult {
        Ok(())
    }

    fn shutdown_with_timeout(&self, _: Duration) -> OTelSdkResult {
        Ok(())
    }

    fn temporality(&self) -> Temporality {
        Temporality::Cumulative
    }
}

/// The SDK with its batch processor; room for a whole sample, so that nothing is dropped.
pub(crate) struct Sdk {
    pub(crate) provider: SdkTracerProvider,
    pub(crate) tracer: SdkTracer,
    pub(crate) exporter: Null,
}

impl Sdk {
    pub(crate) fn new() -> Self {
        let config = BatchConfigBuilder::default()
            .with_max_queue_size(QUEUE)
            .with_scheduled_delay(Duration::from_millis(200))
            .build();
        let exporter = Null::default();
        let processor = BatchSpanProcessor::builder(exporter.clone()).with_batch_config(config).build();
        let provider = SdkTracerProvider::builder().with_span_processor(processor).build();
        let tracer = provider.tracer("bench");
        Self { provider, tracer, exporter }
    }

    pub(crate) fn flush(&self) {
        self.provider.force_flush().expect("an exporter that does nothing");
    }

    /// `tracing-opentelemetry` as it comes.
    pub(crate) fn layered(&self) -> Dispatch {
        let layer = tracing_opentelemetry::layer().with_tracer(self.tracer.clone());
        Dispatch::new(tracing_subscriber::registry().with(layer))
    }

    /// Without what it adds by itself: places in the source, threads, times of activity.
    pub(crate) fn lean(&self) -> Dispatch {
        let layer = tracing_opentelemetry::layer()
            .with_tracer(self.tracer.clone())
            .with_location(false)
            .with_threads(false)
            .with_tracked_inactivity(false)
            .with_target(false)
            .with_context_activation(false);
        Dispatch::new(tracing_subscriber::registry().with(layer))
    }
}

impl opentelemetry_sdk_032::trace::SpanExporter for Null {
    async fn export(
        &self,
        batch: Vec<opentelemetry_sdk_032::trace::SpanData>,
    ) -> opentelemetry_sdk_032::error::OTelSdkResult {
        self.take(std::hint::black_box(batch).len());
        Ok(())
    }
}

/// `logfire`, which sends nothing to its service, with the batch processor of its SDK.
pub(crate) struct Logfire(logfire::Logfire, pub(crate) Null);

impl Logfire {
    pub(crate) fn new() -> Self {
        use opentelemetry_sdk_032::trace::{BatchConfigBuilder, BatchSpanProcessor};
        let config = BatchConfigBuilder::default()
            .with_max_queue_size(QUEUE)
            .with_scheduled_delay(Duration::from_millis(200))
            .build();
        let exporter = Null::default();
        let processor = BatchSpanProcessor::builder(exporter.clone()).with_batch_config(config).build();
        let logfire = logfire::configure()
            .local()
            .send_to_logfire(false)
            .with_console(None)
            .with_metrics(None)
            .with_additional_span_processor(processor)
            .finish();
        Self(logfire.expect("valid settings"), exporter)
    }

    pub(crate) fn layered(&self) -> Dispatch {
        Dispatch::new(tracing_subscriber::registry().with(self.0.tracing_layer()))
    }

    pub(crate) fn flush(&self) {
        self.0.force_flush().expect("an exporter that does nothing");
    }
}

/// Takes everything and does nothing but count.
pub(crate) struct NullReporter(pub(crate) Null);

impl fastrace::collector::Reporter for NullReporter {
    fn report(&mut self, spans: Vec<fastrace::collector::SpanRecord>) {
        self.0.take(std::hint::black_box(spans).len());
    }
}

/// Spans of a sample that may wait.
pub(crate) const QUEUE: usize = 100_000;

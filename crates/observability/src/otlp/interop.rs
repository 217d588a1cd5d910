use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use opentelemetry::trace::TracerProvider as _;
use opentelemetry_proto::tonic::trace::v1::Span as ProtoSpan;
use opentelemetry_sdk::error::OTelSdkResult;
use opentelemetry_sdk::trace::{SdkTracer, SdkTracerProvider, Span, SpanData, SpanProcessor};
use tracing::Subscriber;
use tracing_opentelemetry::OpenTelemetryLayer;
use tracing_subscriber::registry::LookupSpan;

use super::Pipeline;
use crate::Observability;

impl Observability {
    /// Returns the stock layer of `tracing-opentelemetry`, whose spans go to the collector of
    /// [`ObservabilityBuilder::otlp`](crate::ObservabilityBuilder::otlp) through the same queue; `None` without one.
    ///
    /// It is for code that calls `OpenTelemetrySpanExt`, which looks for that layer and does nothing without it. Beside
    /// [`layer`](Self::layer) a span goes to the collector twice, under different ids: take one of the two for a target.
    ///
    /// # Examples
    /// ```
    /// use bedplate_observability::{Observability, otlp::Otlp};
    /// use tracing_subscriber::layer::SubscriberExt as _;
    /// let telemetry = Observability::builder("checkout").otlp(Otlp::new("http://127.0.0.1:4317")).build()?;
    /// let subscriber = tracing_subscriber::registry().with(telemetry.interop_layer());
    /// tracing::subscriber::with_default(subscriber, || tracing::info_span!("theirs").in_scope(|| ()));
    /// # drop(telemetry.shutdown(std::time::Duration::from_millis(50)));
    /// # Ok::<(), bedplate_observability::ConfigError>(())
    /// ```
    #[must_use]
    pub fn interop_layer<S>(&self) -> Option<OpenTelemetryLayer<S, SdkTracer>>
    where
        S: Subscriber + for<'span> LookupSpan<'span>,
    {
        let pipeline = Arc::clone(self.layer.shared.engine.otlp.as_ref()?);
        let provider = SdkTracerProvider::builder().with_span_processor(Processor { pipeline }).build();
        Some(tracing_opentelemetry::layer().with_tracer(provider.tracer("tracing-opentelemetry")))
    }
}

/// Hands over spans of the SDK.
struct Processor {
    pipeline: Arc<Pipeline>,
}

impl SpanProcessor for Processor {
    fn on_start(&self, _: &mut Span, _: &opentelemetry::Context) {}

    fn on_end(&self, span: SpanData) {
        if span.span_context.is_sampled() {
            let scope = span.instrumentation_scope.name().to_owned();
            self.pipeline.push_foreign(scope, ProtoSpan::from(span));
        }
    }

    /// The queue is flushed with all others, by [`Observability::flush`].
    fn force_flush(&self) -> OTelSdkResult {
        Ok(())
    }

    fn shutdown_with_timeout(&self, _: Duration) -> OTelSdkResult {
        Ok(())
    }
}

impl fmt::Debug for Processor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Processor").finish_non_exhaustive()
    }
}

//! Metrics of the tokio runtime, from its stable interface.

use tokio::runtime::{Handle, RuntimeMetrics};

use crate::{ConfigError, Metric, MetricKind, Observability, Sample};

impl Observability {
    /// Adds the metrics of a tokio runtime to the Prometheus text: its workers, living tasks, and the tasks that wait in
    /// its global queue. They are read at each scrape and cost nothing between.
    ///
    /// # Errors
    /// [`ConfigError`] if they are registered already.
    ///
    /// # Examples
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), bedplate_observability::ConfigError> {
    /// use bedplate_observability::Observability;
    /// let telemetry = Observability::builder("checkout").build()?;
    /// telemetry.register_runtime(&tokio::runtime::Handle::current())?;
    /// assert!(telemetry.prometheus().contains("tokio_runtime_workers 1\n"));
    /// # Ok(()) }
    /// ```
    pub fn register_runtime(&self, runtime: &Handle) -> Result<(), ConfigError> {
        let gauge = |name, help, read: fn(&RuntimeMetrics) -> usize| {
            let metrics = runtime.metrics();
            self.register(Metric::new(name, MetricKind::Gauge, help, move || {
                vec![Sample::count(u64::try_from(read(&metrics)).unwrap_or(u64::MAX))]
            }))
        };
        gauge("tokio_runtime_workers", "Worker threads of the tokio runtime.", RuntimeMetrics::num_workers)?;
        gauge(
            "tokio_runtime_alive_tasks",
            "Tasks that were spawned and have not ended.",
            RuntimeMetrics::num_alive_tasks,
        )?;
        gauge(
            "tokio_runtime_global_queue_depth",
            "Tasks that wait in the runtime's global queue.",
            RuntimeMetrics::global_queue_depth,
        )
    }
}

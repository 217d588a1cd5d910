//! A job is joined to the trace of whoever submitted it.
use std::collections::BTreeMap;
use std::time::{Duration, UNIX_EPOCH};

use bedplate_observability::propagation::{Destination, Propagator};
use bedplate_observability::testing::TestTelemetry;
use bedplate_observability::{SpanExt as _, SpanKind};
use bedplate_tasks::store::MemoryStore;
use bedplate_tasks::{CronSchedule, Job, JobContext, Jobs, JobsBuilder, Propagate};
use serde::{Deserialize, Serialize};
use tokio::time::sleep;
use tracing::{Instrument as _, Span, info_span};

/// As the guide of tasks shows it.
#[derive(Debug, Default)]
struct Traces(Propagator);

impl Propagate for Traces {
    fn inject(&self, headers: &mut BTreeMap<String, String>) {
        self.0.inject(&Span::current(), Destination::Trusted, headers);
    }

    fn extract(&self, headers: &BTreeMap<String, String>, span: &Span) {
        if let Some(producer) = self.0.extract(headers).context() {
            span.add_link(producer.clone());
        }
    }
}

#[derive(Serialize, Deserialize)]
struct Greet;

impl Job for Greet {
    const KIND: &'static str = "greet.v1";
    type Output = ();
    type Error = String;
    type Progress = ();
    type State = ();

    async fn run(self, _: JobContext<Self>) -> Result<(), String> {
        tracing::info!("hello");
        Ok(())
    }
}

fn jobs(store: &MemoryStore) -> JobsBuilder {
    Jobs::builder(store.clone()).propagate(Traces::default())
}

#[tokio::test(start_paused = true)]
async fn a_job_links_to_its_submitter_whoever_runs_it() {
    let telemetry = TestTelemetry::new();
    let _here = tracing::dispatcher::set_default(&telemetry.dispatch());
    let store = MemoryStore::default();
    let (web, worker) = (jobs(&store).workers(0).start().unwrap(), jobs(&store).register::<Greet>().start().unwrap());
    let submitted = async { web.submit(Greet).await.unwrap() }.instrument(info_span!("request")).await;
    submitted.await.unwrap();
    let send = telemetry.span("send default").kind(SpanKind::Producer).child_of("request").once();
    let process = telemetry.span("process default").kind(SpanKind::Consumer).root().linked_to("send default");
    let process = process.attr("messaging.system", "bedplate").attr("job.kind", "greet.v1").once();
    assert_ne!(send.context.trace_id(), process.context.trace_id(), "a trace of its own");
    let line = telemetry.log("hello").in_span("process default").once();
    assert_eq!(line["trace_id"], process.context.trace_id().to_string());
    drop(worker);
}

#[tokio::test(start_paused = true)]
async fn a_job_of_a_schedule_links_to_where_it_was_sent() {
    let telemetry = TestTelemetry::new();
    let _here = tracing::dispatcher::set_default(&telemetry.dispatch());
    let began = tokio::time::Instant::now();
    let schedule = CronSchedule::new("* * * * *", "UTC").unwrap();
    let jobs = jobs(&MemoryStore::default()).register::<Greet>().wall_clock(move || UNIX_EPOCH + began.elapsed());
    let jobs = jobs.cron("greetings", schedule, || Greet).start().unwrap();
    sleep(Duration::from_secs(65)).await;
    telemetry.span("process default").linked_to("send default").once();
    drop(jobs);
}

use std::fmt::Debug;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bedplate_tasks::store::{JobState, MemoryStore};
use bedplate_tasks::{Job, JobContext, JobOptions, Jobs, JobsBuilder, QueueOptions};
use serde::{Deserialize, Serialize};
use tokio::time::sleep;
use tracing::field::{Field, Visit};
use tracing_subscriber::layer::{Context, Layer, SubscriberExt as _};
use tracing_subscriber::registry::Registry;

/// A kind whose options name a queue of its own.
#[derive(Serialize, Deserialize)]
struct Mail;

impl Job for Mail {
    const KIND: &'static str = "mail.v1";
    type Output = ();
    type Error = String;
    type Progress = ();
    type State = ();

    fn options() -> JobOptions {
        JobOptions::new().queue("mail")
    }

    async fn run(self, _: JobContext<Self>) -> Result<(), String> {
        Ok(())
    }
}

/// A kind of the queue `default`.
#[derive(Serialize, Deserialize)]
struct Plain;

impl Job for Plain {
    const KIND: &'static str = "plain.v1";
    type Output = ();
    type Error = String;
    type Progress = ();
    type State = ();

    async fn run(self, _: JobContext<Self>) -> Result<(), String> {
        Ok(())
    }
}

/// A kind whose queue cannot be.
#[derive(Serialize, Deserialize)]
struct Nowhere;

impl Job for Nowhere {
    const KIND: &'static str = "nowhere.v1";
    type Output = ();
    type Error = String;
    type Progress = ();
    type State = ();

    fn options() -> JobOptions {
        JobOptions::new().queue("a\nb")
    }

    async fn run(self, _: JobContext<Self>) -> Result<(), String> {
        Ok(())
    }
}

/// Notes the fields of each warning of the runtime's, but for its text.
#[derive(Clone, Default)]
struct Warnings(Arc<Mutex<Vec<String>>>);

impl Warnings {
    fn while_starting(start: impl FnOnce() -> Jobs) -> (Jobs, Vec<String>) {
        let warnings = Self::default();
        let installed = tracing::subscriber::set_default(Registry::default().with(warnings.clone()));
        let jobs = start();
        drop(installed);
        let told = warnings.0.lock().unwrap().clone();
        (jobs, told)
    }
}

impl<S: tracing::Subscriber> Layer<S> for Warnings {
    fn on_event(&self, event: &tracing::Event<'_>, _: Context<'_, S>) {
        struct Fields(String);
        impl Visit for Fields {
            fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
                if field.name() != "message" {
                    self.0 = format!("{}{}={value:?} ", self.0, field.name());
                }
            }
        }
        if *event.metadata().level() == tracing::Level::WARN {
            let mut fields = Fields(String::new());
            event.record(&mut fields);
            self.0.lock().unwrap().push(fields.0.trim_end().to_owned());
        }
    }
}

fn both() -> JobsBuilder {
    Jobs::builder(MemoryStore::default()).register::<Mail>().register::<Plain>()
}

#[tokio::test(start_paused = true)]
async fn without_named_queues_those_of_the_kinds_are_served() {
    let (jobs, told) = Warnings::while_starting(|| both().start().unwrap());
    assert_eq!(told, [""; 0]);
    let (mail, plain) = (jobs.submit(Mail).await.unwrap(), jobs.submit(Plain).await.unwrap());
    let (mail, plain) = (mail.wait_timeout(Duration::from_secs(5)), plain.wait_timeout(Duration::from_secs(5)));
    mail.await.unwrap().into_result().unwrap();
    plain.await.unwrap().into_result().unwrap();
    let elsewhere = jobs.submit(Plain).queue("elsewhere").await.unwrap();
    sleep(Duration::from_secs(5)).await;
    assert_eq!(elsewhere.status().await.unwrap().state, JobState::Pending, "no kind's options name it");
}

#[tokio::test(start_paused = true)]
async fn named_queues_alone_are_served_and_kinds_of_others_warned_of() {
    let named = || both().queue(QueueOptions::new("mail"));
    let (jobs, told) = Warnings::while_starting(|| named().start().unwrap());
    assert_eq!(told, ["job.kind=\"plain.v1\" queue=\"default\""]);
    let (plain, mail) = (jobs.submit(Plain).await.unwrap(), jobs.submit(Mail).await.unwrap());
    mail.wait_timeout(Duration::from_secs(5)).await.unwrap().into_result().unwrap();
    sleep(Duration::from_secs(5)).await;
    assert_eq!(plain.status().await.unwrap().state, JobState::Pending);
    let (_, told) = Warnings::while_starting(|| named().queue(QueueOptions::new("default")).start().unwrap());
    assert_eq!(told, [""; 0]);
    let (_, told) = Warnings::while_starting(|| named().workers(0).start().unwrap());
    assert_eq!(told, [""; 0], "it is not meant to work");
}

#[tokio::test(start_paused = true)]
async fn a_manual_runtime_serves_the_queues_of_its_kinds() {
    let jobs = both().start_manual().unwrap();
    let (mail, plain) = (jobs.submit(Mail).await.unwrap(), jobs.submit(Plain).await.unwrap());
    assert_eq!(jobs.run_due().await, 2);
    mail.result().await.unwrap();
    plain.result().await.unwrap();
}

#[tokio::test]
async fn a_queue_that_cannot_be_is_refused_at_the_start() {
    let told = both().register::<Nowhere>().start().unwrap_err().to_string();
    assert_eq!(told, "job.queue is \"a\\nb\", expected 1 to 255 bytes without control characters");
    let told = both().queue(QueueOptions::new("")).start().unwrap_err().to_string();
    assert_eq!(told, "queue.name is \"\", expected 1 to 255 bytes without control characters");
}

#[cfg(feature = "cron")]
#[tokio::test(start_paused = true)]
async fn a_schedule_of_a_kind_that_is_not_registered_is_warned_of() {
    use bedplate_tasks::CronSchedule;
    let builder = || Jobs::builder(MemoryStore::default()).register::<Plain>();
    let hourly = || CronSchedule::new("0 * * * *", "UTC").unwrap();
    let (_, told) = Warnings::while_starting(|| {
        builder().cron("mails", hourly(), || Mail).cron("plains", hourly(), || Plain).start().unwrap()
    });
    assert_eq!(told, ["schedule=\"mails\" job.kind=\"mail.v1\""]);
    let (_, told) = Warnings::while_starting(|| builder().workers(0).cron("mails", hourly(), || Mail).start().unwrap());
    assert_eq!(told, [""; 0]);
}

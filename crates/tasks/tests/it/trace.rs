use std::sync::{Arc, Mutex};
use std::thread::{ThreadId, current};

use bedplate_tasks::{Observer, Task, TaskEvent, TaskPool};
use tracing::span::Id;
use tracing::{Instrument as _, info_span};
use tracing_subscriber::layer::{Context, Layer, SubscriberExt as _};
use tracing_subscriber::registry::{LookupSpan, Registry, Scope};

use crate::support::{MS, pool};

/// Notes for each event the names of the spans around it, the outermost first, and which threads entered a task.
#[derive(Clone, Default)]
struct Notes {
    paths: Arc<Mutex<Vec<String>>>,
    threads: Arc<Mutex<Vec<ThreadId>>>,
}

impl<S: tracing::Subscriber + for<'a> LookupSpan<'a>> Layer<S> for Notes {
    fn on_event(&self, event: &tracing::Event<'_>, cx: Context<'_, S>) {
        let spans = cx.event_scope(event).into_iter();
        let path: Vec<_> = spans.flat_map(Scope::from_root).map(|span| span.name()).collect();
        if event.metadata().target() == module_path!() {
            self.paths.lock().unwrap().push(path.join("/"));
        }
    }

    fn on_enter(&self, id: &Id, cx: Context<'_, S>) {
        if cx.span(id).is_some_and(|span| span.name() == "task") {
            self.threads.lock().unwrap().push(current().id());
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_task_runs_inside_the_span_of_its_submitter() {
    let notes = Notes::default();
    let _installed = tracing::subscriber::set_default(Registry::default().with(notes.clone()));
    let pool = pool(1, 8);
    let told = async {
        let task = Task::infallible("x", |_| async {
            tracing::info!("before the await");
            tokio::time::sleep(MS).await;
            tracing::info!("after it");
        });
        pool.submit(task).await.unwrap().await
    }
    .instrument(info_span!("request"))
    .await;
    told.unwrap();
    assert_eq!(*notes.paths.lock().unwrap(), ["request/task", "request/task"]);
}

#[tokio::test]
async fn a_blocking_task_enters_its_span_on_its_thread() {
    let notes = Notes::default();
    let _installed = tracing::subscriber::set_default(Registry::default().with(notes.clone()));
    let pool = pool(1, 8);
    let task = Task::blocking("y", |_| Ok::<_, std::io::Error>(current().id()));
    let thread = pool.submit(task).await.unwrap().await.unwrap();
    assert_ne!(thread, current().id());
    assert!(notes.threads.lock().unwrap().contains(&thread));
}

struct Ears(Arc<Mutex<Vec<String>>>);

impl Observer for Ears {
    fn observe(&self, event: &TaskEvent<'_>) {
        self.0.lock().unwrap().push(match event {
            TaskEvent::Submitted { kind, .. } => format!("submitted {kind}"),
            TaskEvent::Started { kind, .. } => format!("started {kind}"),
            TaskEvent::Finished { kind, state, .. } => format!("{kind} {}", state.as_str()),
            other => format!("{other:?}"),
        });
    }
}

#[tokio::test(start_paused = true)]
async fn the_observer_hears_a_life_in_order() {
    let heard = Arc::new(Mutex::new(Vec::new()));
    let pool = TaskPool::builder("o").observer(Ears(Arc::clone(&heard))).build().unwrap();
    pool.submit(Task::infallible("a", |_| async {})).await.unwrap().await.unwrap();
    let failed = pool.submit(Task::new("b", |_| async { Err::<(), _>(1) })).await.unwrap().await;
    assert!(failed.is_err());
    crate::support::settle().await;
    let expected = ["submitted a", "started a", "a completed", "submitted b", "started b", "b failed"];
    assert_eq!(*heard.lock().unwrap(), expected);
}

/// Notes the level of what the pool says at its end.
#[derive(Clone, Default)]
struct Levels(Arc<Mutex<Vec<tracing::Level>>>);

impl<S: tracing::Subscriber> Layer<S> for Levels {
    fn on_event(&self, event: &tracing::Event<'_>, _: Context<'_, S>) {
        if event.metadata().fields().field("abandoned").is_some() {
            self.0.lock().unwrap().push(*event.metadata().level());
        }
    }
}

#[tokio::test(start_paused = true)]
async fn only_an_end_with_losses_is_a_warning() {
    let levels = Levels::default();
    let _installed = tracing::subscriber::set_default(Registry::default().with(levels.clone()));
    let clean = pool(1, 8);
    clean.submit(Task::infallible("x", |_| async {})).await.unwrap().await.unwrap();
    assert!(clean.shutdown(MS).await.is_clean());

    let lossy = pool(1, 8);
    let hung = lossy.submit(Task::infallible("hung", |_| std::future::pending::<()>())).await.unwrap();
    assert_eq!(lossy.shutdown(MS).await.cancelled, 1);
    drop(hung);
    assert_eq!(*levels.0.lock().unwrap(), [tracing::Level::DEBUG, tracing::Level::WARN]);
}

//! Jobs in a file, live in the terminal: a batch whose jobs wait for each other, their progress, a cancel, and a worker
//! process that is killed in the middle of its work, which another one then does.

#![expect(clippy::print_stdout, reason = "an example shows what happens")]

use std::error::Error;
use std::io::IsTerminal as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use bedplate_tasks::store::{JobState, SqliteStore};
use bedplate_tasks::{
    Batch, Drain, Job, JobContext, JobError, JobEvent, JobHandle, JobOptions, Jobs, JobsBuilder, Outcome,
};
use futures_util::StreamExt as _;
use indicatif::{MultiProgress, ProgressBar, ProgressStyle};
use serde::{Deserialize, Serialize};
use tokio::time::{Instant, sleep};

type Fail = Box<dyn Error + Send + Sync>;

/// Renders one part of a film.
#[derive(Debug, Serialize, Deserialize)]
struct Render {
    part: String,
    frames: u32,
}

impl Job for Render {
    const KIND: &'static str = "render.v1";
    type Output = String;
    type Error = String;
    type Progress = u32;
    type State = ();

    fn options() -> JobOptions {
        JobOptions::new().max_attempts(3)
    }

    async fn run(self, cx: JobContext<Self>) -> Result<String, String> {
        for frame in 1..=self.frames {
            cx.check().map_err(|stopped| format!("{:?}", stopped.reason))?;
            sleep(Duration::from_millis(20)).await;
            cx.progress(&(frame * 100 / self.frames));
        }
        Ok(format!("{} by process {} in attempt {}", self.part, std::process::id(), cx.attempt().number))
    }
}

/// Joins the parts once all are rendered.
#[derive(Debug, Serialize, Deserialize)]
struct Join {
    parts: usize,
}

impl Job for Join {
    const KIND: &'static str = "join.v1";
    type Output = String;
    type Error = String;
    type Progress = u32;
    type State = ();

    async fn run(self, _: JobContext<Self>) -> Result<String, String> {
        Ok(format!("a film of {} parts", self.parts))
    }
}

#[tokio::main]
async fn main() -> Result<(), Fail> {
    let mut args = std::env::args().skip(1);
    if args.next().as_deref() == Some("--worker") {
        return worker(Path::new(&args.next().ok_or("--worker needs a file")?)).await;
    }
    let folder = tempfile::tempdir()?;
    let file = folder.path().join("jobs.db");
    // One job at a time over there, so that it is known what the process does when it is killed.
    let mut other = start_worker(&file)?;
    let store = SqliteStore::open(&file).await?;
    let jobs = settings(Jobs::builder(store)).workers(0).start()?;
    let bars = Bars::new();

    let mut batch: Batch = jobs.batch();
    let mut parts = Vec::new();
    for part in ["opening", "chase", "credits"] {
        let render = Render { part: part.to_owned(), frames: 60 };
        parts.push((part, batch.add(jobs.submit(render))?));
    }
    let film = batch.add(jobs.submit(Join { parts: parts.len() }).after(parts.iter().map(|(_, part)| part.id())))?;
    let batch = batch.submit().await?;
    let outtakes = jobs.submit(Render { part: "outtakes".to_owned(), frames: 10_000 }).await?;
    bars.say(&format!("submitted a batch of {} jobs and one that nobody needs", batch.jobs().len()));
    let watches: Vec<_> = parts.iter().map(|(name, part)| bars.watch(name, part)).collect();

    // The other process works on the first part; it is killed in the middle of it.
    let first = parts.first().map(|(_, part)| part.clone()).ok_or("there are parts")?;
    let half = first.progress().filter(|percent| std::future::ready(*percent >= 40)).next().await;
    other.kill()?;
    other.wait()?;
    bars.say(&format!("killed the process that had done {} % of the first part", half.unwrap_or(0)));

    // Now this process works as well.
    let killed = Instant::now();
    let mine = settings(Jobs::with_store(std::sync::Arc::clone(jobs.store())))
        .workers(2)
        .register::<Render>()
        .register::<Join>()
        .start()?;
    let mut events = mine.events();
    let told = bars.clone();
    let news = tokio::spawn(async move {
        while let Ok(event) = events.recv().await {
            if let JobEvent::Rescued { again, .. } = event {
                told.say(&format!("rescued {again} job {:.1} s after the kill", killed.elapsed().as_secs_f64()));
            }
        }
    });
    while outtakes.status().await?.state != JobState::Running {
        sleep(Duration::from_millis(20)).await;
    }
    outtakes.cancel("nobody needs it").await?;
    match outtakes.wait().await? {
        Outcome::Cancelled(reason) => bars.say(&format!("cancelled the outtakes while they ran: {reason}")),
        other => return Err(format!("the outtakes ended otherwise: {other:?}").into()),
    }

    let whole = film.result().await.map_err(|error: JobError<String>| error.to_string())?;
    for (_, part) in &parts {
        bars.say(&format!("  {}", part.result().await?));
    }
    let ended = batch.wait().await?;
    bars.say(&format!("{whole}; {} of {} jobs completed", ended.completed, ended.total));
    let attempts = first.status().await?.attempts;
    for watch in watches {
        watch.await?;
    }
    let stats = mine.stats().await?;
    mine.shutdown(Drain::default()).await;
    news.abort();
    jobs.shutdown(Drain::default()).await;
    bars.say(&format!(
        "here: {} attempts begun, {} completed, run p95 {:?}",
        stats.started, stats.completed, stats.run.p95
    ));
    if ended.completed != ended.total || attempts != 2 {
        return Err(format!(
            "{} of {} completed, the first part took {attempts} attempts",
            ended.completed, ended.total
        )
        .into());
    }
    Ok(())
}

/// Short times, so that a rescue is something to watch.
fn settings(builder: JobsBuilder) -> JobsBuilder {
    builder.lease(Duration::from_secs(2)).sweep(Duration::from_millis(250))
}

/// What the other process does, until it is killed or its parent is gone.
async fn worker(file: &Path) -> Result<(), Fail> {
    let jobs = settings(Jobs::builder(SqliteStore::open(file).await?)).workers(1).register::<Render>().start()?;
    let read = || std::io::copy(&mut std::io::stdin(), &mut std::io::sink());
    drop(tokio::task::spawn_blocking(read).await);
    jobs.shutdown(Drain::default()).await;
    Ok(())
}

fn start_worker(file: &Path) -> Result<Child, Fail> {
    let program = std::env::current_exe()?;
    Ok(Command::new(program).arg("--worker").arg(file).stdin(Stdio::piped()).spawn()?)
}

/// Bars in a terminal, lines elsewhere.
#[derive(Clone)]
struct Bars {
    bars: MultiProgress,
    terminal: bool,
}

impl Bars {
    fn new() -> Self {
        Self { bars: MultiProgress::new(), terminal: std::io::stderr().is_terminal() }
    }

    fn say(&self, line: &str) {
        if !self.terminal || self.bars.println(line).is_err() {
            println!("{line}");
        }
    }

    /// Shows how far a job is until it ends.
    fn watch(&self, name: &str, job: &JobHandle<Render>) -> tokio::task::JoinHandle<()> {
        let style = ProgressStyle::with_template("{prefix:>10} {bar:40} {pos:>3} %")
            .unwrap_or_else(|_| ProgressStyle::default_bar());
        let bar = self.bars.add(ProgressBar::new(100).with_style(style).with_prefix(name.to_owned()));
        let job = job.clone();
        tokio::spawn(async move {
            let mut progress = job.progress();
            while let Some(percent) = progress.next().await {
                bar.set_position(percent.into());
            }
            bar.finish();
        })
    }
}

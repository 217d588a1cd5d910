//! The main job on real files: what a text, a picture, a sound and a video contain, processed twice by one system.
//!
//! The second pass is served from the cache. On the first, the picture's processor fails once on purpose, and recovers.
//!
//! Run it with `cargo run --release --example quickstart`.

#![expect(clippy::print_stdout, reason = "an example prints what it shows")]

use std::error::Error;
use std::io::IsTerminal as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use bedplate::media::{Limits, Modality};
use bedplate::{
    Bedplate, CacheOutcome, Input, MediaProcessor, Mode, Output, Processed, Processor, ProcessorError, Request,
};
use indicatif::{ProgressBar, ProgressStyle};

const FILES: [(&str, &str); 4] =
    [("TEXT", "bedplate.txt"), ("IMAGE", "china.jpg"), ("AUDIO", "complete.oga"), ("VIDEO", "bigbuckbunny.mp4")];

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let began = now();
    let database = tempfile::tempdir()?;
    let system = Bedplate::builder()
        .mode(Mode::Standard)
        .database(database.path().join("quickstart.db"))
        .processor(FailsOnce::new(MediaProcessor::new(Modality::Image, Limits::default())))
        .build()
        .await?;

    let progress = Progress::new(2 * FILES.len() as u64);
    let mut first = Vec::new();
    for (_, name) in FILES {
        first.push(process(&system, name, &progress).await?);
    }
    let mut second = Vec::new();
    for (_, name) in FILES {
        second.push(process(&system, name, &progress).await?);
    }
    progress.finish();

    for ((title, name), (first, second)) in FILES.iter().zip(first.iter().zip(&second)) {
        println!("\n{title}  {name}");
        for line in first.to_string().lines() {
            println!("  {line}");
        }
        println!("  first pass {}, second pass {}", pass(first), pass(second));
    }
    let from_cache = second.iter().filter(|one| one.cache == CacheOutcome::Hit).count();
    println!("\nSECOND PASS  {from_cache} of {} answers from the cache", FILES.len());

    let recovered = first.iter().filter(|one| one.attempts > 1 && !one.is_degraded()).count();
    println!(
        "RECOVERY     {recovered} failure recovered: china.jpg failed once on purpose, and its second attempt answered"
    );

    let question = "What did the governor do when the load fell?";
    let text = std::fs::read_to_string(assets().join("bedplate.txt"))?;
    let answer = system.process(Request::text(text).ask(question)).await?;
    println!(
        "QUESTION     {question}\n             {answer}\n             ({}, without weights or network)",
        answer.served_by
    );

    println!("\nHEALTH       {}", system.health().check_all_now().await?.to_string().replace('\n', "\n           "));
    system.flush_records().await;
    let counters = system.counters();
    let recorded = system.store().interaction_counts().await?;
    println!(
        "\nCOUNTERS     {} requests, {} failed, {} retried; {} records in SQLite; cache {} entries, {} bytes",
        counters.requests,
        counters.failed,
        counters.retries,
        recorded.total(),
        system.cache_stats().entries,
        system.cache_stats().bytes
    );
    for (operation, figures) in system.telemetry().metrics().operations {
        println!("             {operation:<14} {figures}");
    }

    let report = system.shutdown(Duration::from_secs(5)).await;
    println!("\n{report}");
    println!("{:.1?} in all", began.elapsed());
    if from_cache == FILES.len() && recovered == 1 && report.is_clean() {
        Ok(())
    } else {
        Err("a part did not do what it should: see above".into())
    }
}

async fn process(system: &Bedplate, name: &str, progress: &Progress) -> Result<Processed, Box<dyn Error>> {
    let content = std::fs::read(assets().join(name))?;
    let processed = system.process(Request::new(content).file_name(name)).await?;
    progress.step(name, &processed);
    Ok(processed)
}

fn assets() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("assets")
}

fn pass(processed: &Processed) -> String {
    let attempts = match processed.attempts {
        0 | 1 => String::new(),
        attempts => format!(" after {attempts} attempts"),
    };
    format!("{} in {:.1?}{attempts}", processed.cache.as_str(), processed.took)
}

/// A processor that fails on its first call, as one whose backend restarts.
struct FailsOnce {
    processor: MediaProcessor,
    failed: AtomicBool,
}

impl FailsOnce {
    const fn new(processor: MediaProcessor) -> Self {
        Self { processor, failed: AtomicBool::new(false) }
    }
}

impl Processor for FailsOnce {
    fn name(&self) -> &str {
        self.processor.name()
    }

    fn version(&self) -> u32 {
        self.processor.version()
    }

    fn modality(&self) -> Modality {
        self.processor.modality()
    }

    fn process(&self, input: &Input) -> Result<Output, ProcessorError> {
        if !self.failed.swap(true, Ordering::Relaxed) {
            return Err(ProcessorError::transient("injected on purpose"));
        }
        self.processor.process(input)
    }
}

/// A bar on a terminal, plain lines elsewhere.
struct Progress(Option<ProgressBar>);

impl Progress {
    fn new(steps: u64) -> Self {
        if !std::io::stderr().is_terminal() {
            return Self(None);
        }
        let style = ProgressStyle::with_template("{bar:32.green} {pos}/{len} {msg}");
        let bar = ProgressBar::new(steps);
        Self(Some(match style {
            Ok(style) => bar.with_style(style),
            Err(_) => bar,
        }))
    }

    fn step(&self, name: &str, processed: &Processed) {
        let line = format!("{name}: {}", pass(processed));
        match &self.0 {
            Some(bar) => {
                bar.set_message(line);
                bar.inc(1);
            }
            None => println!("processed {line}"),
        }
    }

    fn finish(&self) {
        if let Some(bar) = &self.0 {
            bar.finish_and_clear();
        }
    }
}

#[expect(clippy::disallowed_methods, reason = "a program may read the clock")]
fn now() -> Instant {
    Instant::now()
}

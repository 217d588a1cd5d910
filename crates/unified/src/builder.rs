use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use bedplate_cache::Cache;
use bedplate_collaboration::Hub;
use bedplate_media::Modality;
use bedplate_models::Model;
use bedplate_observability::Observability;
use bedplate_recovery::Quality;
use bedplate_storage::{MemoryStore, Recorder, RecorderConfig, Store};
use bedplate_tasks::TaskPool;
use tokio::sync::watch;

use crate::explain::Layered;
use crate::processed::Answered;
use crate::route::{Guard, ModelRoute, ProcessorRoute};
use crate::status;
use crate::system::System;
use crate::{Bedplate, BuildError, MediaProcessor, Mode, Processor, Settings};

/// Configures a [`Bedplate`].
///
/// Settings come in layers, the later over the earlier: the mode, configuration files in their order, code.
#[must_use]
pub struct BedplateBuilder {
    mode: Mode,
    files: Vec<(PathBuf, Option<String>)>,
    changes: Vec<Change>,
    processors: Vec<Arc<dyn Processor>>,
    models: Vec<(Arc<dyn Model>, Quality)>,
    store: Option<Arc<dyn Store>>,
    #[cfg(feature = "sqlite")]
    database: Option<PathBuf>,
    telemetry: Option<Observability>,
}

type Change = Box<dyn FnOnce(&mut Settings) + Send>;

impl BedplateBuilder {
    pub(crate) fn new() -> Self {
        Self {
            mode: Mode::default(),
            files: Vec::new(),
            changes: Vec::new(),
            processors: Vec::new(),
            models: Vec::new(),
            store: None,
            #[cfg(feature = "sqlite")]
            database: None,
            telemetry: None,
        }
    }

    /// Sets the preset of all settings.
    pub const fn mode(mut self, mode: Mode) -> Self {
        self.mode = mode;
        self
    }

    /// Lays a TOML file over the settings; it is read by [`build`](Self::build).
    pub fn config_file(mut self, path: impl AsRef<Path>) -> Self {
        self.files.push((path.as_ref().to_path_buf(), None));
        self
    }

    /// Lays a TOML text over the settings, named `name` where it is spoken of.
    pub fn config_text(mut self, name: impl AsRef<Path>, text: impl Into<String>) -> Self {
        self.files.push((name.as_ref().to_path_buf(), Some(text.into())));
        self
    }

    /// Changes settings from code.
    pub fn configure(mut self, change: impl FnOnce(&mut Settings) + Send + 'static) -> Self {
        self.changes.push(Box::new(change));
        self
    }

    /// Uses a processor of your own for its modality.
    pub fn processor(mut self, processor: impl Processor) -> Self {
        self.processors.push(Arc::new(processor));
        self
    }

    /// Asks this model the requests' questions. Of several, the first one answers at full quality and each later one
    /// where those before it fail, at the quality given to [`fallback_model`](Self::fallback_model); behind them all stands
    /// the extractive model, which quotes the text.
    pub fn model(self, model: impl Model) -> Self {
        self.fallback_model(model, Quality::FULL)
    }

    /// Adds a model that answers at this quality where those before it fail.
    pub fn fallback_model(mut self, model: impl Model, quality: Quality) -> Self {
        self.models.push((Arc::new(model), quality));
        self
    }

    /// Uses a store of your own; by default records are kept in memory, the last 10,000 of them.
    pub fn store(mut self, store: Arc<dyn Store>) -> Self {
        self.store = Some(store);
        self
    }

    /// Records to a SQLite file, which is created where it is missing.
    #[cfg(feature = "sqlite")]
    pub fn database(mut self, path: impl AsRef<Path>) -> Self {
        self.database = Some(path.as_ref().to_path_buf());
        self
    }

    /// Counts with telemetry that the caller has set up, and shuts down. One telemetry serves one system, since each
    /// registers its metrics.
    ///
    /// Without it the system counts with its own, and logs to whatever `tracing` subscriber there is.
    pub fn telemetry(mut self, telemetry: Observability) -> Self {
        self.telemetry = Some(telemetry);
        self
    }

    /// Checks every setting, and starts the system on the current tokio runtime.
    ///
    /// # Errors
    /// [`BuildError`] names the setting that is wrong and what would be right, the file that cannot be read, or the part
    /// that could not start.
    pub async fn build(self) -> Result<Bedplate, BuildError> {
        let layered = layers(self.mode, self.files, self.changes).await?;
        let settings = layered.settings.clone();
        settings.validate()?;

        #[cfg(feature = "sqlite")]
        let (database, store_given) = (self.database, self.store.is_some());
        #[cfg(feature = "sqlite")]
        if database.is_some() && store_given {
            return Err(BuildError::Invalid {
                field: "database".to_owned(),
                value: "given beside a store".to_owned(),
                expected: "either a database or a store".to_owned(),
            });
        }
        let store: Arc<dyn Store> = match self.store {
            Some(store) => store,
            None => Arc::new(MemoryStore::new()),
        };
        #[cfg(feature = "sqlite")]
        let store = match database {
            None => store,
            Some(path) => {
                let opened = bedplate_storage::SqliteStore::open(path).await;
                Arc::new(opened.map_err(|error| BuildError::part("storage", error))?)
            }
        };

        let cache: Cache<String, Arc<Answered>> = Cache::builder("answers")
            .max_bytes(settings.cache.max_bytes)
            .ttl(settings.cache.ttl)
            .weigher(|key: &String, answered: &Arc<Answered>| key.len() as u64 + answered.weight)
            .build()
            .map_err(|error| BuildError::part("cache", error))?;
        let pool = TaskPool::builder("requests")
            .workers(bounded(settings.workers.workers))
            .queue(bounded(settings.workers.queue))
            .default_timeout(request_limit(&settings, self.models.len()))
            .build()
            .map_err(|error| BuildError::part("tasks", error))?;
        let routes = routes(self.processors, &settings)?;
        let models = ModelRoute::new(self.models, &settings.recovery)?;
        let documents = Hub::new();
        let telemetry = match self.telemetry {
            Some(telemetry) => telemetry,
            None => Observability::builder("bedplate")
                .operations(settings.telemetry.operations)
                .build()
                .map_err(|error| BuildError::part("observability", error))?,
        };
        let mut recording = RecorderConfig::default();
        recording.queue = settings.recording.queue;
        let recorder =
            Recorder::start(Arc::clone(&store), recording).map_err(|error| BuildError::part("storage", error))?;

        let watched = status::Watched {
            cache: cache.clone(),
            pool: pool.clone(),
            queue: settings.workers.queue as u64,
            breakers: routes
                .iter()
                .map(|route| &route.guard)
                .chain(models.guards())
                .map(|guard| guard.breaker.clone())
                .collect(),
            documents: documents.clone(),
            telemetry: telemetry.clone(),
            store: Arc::clone(&store),
        };
        let health = status::health(watched, settings.health)?;
        let system = Arc::new(System {
            layered,
            cache,
            pool,
            routes,
            models,
            documents,
            health,
            telemetry,
            store,
            recorder,
            closed: AtomicBool::default(),
            counters: watch::Sender::default(),
        });
        status::register(&system).map_err(|error| BuildError::part("observability", error))?;
        Ok(Bedplate { system })
    }
}

async fn layers(
    mode: Mode,
    files: Vec<(PathBuf, Option<String>)>,
    changes: Vec<Change>,
) -> Result<Layered, BuildError> {
    let mut layered = Layered::new(mode);
    for (path, text) in files {
        let text = match text {
            Some(text) => text,
            None => read(path.clone()).await?,
        };
        layered.overlay(&text, path)?;
    }
    for change in changes {
        layered.change(change);
    }
    Ok(layered)
}

async fn read(path: PathBuf) -> Result<String, BuildError> {
    let from = crate::SettingSource::File(path.clone());
    let reading = tokio::task::spawn_blocking(move || std::fs::read_to_string(path)).await;
    reading.map_err(|error| BuildError::file(&from, error))?.map_err(|error| BuildError::file(&from, error))
}

/// One route per modality that is compiled in or has a processor of the caller's, whose later one wins.
fn routes(own: Vec<Arc<dyn Processor>>, settings: &Settings) -> Result<Vec<ProcessorRoute>, BuildError> {
    let mut processors: Vec<Arc<dyn Processor>> = Vec::new();
    let built_in =
        BUILT_IN.iter().map(|modality| Arc::new(MediaProcessor::new(*modality, settings.limits)) as Arc<dyn Processor>);
    for processor in built_in.chain(own) {
        processors.retain(|other| other.modality() != processor.modality());
        processors.push(processor);
    }
    processors.into_iter().map(|processor| route(processor, settings)).collect()
}

fn route(processor: Arc<dyn Processor>, settings: &Settings) -> Result<ProcessorRoute, BuildError> {
    let workers = bounded(settings.workers.workers);
    let threads = TaskPool::builder(processor.name())
        .workers(workers)
        .queue(workers)
        .blocking_threads(workers)
        .build()
        .map_err(|error| BuildError::part("tasks", error))?;
    Ok(ProcessorRoute { guard: Guard::new(processor.name(), &settings.recovery)?, processor, threads })
}

/// The modalities whose analysis is compiled in.
const BUILT_IN: &[Modality] = &[
    #[cfg(feature = "text")]
    Modality::Text,
    #[cfg(feature = "image")]
    Modality::Image,
    #[cfg(feature = "audio")]
    Modality::Audio,
    #[cfg(feature = "video")]
    Modality::Video,
];

/// When a worker gives a request up that its recovery policies should have ended: every source took its whole time.
fn request_limit(settings: &Settings, models: usize) -> Duration {
    let sources = bounded(models).saturating_add(1);
    settings.recovery.total_timeout.saturating_mul(sources).saturating_add(settings.recovery.attempt_timeout)
}

fn bounded(count: usize) -> u32 {
    u32::try_from(count).unwrap_or(u32::MAX)
}

impl fmt::Debug for BedplateBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BedplateBuilder")
            .field("mode", &self.mode)
            .field("files", &self.files.len())
            .field("processors", &self.processors.len())
            .field("models", &self.models)
            .finish_non_exhaustive()
    }
}

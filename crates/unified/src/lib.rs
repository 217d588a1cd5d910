#![doc = include_str!("../README.md")]
#![cfg_attr(docsrs, feature(doc_cfg))]

mod attempt;
mod builder;
mod error;
mod explain;
mod lifecycle;
mod mode;
mod pipeline;
mod processed;
mod processor;
mod request;
mod route;
mod settings;
mod status;
mod system;
mod validate;

#[cfg(feature = "server")]
pub mod server;

pub use builder::BedplateBuilder;
pub use error::{BuildError, ErrorKind, ProcessError, ProcessorError};
pub use explain::{Explanation, Setting, SettingSource};
pub use lifecycle::ShutdownReport;
pub use mode::{Mode, ParseModeError};
pub use processed::{CacheOutcome, Processed};
pub use processor::{Input, MediaProcessor, Output, Processor};
pub use request::{Request, RequestId};
pub use settings::{
    CacheSettings, DegradedAnswers, HealthSettings, Overflow, Recording, RecordingSettings, RecoverySettings, Settings,
    TelemetrySettings, WorkerSettings,
};
pub use system::{Bedplate, Counters};

/// What a text, sound, picture or video contains.
pub use bedplate_media as media;
/// AI models.
pub use bedplate_models as models;

pub use bedplate_cache as cache;
pub use bedplate_collaboration as collaboration;
pub use bedplate_github as github;
pub use bedplate_health as health;
pub use bedplate_observability as observability;
pub use bedplate_recovery as recovery;
pub use bedplate_storage as storage;
pub use bedplate_tasks as tasks;

#[cfg(doctest)]
#[doc = include_str!("../../../docs/src/guides/unified.md")]
struct Guide;

#[cfg(doctest)]
#[doc = include_str!("../../../docs/src/getting-started.md")]
struct GettingStarted;

#[cfg(doctest)]
#[doc = include_str!("../../../README.md")]
struct Readme;

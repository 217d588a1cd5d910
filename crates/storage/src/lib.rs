#![doc = include_str!("../README.md")]
#![cfg_attr(docsrs, feature(doc_cfg))]

mod error;
mod id;
mod interaction;
mod memory;
mod model_cache;
mod recorder;
mod session;
mod store;
mod timestamp;
mod user;

#[cfg(feature = "sqlite")]
pub mod sqlite;
#[cfg(feature = "testing")]
pub mod testing;

pub use error::StorageError;
pub use id::{InteractionId, ParseIdError, SessionId, UserId};
pub use interaction::{CacheOutcome, Interaction, InteractionQuery, Interactions, Status, StatusCounts};
pub use memory::MemoryStore;
pub use model_cache::{CachedAnswer, ModelCache};
pub use recorder::{Recorder, RecorderConfig, RecorderReport, RecorderStats};
pub use session::{Session, Sessions};
#[cfg(feature = "sqlite")]
pub use sqlite::{SqliteConfig, SqliteStore};
pub use store::Store;
pub use timestamp::Timestamp;
pub use user::{User, Users};

#[cfg(doctest)]
#[doc = include_str!("../../../docs/src/guides/storage.md")]
struct Guide;

#![doc = include_str!("../README.md")]
#![cfg_attr(docsrs, feature(doc_cfg))]

mod access;
mod config;
mod document;
mod error;
mod hub;
mod memory_store;
mod observer;
mod presence;
mod replica;
mod session;
mod stats;
mod store;
mod text_edit;
mod updates;

pub use access::{Access, AllowAll, Authorize, Denied};
pub use config::{ConfigError, HubConfig};
pub use error::CollaborationError;
pub use hub::{Hub, HubBuilder};
pub use memory_store::MemoryStore;
pub use observer::{CollaborationEvent, Observer};
pub use presence::{Participant, Present, SessionId};
pub use session::{Applied, Session};
pub use stats::HubStats;
pub use store::{DocumentStore, Position, StoreError, StoreErrorKind, Stored};
pub use text_edit::{EditError, TextEdit};
pub use updates::{Change, Updates, UpdatesError};

/// Compiles the blocks of the guide; a packaged crate has no such file, `cfg(doctest)` keeps it out.
#[cfg(doctest)]
#[doc = include_str!("../../../docs/src/guides/collaboration.md")]
struct Guide;

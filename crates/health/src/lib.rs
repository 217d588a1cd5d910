#![doc = include_str!("../README.md")]
#![cfg_attr(docsrs, feature(doc_cfg))]

mod check;
mod component;
mod error;
mod health;
mod history;
mod observer;
mod policy;
mod snapshot;
mod state;
mod status;

pub use check::{Check, CheckFn, Outcome};
pub use component::Component;
pub use error::{ConfigError, HealthError};
pub use health::{Health, HealthBuilder};
pub use history::{CheckRecord, History};
pub use observer::{HealthEvent, Observer};
pub use policy::Policy;
pub use snapshot::{ComponentSnapshot, Snapshot};
pub use state::{State, Transition};
pub use status::Status;

#[cfg(doctest)]
#[doc = include_str!("../../../docs/src/guides/health.md")]
struct Guide;

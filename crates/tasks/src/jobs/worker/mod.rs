//! The loops of a worker: fetch, execute, settle, beat (and pulse), sweep, listen.

mod beat;
mod engine;
mod execute;
mod fetch;
mod handler;
mod listen;
#[cfg(feature = "testing")]
mod manual;
mod pulse;
mod settle;
mod sweep;

pub(crate) use beat::beat;
pub(crate) use engine::Engine;
pub(crate) use fetch::{Hands, fetch};
pub(crate) use handler::{Handler, HandlerOf, Handlers, States};
pub(crate) use listen::listen;
#[cfg(feature = "testing")]
pub(crate) use manual::run_due;
pub(crate) use pulse::pulse;
pub(crate) use settle::settle;
pub(crate) use sweep::sweep;

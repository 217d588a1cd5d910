//! Jobs in a file of SQLite: durable, for one host, with nothing to install.
//!
//! One thread writes: it takes all calls that wait, does them in one transaction, and answers when that is committed
//! (group commit). Another reads. Several processes may share the file; SQLite lets one of them write at a time.

mod apply;
mod claim;
mod clock;
mod config;
mod connection;
mod enqueue;
mod finish;
mod read;
mod reader;
mod row;
mod schema;
mod settle;
mod store;
mod sweep;
mod writer;

pub use config::{Durability, SqliteBuilder};
pub use store::SqliteStore;

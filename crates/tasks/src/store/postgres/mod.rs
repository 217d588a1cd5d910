//! Jobs in PostgreSQL, on the Graphile Worker engine.
//!
//! A job is a row of the engine, made as its `add_jobs` makes it, so that its tools see it and other workers of it can take it. What
//! the engine does not keep stands in a schema of ours, changed in the same transaction by functions of that schema: each
//! call is one round trip however many jobs it carries. The engine's own loop is not used, since it rescues after hours,
//! forgets results, and knows no limits of keys.

mod arrays;
mod claim;
mod config;
mod control;
mod enqueue;
mod failure;
mod intake;
mod io;
mod jobs;
mod link;
mod listen;
mod row;
mod schema;
mod settle;
mod store;

pub use config::PostgresBuilder;
pub use store::PostgresStore;

/// The store's name in its errors and capabilities.
const NAME: &str = "postgres";

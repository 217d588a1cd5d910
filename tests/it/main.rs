//! Tests across crates: the whole system on real files, its modes, its HTTP surface, and what must hold in the workspace.

#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a test reports by panicking")]

mod bad_input;
mod cache_cluster;
mod job_traces;
mod metrics;
mod modes;
mod prometheus;
mod recovery;
mod requests;
mod server;
mod services;
mod shutdown;
mod support;
mod workspace;
